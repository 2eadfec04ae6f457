"""Pictures of evaluation curves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sdfido import evaluate, reports


def _curve(measure="deletion", height=0.5, n=3):
    fractions = torch.linspace(0, 1, 5)
    values = (height * torch.ones(n, 5)).clamp(0, 1)
    return evaluate.Curve(measure, fractions, values, torch.ones(n), torch.zeros(n, dtype=torch.int64))


def _texts(figure: Figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_curves_are_drawn_with_their_areas_best_first(tmp_path):
    removed = {"Occlusion": _curve(height=0.25), "SDR": _curve(height=0.125), "Grad-CAM": _curve(height=0.75)}
    kept = {"SSR": _curve("insertion", 0.875), "Occlusion": _curve("insertion", 0.375)}
    figure = reports.curves(removed, kept, title="Six photos")
    texts = _texts(figure)
    assert [text for text in texts if text.startswith("0.")] == ["0.125", "0.250", "0.750", "0.875", "0.375"]
    assert [text for text in texts if text in removed | kept] == ["SDR", "Occlusion", "Grad-CAM", "SSR", "Occlusion"]
    assert texts.count("area under the curve, mean of 3 images") == 2
    assert {"Deletion", "lower is better", "Insertion", "higher is better"} <= set(texts)
    first, second = figure.axes[0], figure.axes[2]
    colours = {name: line.get_color() for name, line in zip(removed, first.lines, strict=True)}
    assert len(set(colours.values())) == 3
    assert second.lines[1].get_color() == colours["Occlusion"]
    np.testing.assert_allclose(first.lines[1].get_ydata(), 0.125)
    reports.save(figure, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_nothing_of_a_picture_is_cut_off_or_overlaps():
    names = ["SSR", "SDR", "joint", "Integrated Gradients", "A method with a very long name indeed", *"abcdefghijklmno"]
    panels = [{name: _curve(m, i / len(names)) for i, name in enumerate(names)} for m in ("deletion", "insertion")]
    figure = reports.curves(*panels, title="Twenty methods")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, bounds = canvas.get_renderer(), figure.bbox
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    for axes in figure.axes[::2]:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    assert len(boxes) > 2 * (2 * len(names) + 10)
    cut = [text for text, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > bounds.x1 or b.y1 > bounds.y1]
    overlaps = [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.overlaps(y)]
    assert cut == []
    assert overlaps == []


@pytest.mark.parametrize(
    ("panels", "error", "message"),
    [
        ([], ValueError, "panels must hold at least one curve each, got none"),
        ([{}], ValueError, "panels must hold at least one curve each, got none"),
        ([{"SSR": torch.zeros(3)}], TypeError, "panels must map names to sdfido.evaluate.Curve, got Tensor as SSR"),
        ([{"SSR": _curve(n=0)}], ValueError, "panels must hold curves of at least one image, got none as SSR"),
        ([{"a": _curve(), "b": _curve("insertion")}], ValueError, "one measure each, got deletion, insertion"),
    ],
)
def test_wrong_panels(panels, error, message):
    with pytest.raises(error, match=message):
        reports.curves(*panels)
