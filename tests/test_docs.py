"""The documentation: its Python code runs, the README stays short, and no version is written down twice."""

import dataclasses
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sdfido
from sdfido import evaluate, infills, methods, models, reports, runs, scores
from sdfido.methods.concepts import ConceptSettings

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
MIGRATION = "migration"  # its blocks are compared with each other in tests/benchmarks
FAST = ("your-model", "questions", "training-loop", "index")  # without the demo's classifier


def code(page: Path) -> list[str]:
    """The Python blocks of a page, without those that a comment before them excepts."""
    return re.findall(r"(?<!-->\n)^```python\n(.+?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def run(page: Path) -> dict[str, Any]:
    """What the blocks of a page define when they run one after another."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in code(page):
        exec(compile(block, str(page), "exec"), names)
    return names


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Explains in two steps instead of many, in an empty folder."""
    for module, name in ((sdfido, "FIDO"), (runs, "PhotoExplainer")):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, whole=whole, **given: whole(*args, **given | {"steps": 2}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_code_of_the_readme_runs(quick: Path) -> None:
    assert len(code(README)) >= 1
    run(README)
    assert (quick / "overview.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_code_of_the_quick_start_runs(quick: Path) -> None:
    run(ROOT / "docs/quickstart.md")
    assert (quick / "overview.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem in FAST else pytest.mark.slow)
        for page in [*GUIDES, ROOT / "docs/methods/index.md"]
        if page.stem != MIGRATION
    ],
)
def test_the_code_of_a_guide_runs(page: Path, quick: Path) -> None:
    if page.stem == "folder":
        (quick / "birds").mkdir()
        models.demo_photo().save(quick / "birds/robin.png")
    run(page)


def first_column(page: str, heading: str) -> dict[str, str]:
    """The rows of the table below a heading: what stands in code in the first column, and the second column."""
    text = (ROOT / "docs" / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    return {name: second.strip() for first, second in rows for name in re.findall(r"`(\w+)`", first)}


def test_the_page_of_fido_has_its_settings() -> None:
    assert first_column("methods/fido.md", "Settings") == {
        field.name: str(field.default) for field in dataclasses.fields(sdfido.Settings)
    }


def test_the_page_of_sufficient_regions_has_its_settings() -> None:
    fields = {field.name: str(field.default) for field in dataclasses.fields(sdfido.SufficientRegions.settings_type)}
    del fields["left_share"]  # of regions that are removed
    assert first_column("methods/regions.md", "Settings") == fields


def test_the_page_of_relevance_has_its_settings() -> None:
    fields = {field.name: str(field.default) for field in dataclasses.fields(sdfido.Relevance.settings_type)}
    assert first_column("methods/relevance.md", "Settings") == fields


def test_the_page_of_concepts_has_its_settings() -> None:
    fields = {field.name: str(field.default) for field in dataclasses.fields(ConceptSettings)}
    assert first_column("methods/concepts.md", "Settings") == fields


def test_the_guide_to_enhancement_has_its_arguments() -> None:
    arguments = inspect.signature(sdfido.enhance).parameters
    assert first_column("guides/enhance.md", "Settings").keys() <= arguments.keys()


@pytest.mark.parametrize(
    "module", [sdfido, evaluate, infills, methods, models, reports, runs, scores], ids=lambda module: module.__name__
)
def test_the_reference_has_every_public_name(module: ModuleType) -> None:
    reference = "\n".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.rst"))
    described = set(re.findall(r"^\.\. (?:auto\w+|py:data):: (?:[\w.]+\.)?(\w+)", reference, re.MULTILINE))
    names = {name for name in module.__all__ if not inspect.ismodule(getattr(module, name))} - {"__version__"}
    assert names <= described


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 120


def test_hooks_and_makefile_have_the_same_linters() -> None:
    linters = re.search(r"^LINTERS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert linters is not None
    pinned = dict(each.split("==") for each in linters[1].split())
    hooks = re.findall(r"([\w-]+)==([\w.]+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooks
    assert all(pinned[name] == version for name, version in hooks)


def test_the_version_has_one_home() -> None:
    home = (ROOT / "sdfido/_version.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.+)"$', home, re.MULTILINE)
    assert sdfido.__version__ == version == sdfido.build_info()["version"]
    assert version not in (ROOT / "pyproject.toml").read_text()
