"""Pages that are filled from results: the text between two markers is what the results' files say.

Markers are comments: ``<!-- NAME:KEY -->...<!-- /NAME -->``, where KEY says which of the texts belongs there.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path


def marked(page: str, name: str, text: Callable[[str], str]) -> str:
    """The page with what stands between the markers of that name replaced by the text for each key."""
    pattern = rf"(<!-- {name}:(\w+) -->).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda match: match[1] + text(match[2]) + match[3], page, flags=re.DOTALL)


def put(path: Path, text: str, *, check: bool, command: str) -> None:
    """Writes the page where it differs from the text; with check, exits instead and names the command that mends it."""
    current = path.read_text() if path.exists() else None
    if current == text:
        return
    if check:
        sys.exit(f"{path.name} is out of date: run python {command}")
    path.write_text(text)
