"""A web page with the pictures of many results, which opens without a server and has no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

__all__ = ["BEGINS", "page"]

BEGINS = '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="sdfido">\n'

_STYLE = """
body { margin: 2rem; font: 15px/1.5 system-ui, sans-serif; color: #1b1b1f; background: #f0f0f3 }
h1 { margin: 0; font-size: 1.5rem }
p, span { color: #6b6b76 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(36rem, 100%), 1fr)); gap: 1.5rem }
a.result { padding: 1rem; border-radius: 8px; background: white; color: inherit; text-decoration: none }
a.result:hover { outline: 2px solid #3d6fb6 }
img { display: block; width: 100%; aspect-ratio: auto 8/5 }
b, span { display: block; overflow-wrap: anywhere }
""".strip()


def page(cards: Sequence[tuple[Path, str, Sequence[str]]], legends: Sequence[str], table: str) -> str:
    """The page as text.

    Args:
        cards: for each result where its picture is, seen from the page, the photo's name, and lines of text: its
            numbers, and what else is to be said.
        legends: what the maps show, a sentence each.
        table: name of the file with all numbers.
    """
    count = f"{len(cards)} photo{'s' if len(cards) != 1 else ''} explained"
    about = "".join(f"{escape(legend)} " for legend in legends)
    return (
        f"{BEGINS}<title>{count}</title>\n<style>\n{_STYLE}\n</style>\n<h1>{count}</h1>\n"
        f'<p>{about}All numbers: <a href="{quote(table)}">{escape(table)}</a></p>\n<main>\n'
        + "\n".join(_card(*card) for card in cards)
        + "\n</main>\n</html>\n"
    )


def _card(picture: Path, name: str, lines: Sequence[str]) -> str:
    told = "".join(f"<span>{escape(line)}</span>" for line in lines)
    link = quote(picture.as_posix(), errors="surrogateescape")
    return f'<a class="result" href="{link}"><b>{escape(name)}</b>{told}<img loading="lazy" src="{link}" alt=""></a>'
