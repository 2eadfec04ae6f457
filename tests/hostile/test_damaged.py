"""Two hundred damaged files: each is refused in one line that names it, or read, and the rest of the run is done."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from sdfido import Explanation, exports, models, runs
from sdfido.models.photo import orientation, turned, upright_size
from sdfido.models.weights import load_weights
from sdfido.runs import events, layout
from sdfido.runs.detections import read as read_boxes
from sdfido.runs.results import read as read_results
from tests.cli.support import draw, prepare, run
from tests.hostile import damage, explanations, photos

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("matplotlib", "PIL", "rich", "typer"))), reason="needs the extra demo"
)

GOOD = ("good-a", "good-b")
MEMORY = 400 << 20  # bytes that all damaged files together may add to the process


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield from prepare(tmp_path, monkeypatch)


@pytest.fixture
def results(folder: Path) -> Path:
    """A folder with results of two good photos."""
    for name, colour in zip(GOOD, ((250, 20, 20), (20, 20, 250)), strict=True):
        draw(folder / "photos" / f"{name}.png", colour)
    assert explain(folder / "photos", folder / "out")[0].failed == 0
    return folder / "out"


def explain(photos: Path, out: Path) -> tuple[runs.Outcome, list[events.Event]]:
    seen: list[events.Event] = []
    explainer = runs.PhotoExplainer("colour_models:make", pictures=False, steps=1, num_samples=1, mask_size=4)
    outcome = runs.Run(explainer, runs.choose([photos], out), runs.Store(out), batch=4).execute(on_event=seen.append)
    return outcome, seen


def failures(seen: list[events.Event]) -> dict[str, str]:
    """What is told of the files that could not be read, by name."""
    found: dict[str, str] = {}
    for event in seen:
        if isinstance(event, events.Failed):
            assert event.name not in found
            found[event.name] = event.message
            assert_one_line(event.message)
    return found


def assert_one_line(message: str) -> None:
    assert len(message.splitlines()) == 1
    assert len(message) < 700
    assert not any(word in message for word in ("Traceback", "object at 0x"))


def error_of(function: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        function()
    assert_one_line(str(caught.value))
    return str(caught.value)


def copies(good: Path, out: Path, name: str, files: list[damage.Damaged]) -> None:
    """For each damaged file a folder of results that are good but for it."""
    for each in files:
        shutil.copytree(good, out / each.name)
        (out / each.name / name).write_bytes(each.content)


def test_there_are_two_hundred_of_them_and_always_the_same(results: Path) -> None:
    explanation, summary = ((results / GOOD[0] / name).read_bytes() for name in (layout.MAPS, layout.SUMMARY))
    made = [*photos.photos().values(), *damage.boxes(), *damage.tables()]
    assert [each.content for each in photos.photos().values()] == [each.content for each in photos.photos().values()]
    every = [*made, *explanations.explanations(explanation), *damage.summaries(summary)]
    assert len(every) >= 200


def test_photos(results: Path, folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = photos.photos()
    for name, photo in made.items():
        (folder / "photos" / name).write_bytes(photo.content)
    outcome, seen = explain(folder / "photos", folder / "out")
    failed = failures(seen)
    explained = {Path(event.name).name for event in seen if isinstance(event, events.Explained)}
    assert outcome.photos == len(made) + len(GOOD)
    assert outcome.finished == len(GOOD)
    assert outcome.indexed
    assert len(explained) + len(failed) == len(made)
    for name, photo in made.items():
        message = failed.get(str(folder / "photos" / name))
        assert photo.refused is None or photo.refused == (message is not None), (name, message)
        assert message is None or name in message
    for path in (folder / "out").iterdir():  # all files of a result or none
        if path.is_dir():
            assert {each.name for each in path.iterdir()} in (set(layout.UNDRAWN), set()), path
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY


def test_explanations(results: Path, folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = explanations.explanations((results / GOOD[0] / layout.MAPS).read_bytes())
    copies(results / GOOD[0], results, layout.MAPS, files)
    seen: list[events.Event] = []
    evaluation = runs.Evaluation([results])
    evaluation.measure(seen.append)
    told = [event.message for event in seen if isinstance(event, events.Failed)]
    for each in files:
        path = results / each.name / layout.MAPS
        messages = [message for message in told if str(path) in message]
        assert len(messages) <= 1
        if each.refused is not None:
            assert bool(messages) == each.refused, each.name
        for message in messages:
            assert_one_line(message)
    measured = {result.folder.name for result in evaluation.measured[0].results}
    assert measured >= set(GOOD)
    assert len(measured) + len(told) == len(files) + len(GOOD)
    assert not list(folder.rglob("pwned"))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY


def test_explanations_alone(results: Path, tmp_path: Path) -> None:
    good = (results / GOOD[0] / layout.MAPS).read_bytes()
    others = (
        "all-other-size",
        "huge-target",
        "target-of-fractions",
        "target-as-fraction",
    )  # that another model may have
    for each in explanations.explanations(good):
        path = tmp_path / f"{each.name}.npz"
        path.write_bytes(each.content)
        if each.refused and each.name not in others:
            assert str(path) in error_of(lambda path=path: Explanation.load(path))


def test_summaries(results: Path, folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = damage.summaries((results / GOOD[0] / layout.SUMMARY).read_bytes())
    copies(results / GOOD[0], results, layout.SUMMARY, files)
    left_out: list[events.Failed] = []
    read = {result.folder.name for result in read_results(results, left_out)}
    told = {event.folder.name: event.message for event in left_out}
    assert read >= set(GOOD)
    assert read | told.keys() == {each.name for each in files} | set(GOOD)
    for each in files:
        assert each.refused is None or each.refused == (each.name in told), each.name
        if each.name in told:
            assert str(results / each.name) in told[each.name]
            assert_one_line(told[each.name])
    seen: list[events.Event] = []
    report = runs.Report(results)
    report.complete(seen.append)
    told_by_report = {Path(event.name).name for event in seen if isinstance(event, events.Failed)}
    assert told_by_report <= told.keys()
    assert told.keys() - told_by_report <= {each.name for each in files if each.refused is None}
    report.write()
    exports.Export(results, "png", out=folder / "maps").write(seen.append)
    assert {f"{name}.ssr.png" for name in GOOD} <= {path.name for path in (folder / "maps").iterdir()}
    outcome, seen = explain(folder / "photos", folder / "out")
    assert outcome.indexed
    assert outcome.finished == len(GOOD)
    damaged = [event for event in seen if isinstance(event, events.Damaged)]
    assert len(damaged) == len(told_by_report)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY


def test_boxes(results: Path, tmp_path: Path) -> None:
    for each in damage.boxes():
        path = tmp_path / f"{each.name}.json"
        path.write_bytes(each.content)
        message = ""
        try:
            read_boxes(path)
        except ValueError as error:
            message = str(error)
        assert_one_line(message or each.name)
        assert path.name in message or not each.refused, each.name
    for each in damage.tables():
        (tmp_path / "truth").mkdir(exist_ok=True)
        (tmp_path / "truth" / "boxes.csv").write_bytes(each.content)
        assert "boxes.csv" in error_of(lambda: runs.Annotations(tmp_path / "truth")), each.name


def test_masks(results: Path, folder: Path) -> None:
    truth = folder / "truth"
    truth.mkdir()
    Image.new("L", (30, 20), 255).save(truth / f"{GOOD[1]}.png")
    for name, photo in photos.photos().items():
        if photo.refused and name.endswith(".png"):
            (truth / f"{GOOD[0]}.png").write_bytes(photo.content)
            seen: list[events.Event] = []
            evaluation = runs.Evaluation([results], truth=truth)
            evaluation.measure(seen.append)
            assert [f"{GOOD[0]}.png" in message for message in failures(seen).values()] == [True]
            assert [result.folder.name for result in evaluation.measured[0].results] == [GOOD[1]]


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    draw(folder / "photos" / "a.png", (250, 20, 20))
    os.mkfifo(folder / "photos" / "b.png")
    (folder / "photos" / "c.png").symlink_to("/dev/zero")
    outcome, seen = explain(folder / "photos", folder / "out")
    assert (outcome.explained, outcome.failed) == (1, 2)
    assert all("cannot be read: it is not a file" in message for message in failures(seen).values())


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_a_pipe_where_a_photo_was_is_not_waited_for(results: Path, folder: Path) -> None:
    """Neither by a run that goes on, nor by what looks for photos that have moved."""
    with pytest.raises(ValueError, match="photos must be a folder with photos"):
        runs.Evaluation([results], photos=_pipes(folder / "moved"))
    (folder / "photos" / f"{GOOD[0]}.png").unlink()
    os.mkfifo(folder / "photos" / f"{GOOD[0]}.png")
    outcome, seen = explain(folder / "photos", folder / "out")
    assert (outcome.finished, outcome.failed) == (1, 1)
    assert all("cannot be read: it is not a file" in message for message in failures(seen).values())


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_pipes_among_results_are_not_waited_for(results: Path, folder: Path) -> None:
    """Whatever the name of the file that one stands for: a page, what a page shows, kept rows, boxes."""
    (results / GOOD[0] / layout.VIEW).unlink()
    os.mkfifo(results / GOOD[0] / layout.VIEW)
    runs.Report(results).write(folder / "copy")
    os.mkfifo(results / layout.AUDIT_ROWS)
    assert f"{layout.AUDIT_ROWS} cannot be replaced" in error_of(lambda: runs.Audit(results, [folder]))
    (results / layout.PAGE).unlink()
    os.mkfifo(results / layout.PAGE)
    assert f"{layout.PAGE} cannot be replaced" in error_of(runs.Report(results).write)
    os.mkfifo(folder / "boxes.csv")
    assert "boxes.csv' cannot be read: it is not a file" in error_of(lambda: runs.Annotations(folder))


def _pipes(folder: Path) -> Path:
    folder.mkdir()
    os.mkfifo(folder / "a.png")
    (folder / "b.png").symlink_to("/dev/zero")
    return folder


def test_how_many_bytes_a_photo_may_have(results: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more is neither decoded nor hashed, although it begins as a photo does."""
    path = folder / "photos" / f"{GOOD[0]}.png"
    (folder / "moved").mkdir()
    (folder / "moved" / "a.png").write_bytes(path.read_bytes())
    os.truncate(path, 100 << 30)  # of which the file system stores next to nothing
    says = (
        f"photo '{path}' cannot be read: it has 107,374,182,400 bytes, and 4,294,967,296 are allowed; the environment "
        "variable SDFIDO_MAX_BYTES allows more"
    )
    assert error_of(lambda: models.read_photo(path)) == says
    outcome, seen = explain(folder / "photos", folder / "out")
    assert (outcome.finished, outcome.failed) == (1, 1)
    assert list(failures(seen).values()) == [says]
    seen = []
    runs.Evaluation([results]).measure(seen.append)
    assert list(failures(seen).values()) == [says]
    seen = []
    runs.Evaluation([results], photos=folder / "moved").measure(seen.append)
    assert failures(seen) == {}
    monkeypatch.setenv("SDFIDO_MAX_BYTES", "80")
    assert "and 80 are allowed" in error_of(lambda: models.read_photo(folder / "moved" / "a.png"))


