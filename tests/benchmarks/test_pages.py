"""Generated blocks of the pages: they say what the recorded results give, and all else is the writer's."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import pages
from benchmarks.common import markers, paths, pictures, report

PAGE = """# A page

<!-- begin: numbers -->
old
<!-- end -->

Written by hand.

<!-- begin: other-numbers -->
<!-- end -->
"""


def test_what_stands_between_markers_is_replaced_and_nothing_else():
    filled = markers.filled(PAGE, {"numbers": "| 1 |", "other-numbers": "2"})
    assert "\n<!-- begin: numbers -->\n\n| 1 |\n\n<!-- end -->\n\nWritten by hand.\n" in filled
    assert "old" not in filled
    assert markers.filled(filled, {"numbers": "| 1 |", "other-numbers": "2"}) == filled
    assert markers.names(filled) == ["numbers", "other-numbers"]


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'other-numbers', must be one of numbers"):
        markers.filled(PAGE, {"numbers": ""})


@pytest.mark.parametrize("name", pages.PAGES)
def test_blocks_say_what_the_recorded_results_give(name: str):
    text = (paths.ROOT / name).read_text()
    assert markers.filled(text, pages.PAGES[name].made()) == text, "run python -m benchmarks.pages"


@pytest.mark.parametrize("name", pages.PAGES)
def test_tables_have_as_many_cells_in_every_row(name: str):
    for title, block in pages.PAGES[name].made().items():
        rows = [line.replace(r"\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, title


def test_every_page_of_results_shows_a_block():
    for name in pages.PAGES:
        if name.startswith("docs/"):
            assert markers.names((paths.ROOT / name).read_text()), name


def test_pictures_of_the_pages_are_there_and_small():
    for name in pages.PAGES:
        page = paths.ROOT / name
        for link in re.findall(r"\]\(([^):]+\.webp)\)", page.read_text()):
            assert Image.open(page.parent / link).format == "WEBP"
    files = [file for file in paths.DOCS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 2e6


def test_columns_are_aligned():
    table = report.table(["a", "bb"], [["ccc", "1"], ["d", "10000"]])
    assert table == "| a   |    bb |\n| --- | ----: |\n| ccc |     1 |\n| d   | 10000 |"


def test_misses_of_goals_are_bold():
    rows: list[report.Goal] = [("hit", "> 0", "1", True), ("miss", "> 0", "0", False), ("open", "", "0", None)]
    lines = report.goals_table("", rows).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["yes", "**no**", ""]


@pytest.mark.parametrize(
    ("part", "text"), [(None, "–"), (0.0, "0.0%"), (0.0004, "< 0.1%"), (0.5, "50.0%"), (1.0, "100.0%")]
)
def test_percentages(part: float | None, text: str):
    assert report.percent(part) == text


def test_pictures_are_scaled_to_a_page(tmp_path: Path):
    pictures.save(Figure(figsize=(20, 1), dpi=100), tmp_path / "wide.webp")
    pictures.save(Figure(figsize=(2, 1), dpi=100), tmp_path / "narrow.webp")
    Image.new("RGBA", (2800, 100)).save(tmp_path / "old.png")
    pictures.convert(tmp_path / "old.png", tmp_path / "new.webp")
    sizes = {path.name: Image.open(path).size for path in tmp_path.glob("*.webp")}
    assert sizes == {"wide.webp": (1400, 70), "narrow.webp": (200, 100), "new.webp": (1400, 50)}
