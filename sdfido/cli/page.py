"""The web page that shows the pictures of many results, without a server or a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

BEGINS = '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="sdfido">\n'

_STYLE = """
body { margin: 2rem; font: 15px/1.5 system-ui, sans-serif; color: #1b1b1f; background: #f0f0f3 }
h1 { margin: 0; font-size: 1.5rem }
p, span { color: #6b6b76 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(36rem, 100%), 1fr)); gap: 1.5rem }
a.result { padding: 1rem; border-radius: 8px; background: white; color: inherit; text-decoration: none }
a.result:hover { outline: 2px solid #3d6fb6 }
img { display: block; width: 100%; aspect-ratio: auto 8/5 }
b { display: block; overflow-wrap: anywhere }
""".strip()


def render(pictures: Sequence[tuple[Path, Mapping[str, Any]]], table: str) -> str:
    """The page of pictures, given by their places from the page, each with its summary; table: what has all numbers."""
    count = f"{len(pictures)} photo{'s' if len(pictures) != 1 else ''} explained"
    cards = "\n".join(_card(place, summary) for place, summary in pictures)
    return (
        f"{BEGINS}<title>{count}</title>\n<style>\n{_STYLE}\n</style>\n<h1>{count}</h1>\n"
        "<p>SSR: the smallest region that is sufficient for the class. SDR: the smallest one whose loss destroys it. "
        f'All numbers: <a href="{quote(table)}">{escape(table)}</a></p>\n<main>\n{cards}\n</main>\n</html>\n'
    )


def _card(place: Path, summary: Mapping[str, Any]) -> str:
    link = quote(place.as_posix(), errors="surrogateescape")
    numbers = (
        f"{summary['label']} {summary['prob_image']:.1%}; SSR, {summary['area_ssr']:.0%} kept: "
        f"{summary['prob_ssr_binary']:.1%}; SDR, {summary['area_sdr']:.0%} gone: {summary['prob_sdr_binary']:.1%}"
    )
    return (
        f'<a class="result" href="{link}"><b>{escape(str(summary["photo"]))}</b><span>{escape(numbers)}</span>'
        f'<img loading="lazy" src="{link}" alt=""></a>'
    )
