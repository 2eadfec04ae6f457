"""The results of photos on disk: the files of each, what tells whether they are finished, and the table of all."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..explanation import Explanation
from ..files import replacing
from ..models import Classifier
from . import page
from .common import printable

FILES = ("summary.json", "explanation.npz", "overview.png")
TABLE, PAGE = "summary.csv", "index.html"
CURVES, EVALUATION = "curves.png", "evaluation.json"
DEMO_PHOTO = "chelsea"

NUMBERS = (
    *("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr"),
    *("prob_ssr_binary", "prob_sdr_binary", "area_ssr", "area_sdr"),
)
_COLUMNS = ("photo", "target", "label", *NUMBERS, "steps_done", "seconds", "model", "infill", "seed")


def write(
    folder: Path, summary: Mapping[str, Any], explanation: Explanation, pixels: Tensor, infill: Tensor, label: str
) -> None:
    """Write a photo's results, all or none; the summary last, so that it stands for all."""
    from .. import plot

    figure = plot.overview(explanation, pixels, infill, label=label)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:  # renames in reverse
        summary_part, maps_part, picture_part = (stack.enter_context(replacing(folder / name)) for name in FILES)
        plot.save(figure, picture_part)
        explanation.save(maps_part)
        summary_part.write_text(text, encoding="utf-8")
        (folder / FILES[0]).unlink(missing_ok=True)  # an old summary must not stand for new files


def read_summary(folder: Path, needed: Sequence[str] = FILES) -> dict[str, Any] | None:
    """The summary of a folder's results; None where one of the needed files is not there."""
    if not all((folder / name).is_file() for name in needed):
        return None
    try:
        summary = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) else None


def differences(summary: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The names of what a result was made otherwise with than is wanted now."""
    names = []
    for name, value in wanted.items():
        made = summary.get(name)
        if isinstance(value, dict):
            names += differences(made if isinstance(made, dict) else {}, value)
        elif made != value:
            names.append(name)
    return names


def fingerprint(classifier: Classifier) -> str:
    """SHA-256 over a classifier's weights and what it makes of a photo before it sees it."""
    about = (classifier.normalization, classifier.size, classifier.crop, classifier.interpolation)
    digest = hashlib.sha256(repr(about).encode())
    for name, value in classifier.model.state_dict().items():
        if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def find(out: Path, needed: Sequence[str] = FILES) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All results with the needed files in a folder and its sub-folders, sorted: their folders and summaries."""
    for parent, names, _ in os.walk(out):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if (summary := read_summary(Path(parent), needed)) is not None:
            yield Path(parent), summary


def is_drawn(path: Path) -> bool:
    """Whether a picture is one that sdfido has written, no photo."""
    return any(
        path.name == picture and (path.parent / beside).exists()
        for picture, beside in ((FILES[2], FILES[1]), (CURVES, EVALUATION))
    )


def check_index(out: Path) -> None:
    """Raise ValueError where the table or the page would replace a file that sdfido has not written."""
    for name, begins in ((TABLE, "\ufeffphoto,"), (PAGE, page.BEGINS)):
        path = out / name
        if not os.path.lexists(path):
            continue
        try:
            ours = path.read_bytes().startswith(begins.encode())
        except OSError:
            ours = False
        if not ours or not os.access(path, os.W_OK):
            raise ValueError(f"out must be a folder for results, got {str(out)!r}, where {path} cannot be replaced")


def check_evaluation(out: Path) -> None:
    """Raise ValueError where the numbers and the curves of an evaluation could not be written."""
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"out must be a folder to write to, got {printable(out)!r}, which is not writable")
    for path in (out / EVALUATION, out / CURVES):
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            raise ValueError(
                f"out must take the evaluation, got {printable(out)!r}, where {printable(path)} cannot be replaced"
            )


def write_index(out: Path) -> None:
    """Write the table of all results in OUT, which spreadsheets open, and the page of their pictures; none without."""
    found = [(folder.relative_to(out), summary) for folder, summary in find(out) if _can_be_told(summary)]
    if not found:
        return
    with replacing(out / TABLE) as part, part.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow([*_COLUMNS, "results"])
        for folder, summary in found:
            table.writerow([*(_cell(summary.get(name, "")) for name in _COLUMNS), printable(folder)])
    with replacing(out / PAGE) as part:
        part.write_text(page.render([(f / FILES[2], s) for f, s in found], TABLE), encoding="utf-8")


def _can_be_told(summary: Mapping[str, Any]) -> bool:
    """Whether it says what the page shows; that of an older sdfido, or of another program, may not."""
    numbers = (summary.get(name) for name in NUMBERS)
    return "photo" in summary and "label" in summary and all(isinstance(number, int | float) for number in numbers)


def _cell(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value
