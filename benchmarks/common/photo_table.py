"""The photos of the studies: where each comes from, and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file in a package on PyPI: of its wheel, or of its source distribution, where only that has it."""

    package: str
    version: str
    path: str
    sdist: bool = False

    def __str__(self) -> str:
        return f"{self.path} in {self.package}=={self.version}"


@dataclass(frozen=True)
class Entry:
    """A photo that can be fetched; sha256 is that of its file."""

    name: str
    source: Source
    sha256: str
    licence: str

    def file(self, cache: Path) -> Path:
        return cache / f"{self.name}{Path(self.source.path).suffix}"


def _skimage(name: str) -> Source:
    return Source("scikit-image", "0.26.0", f"skimage/data/{name}")


def _sklearn(name: str) -> Source:
    return Source("scikit-learn", "1.9.1", f"sklearn/datasets/images/{name}")


def _gradio(name: str) -> Source:
    return Source("gradio", "6.31.0", f"gradio/media_assets/images/{name}")


def _caer(name: str) -> Source:
    return Source("caer", "2.0.8", f"caer/data/{name}")


def _sporco(name: str) -> Source:
    return Source("sporco", "0.2.2.post1", f"sporco/data/{name}")


# Those of the study of photos.
ENTRIES = (
    Entry(
        "cat",
        _skimage("chelsea.png"),
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "CC0, Stefan van der Walt",
    ),
    Entry(
        "photographer",
        _skimage("camera.png"),
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "CC0, Lav Varshney",
    ),
    Entry(
        "coffee",
        _skimage("coffee.png"),
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "CC0, Rachel Michetti",
    ),
    Entry(
        "rocket",
        _skimage("rocket.jpg"),
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "public domain, SpaceX",
    ),
    Entry(
        "elephant",
        Source("Keras-Applications", "1.0.8", "tests/data/elephant.jpg", sdist=True),
        "9d282e480e20ccbea47d1bf5537bc4703d07c7d392316518455864f4b99bcce9",
        "MIT, as the package",
    ),
    Entry(
        "puppy",
        Source("grad-cam", "1.5.5", "examples/dog_cat.jfif", sdist=True),
        "bdb7b7eb5fff2bb381966d8c5fb8b43cbc637f8bfa34c53765717f9557631e27",
        "MIT, as the package",
    ),
    Entry(
        "lion",
        _gradio("lion.jpg"),
        "4c45ece00075f152cb2e6cfd5f1dfd7dc8e83042264685b4f470026240eff3ef",
        "Apache-2.0, as the package",
    ),
    Entry(
        "cheetah",
        _gradio("cheetah.jpg"),
        "29b0090f5ec471dad0264abc20ecc3c80a0133a63a03d11df920e39a093fe6c8",
        "Apache-2.0, as the package",
    ),
    Entry(
        "pagoda",
        _sklearn("china.jpg"),
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "CC BY 2.0, danielbuechele",
    ),
    Entry(
        "dahlia",
        _sklearn("flower.jpg"),
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "CC BY 2.0, vultilion",
    ),
)

# Nothing is chosen on these: they are for reporting alone. Those that a picture shows come first.
REPORTING = (
    Entry(
        "goldfish",
        _caer("gold_fish.jpg"),
        "c62550402ebb427ce787c16412e1a23b4af19dd673bf962c5fd4a79c425dfad9",
        "MIT, as the package",
    ),
    Entry(
        "jellyfish",
        _caer("jellyfish.jpg"),
        "569acfebc68bb6be73131aed95cb257772e02d9829703fda6a903e29373664e2",
        "MIT, as the package",
    ),
    Entry(  # and a tabby cat beside it
        "mastiff",
        Source("grad-cam", "1.5.5", "examples/both.png", sdist=True),
        "8d30785a513e22a2f574c839c7e1751db943d0b5399347e7bb37736f6c5a95c2",
        "MIT, as the package",
    ),
    Entry(  # no class of ImageNet: wombat is the nearest
        "quokka",
        Source("imgaug", "0.4.0", "imgaug/quokka.jpg"),
        "bf1059d0f925e7d0c712cadf07a04ba4cfc98957d7be65d3a7d8ae0c464cd76e",
        "MIT, as the package",
    ),
    Entry(
        "retriever",
        _caer("puppy.jpg"),
        "953d0be84f3f3d309f4a92b232c5694936ef19aa86382273398a80b6fcfac70b",
        "MIT, as the package",
    ),
    Entry(
        "telephone",
        _caer("rotary_phone.jpg"),
        "f8d0051b236ebc5a0bbb25360981ec4a68aba6a808c4bb1b96daa1b76c077b06",
        "MIT, as the package",
    ),
    Entry(
        "alps",
        _caer("snow.jpg"),
        "78814634adc9bfac77e9ae81d87da3aec345c79053c5c5f6a70d1160fc18ec77",
        "MIT, as the package",
    ),
    Entry(  # an electric bus: minibus and trolleybus are the nearest classes
        "bus",
        Source("ultralytics", "8.4.190", "ultralytics/assets/bus.jpg"),
        "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        "AGPL-3.0, as the package",
    ),
    Entry(  # no class of ImageNet: remote control is the nearest
        "gamepad",
        _caer("green_controller.jpg"),
        "8cf1b4b93bffa896c4c76d58bbb6b0e961899e134951708c6a47256fec2aa262",
        "MIT, as the package",
    ),
    Entry(
        "guitar",
        _caer("guitar.jpg"),
        "125b5f66eb2d5048ce285de9d4cf22c63cae5f3ad002ad2cf935b42f46d116e1",
        "MIT, as the package",
    ),
    Entry(  # no class of ImageNet: moped is the nearest
        "motorcycle",
        _skimage("motorcycle_left.png"),
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "Middlebury 2014 stereo data (Scharstein et al.), no licence stated",
    ),
    Entry(
        "tabby",
        Source("pelican", "4.12.0", "pelican/tests/output/basic/pictures/Sushi_Macro.jpg"),
        "08920d8f91eff4a55b056ab8f60e7d7072fd0145ba707bf93331442ea2e0f814",
        "AGPL-3.0, as the package",
    ),
)