def test_how_many_pixels_a_photo_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setenv("SDFIDO_MAX_PIXELS", "1199")
    assert error_of(lambda: models.read_photo(tmp_path / "a.png")).endswith(
        "a.png' has 1,200 pixels, and 1,199 are allowed; the environment variable SDFIDO_MAX_PIXELS allows more"
    )
    monkeypatch.setenv("SDFIDO_MAX_PIXELS", "1200")
    assert models.read_photo(tmp_path / "a.png").size == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert models.read_photo(tmp_path / "a.png").size == (40, 30)
    monkeypatch.setenv("SDFIDO_MAX_PIXELS", "many")
    assert "must be a number of pixels, got 'many'" in error_of(lambda: models.read_photo(tmp_path / "a.png"))


def test_how_many_bytes_an_explanation_may_have(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = results / GOOD[0] / layout.MAPS
    monkeypatch.setenv("SDFIDO_MAX_BYTES", "100")
    assert "and 100 are allowed; the environment variable SDFIDO_MAX_BYTES allows more" in error_of(
        lambda: Explanation.load(path)
    )
    monkeypatch.setenv("SDFIDO_MAX_BYTES", "100000")
    assert Explanation.load(path).maps


def test_a_summary_is_not_read_beyond_all_measure(results: Path) -> None:
    path = results / GOOD[0] / layout.SUMMARY
    os.truncate(path, 100 << 30)  # of which the file system stores next to nothing
    left_out: list[events.Failed] = []
    assert [result.folder.name for result in read_results(results, left_out)] == [GOOD[1]]
    assert "summary.json' cannot be read: it has more than the 64 MiB that such a file may have" in left_out[0].message


def test_a_photo_is_turned_as_pillow_turns_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        photo = models.read_photo(tmp_path / "a.png")
        upright = turned(photo, orientation(photo))
        assert np.array_equal(np.asarray(upright), np.asarray(ImageOps.exif_transpose(photo)))
        assert upright_size(photo) == (upright.height, upright.width)


def test_weights(folder: Path) -> None:
    network = torch.nn.Linear(3, 2)
    torch.save(network.state_dict(), folder / "good.pth")
    good = (folder / "good.pth").read_bytes()
    contents = {each.name: each.content for each in damage.damaged(good, "weights", 4, 4, random.Random(5))}
    contents |= {"pickle": pickle.dumps(explanations.Trap()), "text": b"weights", "list": _saved([1, 2])}
    contents |= {"trap": _saved({"weight": explanations.Trap()})}
    for name, content in contents.items():
        (folder / f"{name}.pth").write_bytes(content)
        message = ""
        try:
            load_weights(network, str(folder / f"{name}.pth"))
        except ValueError as error:
            message = str(error)
        assert_one_line(message or name)
        assert f"{name}.pth" in message or "flip" in name
    load_weights(network, str(folder / "good.pth"))
    assert not list(folder.rglob("pwned"))


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_the_command_line(results: Path, folder: Path) -> None:
    made = photos.photos()
    for name in ("png-empty.png", "claims-png.png", "exif-garbage.jpg", "cmyk.jpg"):
        (folder / "photos" / name).write_bytes(made[name].content)
    model = ("--model", "colour_models:make", "--steps", "1", "--samples", "1", "--mask-size", "4", "--no-pictures")
    shutil.copytree(results / GOOD[0], results / "odd")
    (results / "odd" / layout.SUMMARY).write_text("{")
    (results / GOOD[1] / layout.MAPS).write_bytes(b"PK")
    told = run("explain", "photos", *model, "--out", "out")
    assert told.exit_code == 1
    errors = told.stderr.splitlines()
    assert sum(line.startswith("Error: photo 'photos/") for line in errors) == 2
    assert [line for line in errors if "out/odd/summary.json" in line and line.startswith("Note:")]
    told = run("evaluate", "out")
    assert told.exit_code == 1
    errors = [line for line in told.stderr.splitlines() if line.startswith("Error:")]
    assert len(errors) == 2
    assert any("out/odd/summary.json" in line for line in errors)
    assert any(f"out/{GOOD[1]}/explanation.npz is not a saved explanation" in line for line in errors)
    told = run("report", "out")
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
    (folder / "boxes.json").write_text('{"images": [{"file": ' + "[" * 100_000)
    told = run("audit", "out", "--truth", "boxes.json")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "boxes.json" in told.stderr


def test_results_cannot_bring_code(results: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "brought.py").write_text("open('pwned', 'w')\n")
    path = results / GOOD[0] / layout.SUMMARY
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_spec": "brought:make"}))
    monkeypatch.chdir(results)
    monkeypatch.setattr(sys, "path", [*sys.path, str(results)])
    told = run("evaluate", ".")
    assert told.exit_code == 2
    assert "whose code lies among the results" in told.stderr
    assert not list(folder.rglob("pwned"))
    (results / "net.pt").write_bytes(b"PK")  # is not even opened
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_spec": "net.pt"}))
    assert "whose code lies among the results" in run("evaluate", ".").stderr
