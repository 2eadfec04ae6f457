"""Two commands on one folder at the same time, and commands about results that run out of memory or of disk."""

from __future__ import annotations

import errno
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from sdfido import exports, reports, runs
from sdfido.locks import Lock
from sdfido.runs import events
from tests.cli.support import draw, names, prepare
from tests.cli.support import run as command
from tests.faults import Faults, faulty


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two photos beside the photos, and a detector's boxes."""
    place = tmp_path_factory.mktemp("explained")
    boxes = []
    for name, colour in (("a", (250, 20, 20)), ("b", (20, 20, 250))):
        draw(place / "birds" / f"{name}.png", colour)
        boxes.append(
            {"file": f"{name}.png", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.3, 0.2, 0.4, 0.5]}]}
        )
    (place / "birds" / "boxes.json").write_text(json.dumps({"images": boxes, "detection_categories": {"1": "animal"}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
        patch.syspath_prepend(place)
        for _ in prepare(place, patch):
            made = runs.PhotoExplainer("colour_models:make", steps=2, num_samples=1, mask_size=2, pictures=False)
            assert runs.Run(made, runs.choose(["birds"], "out"), runs.Store("out")).execute().explained == 2
    return place


@pytest.fixture(autouse=True)
def folder(explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("birds", "out"):
        shutil.copytree(explained / name, tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path)
    yield from prepare(tmp_path, monkeypatch)


def audit() -> runs.Audit:
    return runs.Audit("out", ["birds/boxes.json"], max_batch=8)


def evaluation() -> runs.Evaluation:
    return runs.Evaluation(["out"], max_batch=8)


def measured(work: Any) -> Callable[[], object]:
    work.measure()
    return work.write


WRITES = {
    "report": (lambda: runs.Report("out").write, "out"),
    "copy": (lambda: lambda: runs.Report("out").write("copy"), "copy"),
    "evaluate": (lambda: measured(evaluation()), "out"),
    "audit": (lambda: measured(audit()), "out"),
}


@pytest.mark.parametrize("name", WRITES)
def test_who_writes_about_all_results_waits_for_who_does(folder: Path, name: str) -> None:
    make, place = WRITES[name]
    write, before = make(), names(folder)
    with Lock(Path(place, ".index.lock")).holding():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert [each for each in names(folder) if each not in before] == [f"{place}/.index.lock"]
    thread.join(60)
    assert not thread.is_alive()
    assert not list(folder.rglob("*.lock"))


def test_two_audits_of_one_folder_are_refused(folder: Path) -> None:
    with Lock("out/.audit.lock").holding():
        result = command("audit", "out", "--truth", "birds/boxes.json")
    assert result.exit_code == 2
    assert "out must not be audited by another process at this time, got 'out'" in result.stderr
    assert command("audit", "out", "--truth", "birds/boxes.json").exit_code == 0


def test_two_exports_into_one_folder_are_refused(folder: Path) -> None:
    arguments = ("export", "out", "--format", "png", "--out", "exported")
    with Lock(".exported.lock").holding():
        result = command(*arguments)
    assert result.exit_code == 2
    assert "out must not be written by another export now, got 'exported'" in result.stderr
    late = exports.Export("out", "safetensors", out="exported")
    assert command(*arguments).exit_code == 0
    with pytest.raises(ValueError, match="--again replaces it"):
        late.write()
    assert (folder / "exported" / "a.ssr.png").exists()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("name", ["evaluate", "audit"])
def test_little_memory_halves_what_the_model_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def record() -> tuple[dict[str, Any], list[int]]:
        seen: list[events.Event] = []
        work = evaluation() if name == "evaluate" else audit()
        work.measure(seen.append)
        (folder / "out" / ".audit.jsonl").unlink(missing_ok=True)
        return work.record(), [event.at_once for event in seen if isinstance(event, events.Lessened)]

    def narrow(self: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 20 bytes.")
        return 8 * images.mean((2, 3))

    calm, lessened = record()
    assert lessened == []
    monkeypatch.setattr(sys.modules["colour_models"].Colours, "forward", narrow)
    short, lessened = record()
    assert short == calm
    assert lessened == [4, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("audit", "out", "--truth", "birds/boxes.json"), "out"),
        (("evaluate", "out"), "out"),
        (("report", "out"), "out"),
        (("export", "out", "--format", "coco", "--out", "exported"), "."),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_full_disk_is_told_in_a_line_and_a_code(folder: Path, arguments: tuple[str, ...], place: str) -> None:
    with faulty(Faults(folder / place, 1, errno.ENOSPC, lasting=True)):
        result = command(*arguments)
    assert result.exit_code == 1, result.output
    (line,) = [each for each in result.stderr.splitlines() if "Error" in each]
    assert "No space left on device (free some space there, then run it again)" in line
    assert not [each for each in names(folder) if each.endswith((".part", ".lock"))]
    assert command(*arguments).exit_code == 0
