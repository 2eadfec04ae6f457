"""Results as JSON files that people can read."""

import json
import re
from pathlib import Path
from typing import Any

from sdfido.files import replacing

Results = dict[str, Any]


def dump(results: Results) -> str:
    """As JSON with one line for each innermost set of numbers."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    return re.sub(r"\{[^{}]*\}", lambda match: " ".join(match[0].split()), text) + "\n"


def read(path: Path) -> Results:
    results: Results = json.loads(path.read_text())
    return results


def write(path: Path, results: Results) -> Results:
    """Write the file atomically, and return the results as they are read from it, which pages are made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = dump(results)
    with replacing(path) as part:
        part.write_text(text)
    found: Results = json.loads(text)
    return found
