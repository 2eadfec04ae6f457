"""Names of the files that results consist of."""

from __future__ import annotations

from pathlib import Path

SUMMARY, MAPS, OVERVIEW = "summary.json", "explanation.npz", "overview.png"
FILES = (SUMMARY, MAPS, OVERVIEW)
"""The files of one photo's results."""

NUMBERS = (SUMMARY, MAPS)
"""Those of them that are not pictures."""

TABLE, PAGE = "summary.csv", "index.html"
"""The files about all results in a folder."""

PARQUET = "summary.parquet"
"""The table once more, where pyarrow is installed."""

CURVES, EVALUATION = "curves.png", "evaluation.json"
"""The files of an evaluation."""


GRAPH = "graph.png"
"""The picture that structured attention graphs add to the results of a photo."""


def is_drawn(path: Path) -> bool:
    """Whether a picture is one that sdfido has written, and so no photo."""
    return any(
        path.name == picture and (path.parent / beside).exists()
        for picture, beside in ((OVERVIEW, MAPS), (GRAPH, MAPS), (CURVES, EVALUATION))
    )
