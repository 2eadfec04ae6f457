"""Pages that are filled from results: the text between two markers is what the results' files say.

Markers are comments: ``<!-- NAME:KEY -->...<!-- /NAME -->``, where KEY says which of the texts belongs there.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def main(about: str | None, path: Path, results: Path, text: Callable[[Any], str], *, command: str) -> None:
    """The command line of a page that is made from one results' file."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=results, help="the results")
    parser.add_argument("--check", action="store_true", help="only fail if the page would change")
    arguments = parser.parse_args()
    put(path, text(json.loads(arguments.json.read_text())), check=arguments.check, command=command)
