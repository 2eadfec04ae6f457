from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdfido import Explanation, MapInfo
from sdfido.explanation import SSR_AND_SDR
from sdfido.reports.view import as_script, read, view


def explanation(side: int = 32, cells: int = 4) -> Explanation:
    """The SSR keeps the first cell, the SDR removes the last one."""
    kept = torch.zeros(1, 2, cells, cells, dtype=torch.bool)
    kept[:, 0, 0, 0], kept[:, 1] = True, True
    kept[:, 1, -1, -1] = False
    ramp = torch.linspace(0, 1, side).expand(1, side, side)
    parts = {"mask_logits": torch.zeros(1, 2, cells, cells), "kept_cells": kept}
    return Explanation(
        "fido", {"ssr": ramp, "sdr": 1 - ramp}, {}, torch.zeros(1, dtype=torch.int64), parts, legend=SSR_AND_SDR
    )


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8)


def test_maps_and_regions_are_cells() -> None:
    shown = view(explanation(), torch.rand(1, 3, 32, 32), torch.zeros(1, 3, 1, 1))
    assert list(shown["maps"]) == ["ssr", "sdr", "joint"]
    assert shown["maps"]["ssr"]["size"] == [4, 4]
    expected = torch.linspace(0, 1, 32).reshape(4, 8).mean(1).mul(255).round().byte().repeat(4)
    assert decoded(shown["maps"]["ssr"]["values"]).tolist() == expected.tolist()
    bits = {name: np.unpackbits(decoded(region["kept"])) for name, region in shown["regions"].items()}
    assert bits["ssr"].tolist() == [1, *[0] * 15]
    assert bits["sdr"].tolist() == [*[1] * 15, 0]


def test_pictures_are_small_and_keep_their_proportions() -> None:
    grey = torch.full((1, 1, 300, 600), 0.5)
    maps = {"lrp": torch.linspace(-1, 1, 300)[:, None].expand(1, 300, 600)}
    one = Explanation("lrp", maps, {}, torch.zeros(1, dtype=torch.int64), legend={"lrp": MapInfo("LRP", signed=True)})
    shown = view(one, grey, torch.tensor(0.0))
    photo = Image.open(io.BytesIO(base64.b64decode(shown["photo"])))
    assert (photo.format, photo.mode, photo.size) == ("WEBP", "RGB", (240, 120))
    assert np.asarray(photo).mean() == pytest.approx(128, abs=2)
    assert (shown["regions"], shown["maps"]["lrp"]["signed"]) == ({}, True)
    values = decoded(shown["maps"]["lrp"]["values"]).reshape(shown["maps"]["lrp"]["size"])
    assert values[0].max() < 10
    assert values[-1].min() > 245  # -1 is 0, and 1 is 255


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shown = view(explanation(), torch.rand(1, 3, 32, 32), torch.zeros(1, 3, 1, 1))
    path = tmp_path / "view.js"
    path.write_text(as_script(shown))
    assert read(path) == shown
    for text in ("", "alert(1)", "sdfidoView([]);\n", "sdfidoView({);\n"):
        path.write_text(text)
        assert read(path) is None
    assert read(tmp_path / "none.js") is None
