"""Tables of the contrasts: the blocks of docs/studies/contrast.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval

RESULTS, PICTURE = paths.RESULTS / "contrast.json", paths.IMAGES / "contrast.webp"
LABELS = {
    "contrast": "**FIDO, A rather than B**",
    "class": "FIDO, A",
    "grad-cam": "Grad-CAM of the logits' difference",
    "integrated gradients": "integrated gradients of the difference",
    "contrast, ssr": "FIDO, A rather than B: SSR",
    "contrast, sdr": "FIDO, A rather than B: SDR",
    "class, ssr": "FIDO, A: SSR",
    "class, sdr": "FIDO, A: SDR",
}
_CHECKS = {"weights": "random weights", "classes": "a random other species"}


def methods_table(results: Results) -> str:
    rows = [
        [LABELS[name], with_interval(found["iou"]), with_interval(found["points"])]
        for name, found in results["methods"].items()
    ]
    return table(["map", "IoU ↑", "points at the part ↑"], rows)


def leads_table(results: Results) -> str:
    rows = [[LABELS[name], with_interval(lead)] for name, lead in results["leads"].items()]
    return table(["FIDO, A rather than B, against", "IoU gained"], rows)


def checks_table(results: Results) -> str:
    rows = [[label, with_interval(results["randomised"][name])] for name, label in _CHECKS.items()]
    return table(["FIDO's maps against those for", "rank correlation"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    iou = {name: results["methods"][name]["iou"]["value"] for name in ("contrast", *results["leads"])}
    found: list[Goal] = [
        (f"IoU above {LABELS[name]}", f"> {iou[name]:.2f}", f"{iou['contrast']:.2f}", iou["contrast"] > iou[name])
        for name in results["leads"]
    ]
    same = results["randomised"]["weights"]["value"]
    return [*found, ("rank correlation with the maps of random weights", "≤ 0.2", f"{same:.2f}", same <= 0.2)]


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, methods_table, leads_table, checks_table))


def blocks(results: Results) -> markers.Blocks:
    more = {
        "birds, and questions": f"{results['images']}, {2 * results['images']}",
        "test birds that the classifier gets right": percent(results["classifier"]["right"]),
        "probability of A of the two, mean of images and of infills": (
            f"{results['confidence']:.2f}, {results['confidence_infill']:.2f}"
        ),
        "pixels of a part, mean": percent(results["truth"]),
        "smallest sufficient region, A rather than B and A": ", ".join(
            percent(results["area"][name]) for name in ("contrast", "class")
        ),
    }
    return {
        "goals": goals_block(results),
        "methods": methods_table(results),
        "leads": leads_table(results),
        "checks": checks_table(results),
        "conditions": conditions(results, more),
    }
