"""`sdfido info`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..ops import build_info
from .console import say


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the version of this installation and what it computes with."""
    facts = build_info()
    if as_json:
        say(json.dumps(facts, indent=2))
        return
    table = Table("", "sdfido", show_header=False)
    for name, value in facts.items():
        table.add_row(name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    Console().print(table)
