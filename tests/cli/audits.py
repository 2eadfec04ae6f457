"""Photos with a mark in the corner, a classifier that looks at it, and its audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.cli.support import FAST, run

N = 16  # photos, half of each class
CORNER = """

class Corner(torch.nn.Module):
    def forward(self, images):
        calls.append(images.shape)
        corner = 6 * images[:, :, :3, :3].mean((2, 3))
        return corner + images[:, :, 3:, 3:].mean((2, 3))

def corner():
    return Classifier("corner", Corner(), NORMALIZATION, (16, 16), ("red", "green", "blue"), interpolation="box")
"""


def marked(folder: Path) -> Path:
    """Results of that classifier; photos of site A have a red animal and a red mark, others both in blue."""
    for n in range(N):
        draw(folder / "photos" / "AB"[n % 2] / f"IMG_{n // 2}.png", red=n % 2 == 0, grey=40 + 4 * n)
    return explain(folder, "photos")


def explain(folder: Path, photos: str) -> Path:
    with (folder / "colour_models.py").open("a") as file:
        file.write(CORNER)
    result = run("explain", photos, "--model", "colour_models:corner", *FAST, "--no-pictures", "--out", "results")
    assert result.exit_code == 0, result.output
    return folder / "results"


def draw(path: Path, *, red: bool, grey: int, mark: int = 240, exif: Image.Exif | None = None) -> None:
    """A photo of a red or a blue animal, with a mark of the same colour in the corner."""
    pixels = np.full((32, 32, 3), grey, dtype=np.uint8)
    pixels[12:20, 12:24] = (240, 20, 20) if red else (20, 20, 240)
    pixels[:6, :6] = (mark, 20, 20) if red else (20, 20, mark)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)


def write(path: Path, count: int = N, prefix: str = "", **more: Any) -> Path:
    box = [12 / 32, 12 / 32, 12 / 32, 8 / 32]
    images = [
        {"file": f"{prefix}{'AB'[n % 2]}/IMG_{n // 2}.png", "detections": [{"category": "1", "conf": 0.9, "bbox": box}]}
        for n in range(count)
    ]
    path.write_text(json.dumps({"images": images, "detection_categories": {"1": "animal"}} | more))
    return path


def record(out: Path) -> dict[str, Any]:
    return json.loads((out / "audit.json").read_text(encoding="utf-8"))


def audit(*arguments: str) -> Any:
    return run("audit", "results", *arguments)
