"""What the tests of the command line share: a folder with a classifier of three colours, photos, and how to run it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sdfido import cli

MODEL = "colour_models:make"
FAST = ["--steps", "3", "--samples", "2", "--mask-size", "4"]
RESULTS = ["explanation.npz", "overview.png", "summary.json", "view.js"]
INDEX = ["index.html", "index.json", "summary.csv", *(["summary.parquet"] if find_spec("pyarrow") else [])]

_MODELS = """
import os
import time
import torch
from sdfido.models import Classifier, Normalization

calls = []
NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

class Colours(torch.nn.Module):
    def forward(self, images):
        calls.append(images.shape)
        return 8 * images.mean((2, 3))

def make():
    return Classifier("colours", Colours(), NORMALIZATION, (16, 16), ("red, crimson", "green", "blue"))

def large():
    return Classifier("large", Colours(), NORMALIZATION, (20, 20))

class Wrong(torch.nn.Module):
    def forward(self, images):
        return images

class Blind(Colours):
    def forward(self, images):
        if (images[:, 2].mean((1, 2)) > images[:, 0].mean((1, 2))).any():
            raise RuntimeError("no blue, please")
        return super().forward(images)

def blind():
    return Classifier("blind", Blind(), NORMALIZATION, (16, 16), ("red", "green", "blue"))

class Weighted(Colours):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(float(open("weight.txt").read())))
    def forward(self, images):
        return self.scale * super().forward(images)

def weighted():
    return Classifier("weighted", Weighted(), NORMALIZATION, (16, 16), ("red", "green", "blue"))

class Stuck(Colours):
    def forward(self, images):
        if (images[:, 1].mean((1, 2)) > images[:, 0].mean((1, 2))).any() and not os.path.exists("go"):
            open("reached", "w").close()
            time.sleep(60)
        return super().forward(images)

def stuck():
    return Classifier("stuck", Stuck(), NORMALIZATION, (16, 16), ("red", "green", "blue"))

def broken():
    raise RuntimeError("weights are gone")

def stranger():
    raise KeyError("layer4")
"""


def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with classifiers and two photos; the classifiers record what they are called with."""
    (tmp_path / "colour_models.py").write_text(_MODELS)
    draw(tmp_path / "red.png", (250, 20, 20))
    draw(tmp_path / "blue.png", (20, 20, 250))
    monkeypatch.chdir(tmp_path)
    # Processes of their own test this sdfido, too, and not the one that is found from this folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[2]), prepend=os.pathsep)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("colour_models", None)


def draw(path: Path, colour: tuple[int, int, int]) -> None:
    """A photo, 30 x 20, with a square of a colour in its middle."""
    pixels = np.full((20, 30, 3), 60, dtype=np.uint8)
    pixels[5:15, 10:20] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.make_app(), list(arguments))


def explain(*arguments: str, model: str = MODEL) -> Any:
    return run("explain", "--model", model, *FAST, *arguments)


def stamps(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file."""
    return {name: ((folder / name).stat().st_mtime_ns, (folder / name).read_bytes()) for name in names(folder)}


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def calls() -> int:
    """How often the classifier was called; 0 before it is made."""
    return len(sys.modules["colour_models"].calls) if "colour_models" in sys.modules else 0


def page_of(out: Path) -> dict[str, Any]:
    """The data of the page in a folder."""
    text = (out / "index.html").read_text(encoding="utf-8")
    return json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """What the page says of each photo, by the folder of its results."""
    return {row["results"]: row for row in page_of(out)["rows"]}
