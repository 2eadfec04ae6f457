"""Tables of the texts: the blocks of docs/studies/texts.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval

RESULTS, PICTURE = paths.RESULTS / "texts.json", paths.IMAGES / "texts.webp"
LABELS = {"fido": "**FIDO**", "grad-cam": "Grad-CAM", "integrated gradients": "integrated gradients"}
_KINDS = {"true": "true of the bird", "wrong": "names a part that the bird lacks", "nonsense": "random letters"}


def methods_table(results: Results) -> str:
    rows = [
        [LABELS[name], with_interval(found["points"]), with_interval(found["iou"])]
        for name, found in results["methods"].items()
    ]
    return table(["map", "points at the part ↑", "IoU ↑"], rows)


def parts_table(results: Results) -> str:
    rows = [[name, f"{found['hits']} of {found['birds']}"] for name, found in results["parts"].items()]
    return table(["a bird with", "FIDO points at the part"], rows)


def prompts_table(results: Results) -> str:
    rows = [[_KINDS[kind], percent(each["part"]), str(each["checks"])] for kind, each in results["flagged"].items()]
    return table(["text", "flagged", "pairs of text and bird"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    points, bill = results["methods"]["fido"]["points"]["value"], results["parts"]["a long bill"]
    hit = bill["hits"] / max(1, bill["birds"])
    return [
        ("points into the bill, for a bird with a long bill", "≥ 80%", percent(hit), hit >= 0.8),
        ("points into the part, all texts", "≥ 80%", percent(points), points >= 0.8),
    ]


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, methods_table, parts_table, prompts_table))


def blocks(results: Results) -> markers.Blocks:
    more = {
        "birds": str(results["images"]),
        "birds that the model was trained on": str(results["trained"]),
        "held-out birds with a part whose text fits best": percent(results["right"]),
        "pixels of a part, mean": percent(results["truth"]),
    }
    return {
        "goals": goals_block(results),
        "methods": methods_table(results),
        "parts": parts_table(results),
        "prompts": prompts_table(results),
        "conditions": conditions(results, more),
    }
