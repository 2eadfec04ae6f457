"""The photos are the ones that were measured, and the page says what the results' file says."""

import hashlib
import importlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sdfido import evaluate

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "benchmarks") not in sys.path:
    sys.path.append(str(ROOT / "benchmarks"))

from photos import page, photos  # noqa: E402


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
    assert photos._member(tmp_path / "paints-1.0.tar.gz", "examples/red.png") == RED


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
    for place, name in enumerate(page.METHODS):
        methods[name] = {
            measure: [place / 16, place / 8]
            for measure in ("insertion", "deletion", "kept_30", "left_20", "border", "pieces", "seconds")
        }
        if name not in page.RIVALS:
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


def test_page_shows_the_results():
    results = _results()
    text = page.page(results)
    assert "abacus (wood)" in text
    assert "settings: steps 120." in text
    row = next(line for line in page.photos_table(results).splitlines() if line.startswith("| blue"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "blue", "tiger cat", "50.0 %", "25 %", "75.0 %", "12 %", "< 0.1 %", "3.0",
    ]  # fmt: skip
    for table in (page.photos_table, page.cuts_table, page.methods_table, page.targets_table, page.sources_table):
        assert len({len(line) for line in table(results).splitlines()}) == 1  # aligned
        assert table(results) in text


def _verdict(results: dict[str, Any], what: str) -> page.Verdict:
    (found,) = (verdict for verdict in page.verdicts(results) if verdict.what.startswith(what))
    return found


@pytest.mark.parametrize(
    ("what", "name", "measure", "missed", "reached"),
    [
        ("30 % kept by the SSR map", "ssr", "kept_30", [0.7, 0.89], [0.65, 0.95]),
        ("20 % infilled by the SDR map", "sdr", "left_20", [0.0, 0.4], [0.38, 0.0]),
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
    for rival, values in zip(page.RIVALS, ([0.1, 0.5], [0.4, 0.4], [0.3, 0.3]), strict=True):
        results["methods"][rival]["insertion"] = values
    for values, met, holds in (([0.4, 0.4], False, 0), ([0.45, 0.45], True, 1), ([0.41, 0.51], True, 2)):
        results["methods"][name]["insertion"] = values
        verdict = _verdict(results, f"insertion area, {page.TITLES[name]} map")
        assert (verdict.asked, verdict.met, verdict.photos) == ("> 0.400 (Occlusion)", met, holds)


def test_deletion_is_judged_by_the_best_of_captums():
    results = _results()
    for rival, values in zip(page.RIVALS, ([0.4, 0.2], [0.1, 0.3], [0.9, 0.9]), strict=True):
        results["methods"][rival]["deletion"] = values
    for values, met, holds in (([0.2, 0.2], False, 0), ([0.05, 0.3], True, 1), ([0.05, 0.1], True, 2)):
        results["methods"]["sdr"]["deletion"] = values
        verdict = _verdict(results, "deletion area, SDR map")
        assert (verdict.asked, verdict.met, verdict.photos) == ("< 0.200 (Occlusion)", met, holds)


@pytest.mark.parametrize("baseline", ["existing", "standard"])
def test_coherence_counts_at_equal_sufficiency_alone(baseline: str):
    results = _results()
    own, other = results["methods"]["ssr"], results["methods"][f"{baseline} ssr"]
    other["variation"], other["kept_30"] = [0.25, 0.25], [0.75, 0.75]
    what = f"total variation, SSR map, over that of {page.METHODS[f'{baseline} ssr']}"
    for variation, kept, met in ((0.125, 0.75, True), (0.126, 0.75, False), (0.125, 0.74, False)):
        own["variation"], own["kept_30"] = [variation, variation], [kept, kept]
        verdict = _verdict(results, what)
        assert (verdict.met, verdict.photos) == (met, 2 if met else 0)


def test_what_the_coherence_target_leaves_out_is_told():
    results = _results()
    for name, measure, ours, theirs in (
        ("sdr", "variation", 0.25, 1.0),
        ("ssr", "mask_variation", 0.125, 0.5),
        ("sdr", "mask_variation", 0.5, 1.0),
        ("ssr", "border", 0.75, 1.0),
        ("sdr", "border", 1.5, 1.0),
        ("sdr", "left_20", 0.0625, 0.03125),
    ):
        results["methods"][name][measure] = [ours, ours]
        results["methods"][f"existing {name}"][measure] = [theirs, theirs]
    note = page.coherence_note(results)
    for part in (
        "The SDR map has 0.25 of existing FIDO's",
        "leaves 0.06 of the probability, with existing FIDO's 0.03",
        "0.25 (SSR) and 0.50 (SDR)",
        "0.75 and 1.50",
    ):
        assert part in note
    assert note in page.page(results)


def test_results_are_of_these_photos():
    results = json.loads(page.RESULTS.read_text())
    assert {name: photo["path"] for name, photo in results["photos"].items()} == {
        entry.name: entry.source.path for entry in photos.ENTRIES
    }
    for method, measured in results["methods"].items():
        for measure, values in measured.items():
            assert len(values) == len(photos.ENTRIES), f"{measure} of {method}"


def test_page_comes_from_the_results(tmp_path: Path):
    changed = json.loads(page.RESULTS.read_text()) | {"seconds": 1e6}
    (tmp_path / "photos.json").write_text(json.dumps(changed))
    command = [sys.executable, str(ROOT / "benchmarks/photos/page.py"), "--check"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    done = subprocess.run([*command, "--json", str(tmp_path / "photos.json")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "photos.md is out of date" in done.stderr


def test_texts_of_the_pictures_do_not_touch():
    """Neither each other nor the borders, with the longest class name of the photos and the widest numbers."""
    picture = importlib.import_module("photos.picture")
    results = _results()
    for photo in results["photos"].values():
        photo |= {"label": "African elephant", "area_ssr": 1.0, "area_sdr": 1.0, "prob_ssr_binary": 1.0}
    shape = (2, 8, 8)
    arrays = {name: np.full(shape, 0.5, np.float32) for name in (*page.METHODS, "cut ssr", "cut sdr")}
    arrays |= {name: np.full((2, 3, 8, 8), 0.5, np.float32) for name in ("pixels", "infill")}
    for figure in (picture.gallery(results, arrays, list(results["photos"])), picture.methods(results, arrays)):
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
        assert len(figure.axes) == 1 + 2 * 6
        for index, box in enumerate(boxes):
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
            assert inside, figure.texts[index]
            assert box.count_overlaps(boxes) == 1, figure.texts[index]  # itself


def _gallery() -> ModuleType:
    pytest.importorskip("captum", reason="the methods that are compared include captum's")
    return importlib.import_module("photos.gallery")


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


def test_existing_code_finds_the_square(scene: tuple[Tensor, Tensor]):
    image, truth = scene
    maps = _gallery().existing(Square(), image[0], torch.tensor(0), 30)
    for found in maps:
        assert found.shape == truth.shape
        assert 0 <= found.min() <= found.max() <= 1
        assert float(evaluate.intersection_over_union(found, truth.bool())) > 0.9
    again = _gallery().existing(Square(), image[0], torch.tensor(0), 30)
    assert all(torch.equal(*pair) for pair in zip(maps, again, strict=True))


def test_measures_tell_the_square_from_all_else(scene: tuple[Tensor, Tensor]):
    image, truth = scene
    model, target = Square(), torch.tensor([0])
    right, wrong = (_gallery().measured(model, image, target, m) for m in (truth, 1 - truth))
    assert right["insertion"] > wrong["insertion"]
    assert right["deletion"] < wrong["deletion"]
    assert right["kept_30"] == [1.0]  # the square is 11 % of the image
    assert wrong["kept_30"][0] < 0.1
    assert right["left_20"][0] < 0.1
    assert wrong["left_20"] == [1.0]
    assert right["pieces"][0] >= 1
