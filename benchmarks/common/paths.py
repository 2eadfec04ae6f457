"""Where things are in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results"  # recorded runs, one JSON file each
DOCS = ROOT / "docs"
IMAGES = DOCS / "img"
BUILD = ROOT / "build"  # photos and weights that are fetched or trained once
OUT = ROOT / "out"  # runs that are not recorded


def placed(out: Path | None, *files: Path) -> tuple[Path, ...]:
    """Where a run writes files: in a folder, if one was given, or else where each belongs."""
    return files if out is None else tuple(out / file.name for file in files)
