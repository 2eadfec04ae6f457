"""The page of many results: it opens without a server or a network, with all it shows inside or in files beside it.

The template, its style and its script are the files of ``page/``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib import colormaps

from ..checks import check_kind
from ..files import visible
from . import style

__all__ = ["BEGINS", "page"]

BEGINS = '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="sdfido">\n'
"""How every page begins, by which one is told from other files."""

_SCRIPTS = ("data", "pictures", "choice", "list", "detail", "main")


def page(title: str, data: Mapping[str, Any]) -> str:
    """The page as text.

    The data are those that ``page/data.js`` reads: ``rows``, ``quantities``, ``views`` and the texts around them; see
    ``sdfido.runs.page``. All text in them is shown as text, whatever it is. The page may load nothing but scripts
    that lie in the file system (or on the same server), which have the pictures of large pages.

    Args:
        title: what stands on top.
        data: plain values, as JSON has them.

    Example:
        >>> Path("index.html").write_text(reports.page("3 photos explained", data), encoding="utf-8")
    """
    check_kind("title", title, str, "a text")
    check_kind("data", data, Mapping, "plain values by name")
    sheet, script = _part("page.css"), _script()
    rules = {
        "default-src": "'none'",
        "script-src": f"{_digest(script)} 'self' file:",
        "style-src": _digest(sheet),
        "img-src": "data: 'self' file:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    text = json.dumps({**_shown(data), "scale": _scale()}, separators=(",", ":"), allow_nan=False)
    filled = {
        "POLICY": "; ".join(f"{name} {value}" for name, value in rules.items()),
        "TITLE": escape(visible(title)),
        "STYLE": sheet,
        "SCRIPT": script,
        "DATA": text.replace("<", "\\u003c"),  # no tag, and no comment, can begin or end in it
    }
    return re.sub("@([A-Z]+)@", lambda found: filled[found[1]], _part("page.html"))


def _shown(value: Any) -> Any:
    """Plain values whose texts show control characters and right-to-left marks, which would turn the text around."""
    if isinstance(value, str):
        return value if value.isprintable() else visible(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return list(map(_shown, value)) if isinstance(value, list | tuple) else value


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    body = "\n".join(_part(f"{name}.js") for name in _SCRIPTS)
    return f'\n"use strict";\n(() => {{\n{body}}})();\n'


def _digest(text: str) -> str:
    """The source of an inline script or style for a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _scale() -> dict[str, Any]:
    """How a map is drawn over its photo, as ``style.heatmap`` does it."""
    steps = style.COLOUR_FLOOR + style.COLOUR_RANGE * np.linspace(0, 1, 256)
    return {
        "floor": style.GREY_FLOOR,
        "range": style.GREY_RANGE,
        "opacity": style.OPACITY,
        "gamma": style.GAMMA,
        "colours": (255 * colormaps["inferno"](steps)[:, :3]).round().astype(int).tolist(),
    }