# Defaults may be chosen on these, and on those above that are not for reporting.
TUNING = (
    *ENTRIES,
    Entry(  # no class of ImageNet: rock beauty is the nearest
        "angelfish",
        _caer("blue_tang.jpg"),
        "ce44aa254ab94a0720689f2fe58df7d6430e0f632b6a0c45afec2bf9a6b49d14",
        "MIT, as the package",
    ),
    Entry(  # a Tasmanian devil, no class of ImageNet: wombat is the nearest
        "devil",
        _caer("bear.jpg"),
        "f77833921ec5cb9d73ef55a39fa3bdd020ce9a555ff2a0315dc392d9d57093a8",
        "MIT, as the package",
    ),
    Entry(  # another photo of a cheetah
        "gepard",
        _gradio("cheetah1.jpg"),
        "35550bfbba996e59c242af00f6a14a9c0d055dfbc52ad069a1a4e8c1c39ca095",
        "Apache-2.0, as the package",
    ),
    Entry(  # no class of ImageNet: taken for a goldfish
        "grouper",
        _caer("red_fish.jpg"),
        "7679144304a1a5b76fe1a68b785b8cf4aabf47f1600562f6d7443cddb1d8219e",
        "MIT, as the package",
    ),
    Entry(
        "island",
        _caer("island.jpg"),
        "d9eb8f49ccb96a2090ef07efbbe2bd48134e460181b1c7dfaf8f484258fdb9a5",
        "MIT, as the package",
    ),
    Entry(
        "macaws",
        _sporco("kodim23.png"),
        "34d8f029d2eae3ed37b65e2f94fd2c319923ebfae0fa8bff5f001e2565b7d80f",
        "Kodak, released for unrestricted use",
    ),
    Entry(
        "monarch",
        _sporco("monarch.png"),
        "c2435a5e37c04658824d26124ab27c3943e7b95b0eeeb27effa6439f81ff5ca9",
        "Waterloo BragZone, free of copyright restrictions",
    ),
    Entry(
        "mountain",
        _caer("mountain.jpg"),
        "aebf68b36e9afaf3b1188aac80292a81638e6d3010d45ed6d579650ae685e144",
        "MIT, as the package",
    ),
    Entry(
        "reflex",
        _caer("camera.jpg"),
        "cc8ed101619ba39bd19b26efac756c3162a41726939b2bc0cb87fdaf44729dc5",
        "MIT, as the package",
    ),
    Entry(
        "spider",
        Source("rakali", "0.0.11", "rakali/testimages/orb-spider.jpg"),
        "f19d2ae41a475ee89dcf273713d9fdaac4890f435939af0799e59820f6f2e2d9",
        "MIT, as the package",
    ),
    Entry(  # a yellow tang, no class of ImageNet: rock beauty is the nearest
        "tang",
        _caer("green_fish.jpg"),
        "21b2acee54f227460b0f13592f1cca45265463d437bddc278cf29aad2157e005",
        "MIT, as the package",
    ),
    Entry(
        "turtle",
        _caer("sea_turtle.jpg"),
        "d501c2870c1f11fd81acb339a4a4e8970bc53382b875b5580785fe6ac5b08d02",
        "MIT, as the package",
    ),
)
