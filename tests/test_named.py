"""What the pages name is there: pages and headings that they link to, Python's names, commands, options and files."""

import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import sdfido

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"(?<![\w./])(?:sdfido|runs|models|evaluate|reports|infills)(?:\.[A-Za-z]\w*)+(?!\.?\w)")
FILE = re.compile(r"`((?:tests|benchmarks|csrc|sdfido|examples|docs|\.ci)/[\w./-]*?(?:/|\.(?:py|md|json|cpp|cu|cuh)))`")


def not_there(find: Callable[[str], list[str]], there: Callable[[str], bool]) -> list[str]:
    """Page and name of each thing that a page names and that is not there."""
    pages = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
    named = {page: sorted(set(find(text))) for page, text in pages.items()}
    assert sum(map(len, named.values())) > 5  # the pattern finds what it is for
    return [f"{page}: {name}" for page, names in named.items() for name in names if not there(name)]


def code(text: str) -> str:
    """All code of a page, a line each: blocks and what stands in a sentence."""
    return "\n".join([*FENCED.findall(text), *re.findall(r"(?<!`)`([^`\n]+)`", text)])


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings() -> None:
    dead = []
    for page in PAGES:
        for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", FENCED.sub("", page.read_text())):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(f"{page.relative_to(ROOT)}: {link}")
    assert not dead


def test_names_can_be_imported() -> None:
    def there(name: str) -> bool:
        value, path = sdfido, "sdfido"
        for part in name.removeprefix("sdfido.").split("."):
            path = f"{path}.{part}"
            if not hasattr(value, part):
                try:
                    importlib.import_module(path)
                except ImportError:
                    return False
            value = getattr(value, part)
        return True

    assert not not_there(lambda text: NAME.findall(code(text)), there)


def test_commands_and_options_are_those_of_the_program() -> None:
    typer = pytest.importorskip("typer.main", reason='needs pip install "sdfido[cli]"')
    from sdfido.cli import make_app

    commands = typer.get_command(make_app()).commands
    options = {
        name: {"--help", *(option for each in command.params for option in [*each.opts, *each.secondary_opts])}
        for name, command in commands.items()
    }

    def find(text: str) -> list[str]:
        lines = re.findall(r"^sdfido ([a-z]+[^\n#]*)", code(text), re.MULTILINE)
        return [
            f"{line.split()[0]} {option}" for line in lines for option in ["--help", *re.findall(r"--[a-z-]+", line)]
        ]

    def there(call: str) -> bool:
        command, option = call.split()
        return option in options.get(command, ())

    assert not not_there(find, there)


def test_files_modules_and_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert not not_there(FILE.findall, lambda name: (ROOT / name).exists())
    assert not not_there(
        lambda text: re.findall(r"python -m ((?:benchmarks|tests)(?:\.\w+)+)", text),
        lambda name: importlib.util.find_spec(name) is not None,
    )
    assert not not_there(lambda text: re.findall(r"`make ([a-z-]+)", text), targets.__contains__)
