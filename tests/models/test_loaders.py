"""Loaders of timm, transformers and open_clip, from local folders and files, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sdfido
from sdfido import models
from sdfido.models.photo import fit
from tests.models.support import classifier

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
VISION = SMALL | {"image_size": 32, "patch_size": 8}


def photo(width: int = 120, height: int = 80) -> Image.Image:
    """Coarse blocks of random colours."""
    blocks = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def test_squash_shows_the_whole_photo() -> None:
    seen = classifier(size=(40, 40), crop_mode="squash").pixels(photo())
    expected = np.asarray(photo().resize((40, 40), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    np.testing.assert_array_equal(seen.permute(1, 2, 0).numpy(), expected)
    middle = fit(photo(), (40, 40), 0.8, "bicubic", "squash")
    whole = np.asarray(photo().resize((50, 50), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    np.testing.assert_allclose(middle, whole[5:45, 5:45], atol=1.01 / 255)


@pytest.mark.parametrize(("width", "height"), [(120, 80), (80, 120)])
def test_border_shows_the_whole_photo_in_a_frame(width: int, height: int) -> None:
    framed = classifier(size=(48, 48), crop_mode="border", border=(0.25,)).pixels(photo(width, height))
    if height > width:
        framed = framed.transpose(1, 2)
    assert (framed[:, :8] == 0.25).all()
    assert (framed[:, -8:] == 0.25).all()
    small = photo(width, height).resize((48, 32) if width > height else (32, 48), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)
    assert torch.equal(framed[:, 8:-8], expected if width > height else expected.transpose(1, 2))
    own = classifier(size=(48, 48), crop_mode="border", normalization=models.IMAGENET).pixels(photo(width, height))
    assert own[:, 0, 0].tolist() == pytest.approx(models.IMAGENET.mean)


ODD = [(451, 300), (300, 451), (333, 251), (97, 201), (200, 200)]


@pytest.mark.parametrize(("width", "height"), ODD)
@pytest.mark.parametrize("crop", [224 / 256, 224 / 257, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("rounding", ["torchvision", "transformers"])
def test_photos_are_resized_and_cut_as_by_libraries(width: int, height: int, crop: float, rounding: str) -> None:
    """By their rules: the shorter side has ``int(size / crop)`` pixels, and the other one is rounded down."""
    side = int(224 / crop + 1e-6)
    size = (side * width // min(width, height), side * height // min(width, height))
    left, top = ((length - 224) / 2 for length in size)
    left, top = (round(left), round(top)) if rounding == "torchvision" else (int(left), int(top))
    resized = photo(width, height).resize(size, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    seen = classifier(size=(224, 224), crop=crop, rounding=rounding).pixels(photo(width, height))
    apart = np.abs(seen.permute(1, 2, 0).numpy() - np.asarray(resized, dtype=np.float32) / 255)
    assert apart.max() < 2.01 / 255  # Pillow rounds between both axes
    assert apart.mean() < 0.3 / 255  # a pixel aside it is ten times as much


def test_crop_modes_have_fingerprints_of_their_own() -> None:
    modes = [classifier(crop_mode=mode).fingerprint() for mode in ("center", "squash", "border")]
    modes += [classifier(rounding=rounding).fingerprint() for rounding in ("torchvision", "transformers")]
    assert len(set(modes)) == 5
    assert classifier().fingerprint() == classifier(rounding="nearest").fingerprint() == modes[0]
    with pytest.raises(ValueError, match="rounding must be one of 'nearest', 'torchvision', 'transformers', got 'up'"):
        classifier(rounding="up")


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm is not installed, and needs torchvision")


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("pct", [0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_photos_are_prepared_as_by_timm(timm: Any, mode: str, pct: float, size: tuple[int, int]) -> None:
    about = {"crop_mode": mode, "crop_pct": pct, "input_size": (3, *size)}
    network = timm.create_model("test_vit", pretrained=False, pretrained_cfg_overlay=about)
    ours = models.timm.described(network, "timm:test_vit")
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    for width, height in ODD:
        apart = (ours.preprocess(photo(width, height)) - theirs(photo(width, height))).abs()
        assert apart.max() < 0.05  # two of 255 steps


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b2", "efficientnet_v2_s", "swin_t"])
def test_photos_are_prepared_as_by_torchvision(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    library = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    monkeypatch.setattr(models.torchvision, "load_weights", lambda network, path: None)
    ours = models.torchvision.load(name, pretrained="none")
    theirs = library.get_model_weights(name).DEFAULT.transforms()
    for width, height in ODD:
        apart = (ours.preprocess(photo(width, height)) - theirs(photo(width, height))).abs()
        assert apart.max() < 0.05


def test_timm_from_a_file_of_weights(timm: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", pretrained=False)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    loaded = models.load(f"timm:test_resnet?pretrained={tmp_path}/weights.pth")
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(loaded.model(images), network.eval()(images))
    with pytest.raises(ValueError, match=r"weights '.*' must be those of VisionTransformer"):
        models.load(f"timm:test_vit?pretrained={tmp_path}/weights.pth")


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed")


def saved_vit(transformers: Any, folder: Path, **settings: Any) -> str:
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(transformers.ViTConfig(**VISION, **settings))
    network.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return f"hf:{folder}"


def test_a_classifier_of_transformers(transformers: Any, tmp_path: Path) -> None:
    names = {0: "cat", 1: "dog", 2: "cow"}
    loaded = models.load(saved_vit(transformers, tmp_path, id2label=names, label2id={"cat": 0, "dog": 1, "cow": 2}))
    assert (loaded.size, loaded.crop_mode, loaded.interpolation) == ((32, 32), "squash", "bilinear")
    assert (loaded.labels, loaded.multi_label) == (("cat", "dog", "cow"), False)
    assert loaded.normalization == models.Normalization((0.5,) * 3, (0.5,) * 3)
    images = loaded.preprocess(photo())[None]
    explanation = sdfido.FIDO(loaded, steps=2, mask_size=4).explain(images)
    torch.testing.assert_close(explanation.prob_image[0], loaded.model(images).logits.softmax(1).max().detach())
    pipeline = transformers.pipeline("image-classification", model=str(tmp_path), device="cpu")
    by_pipeline = sdfido.FIDO(pipeline, steps=2, mask_size=4, infill="zeros").explain(images)
    by_loaded = sdfido.FIDO(loaded, steps=2, mask_size=4, infill="zeros").explain(images)
    assert torch.equal(by_pipeline.ssr, by_loaded.ssr)


def test_heads_of_transformers(transformers: Any, tmp_path: Path) -> None:
    several = models.load(
        saved_vit(transformers, tmp_path / "a", num_labels=4, problem_type="multi_label_classification")
    )
    assert (several.labels, several.multi_label) == (None, True)
    one = models.load(saved_vit(transformers, tmp_path / "b", id2label={0: "cat"}, label2id={"cat": 0}))
    assert one.labels == ("not cat", "cat")
    with pytest.raises(ValueError, match=r"predicts a value, not a class.*RegressionScore"):
        models.load(saved_vit(transformers, tmp_path / "c", num_labels=1, problem_type="regression"))
    transformers.ViTModel(transformers.ViTConfig(**VISION)).save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="must have the weights of an image classifier, got architecture ViTModel"):
        models.load(f"hf:{tmp_path}/a")


PROCESSORS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": {},
    "DeiTImageProcessor": {"resample": 0},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 56}},  # enlarged to 64, as 224 to 256
    "LevitImageProcessor": {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}},
    "MobileViTImageProcessor": {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}},
    "EfficientNetImageProcessor": {"size": {"height": 64, "width": 64}},
    "CLIPImageProcessor": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
    "MobileNetV1ImageProcessor": {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}},
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_photos_are_prepared_as_by_processors(transformers: Any, name: str) -> None:
    pytest.importorskip("torchvision", reason="processors of transformers resize with torchvision")
    processor = getattr(transformers, name)(**PROCESSORS[name])
    ours = models.huggingface._classifier(name, torch.nn.Identity(), processor, None, False)
    for width, height in ODD:
        theirs = processor(images=photo(width, height), return_tensors="pt")["pixel_values"][0]
        found = ours.model(ours.preprocess(photo(width, height))[None])[0]
        assert (found - theirs).abs().mean() < 0.01


def test_clip_of_transformers(transformers: Any) -> None:
    words = {"vocab_size": 99, "max_position_embeddings": 8, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = transformers.CLIPConfig(text_config=SMALL | words, vision_config=VISION, projection_dim=16)
    clip = transformers.CLIPModel(config).eval()
    tokens = {"input_ids": torch.tensor([[0, 5, 2], [0, 7, 2]]), "attention_mask": torch.ones(2, 3, dtype=torch.int64)}
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    made = models.huggingface.with_texts(clip, processor, lambda *_, **__: tokens, ["a", "b"], ["a", "b"], "clip")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = clip(pixel_values=images, **tokens).logits_per_image
    torch.testing.assert_close(made.model(images), expected)
    assert made.labels == ("a", "b")
    with pytest.raises(
        (AttributeError, RuntimeError, TypeError, ValueError), match="load it with the texts of classes"
    ):
        sdfido.FIDO(clip, steps=2, mask_size=4).explain(images)


def test_open_clip_from_a_file(tmp_path: Path) -> None:
    library = pytest.importorskip("open_clip", reason="open_clip is not installed, and needs torchvision")
    torch.manual_seed(0)
    network = library.create_model("RN50-quickgelu", force_image_size=None, pretrained=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    texts = ["a heron", "a stork"]
    made = models.load(f"open_clip:RN50-quickgelu?pretrained={tmp_path}/weights.pt", texts=texts)
    assert (made.size, made.labels) == ((224, 224), tuple(texts))
    images = made.preprocess(photo())[None]
    with torch.no_grad():
        image = network.encode_image(images, normalize=True)
        text = network.encode_text(library.get_tokenizer("RN50-quickgelu")(texts), normalize=True)
        expected = network.logit_scale.exp() * image @ text.T
        torch.testing.assert_close(made.model(images), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"must have weights: 'open_clip:RN50-quickgelu\?pretrained=TAG'"):
        models.load("open_clip:RN50-quickgelu", texts=texts)
    with pytest.raises(ValueError, match=r"unknown to open_clip .*close to it: .*ViT-B-32"):
        models.load("open_clip:ViT-B-3", texts=texts)
