"""Tables of the difference maps: the blocks of docs/studies/calm.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval

RESULTS, PICTURE = paths.RESULTS / "calm.json", paths.IMAGES / "calm.webp"
LABELS = {
    "calm em": "**CALM, EM**",
    "calm ml": "**CALM, ML**",
    "cam": "CAM, average head",
    "cam ordinary": "CAM, ordinary head",
    "grad-cam": "Grad-CAM",
    "ig": "Integrated Gradients",
    "fido": "FIDO, lead as score",
}
HEADS = {
    "ordinary": "ordinary: the highest features",
    "average": "average features",
    "em": "CALM, EM",
    "ml": "CALM, ML",
}
# Kim et al., ICCV 2021, table of cue localisation on CUB: mean of 31, 64 and 96 pairs that differ in 1, 2 and 3 parts.
PUBLISHED = {"calm em": 0.343, "calm ml": 0.273, "cam": 0.296, "ig": 0.157}
RIVALS = ("cam", "cam ordinary", "grad-cam", "ig")  # those that the difference map is to surpass
_POINTS = 0.02
_SECONDS = 600
_LATER = "to be taken on a quiet machine"


def cues_table(results: Results) -> str:
    """Cue localisation, and the published figures on photos of birds."""
    rows = []
    for name, found in results["methods"].items():
        published = f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else "–"
        rows.append([LABELS[name], *(with_interval(found[key]) for key in ("pairs", "one", "two")), published])
    rows.append(["chance", *3 * [f"{results['truth']['value']:.2f}"], "–"])
    return table(["method", "all pairs ↑", "one part ↑", "two parts ↑", "published, photos"], rows)


def images_table(results: Results) -> str:
    """The same image by image."""
    rows = [
        [LABELS[name], *(with_interval(found[key]) for key in ("images", "shown", "missing", "pointing"))]
        for name, found in results["methods"].items()
    ]
    return table(["method", "each image ↑", "part is there ↑", "part is missing ↑", "pointing game ↑"], rows)


def heads_table(results: Results) -> str:
    """Accuracy and training of the classifiers."""
    rows = []
    for name, label in HEADS.items():
        said, seconds = results["accuracy"][name], results["training"][name]
        accuracy = "{} ({} to {})".format(*(percent(said[key]) for key in ("value", "low", "high")))
        rows.append([label, accuracy, _LATER if seconds is None else f"{seconds:.0f} s"])
    return table(["head", "accuracy ↑", "drawing and training, one thread"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    found = {name: rows["pairs"]["value"] for name, rows in results["methods"].items()}
    said = {name: value["value"] for name, value in results["accuracy"].items()}
    best = max(found[name] for name in RIVALS)
    rows: list[Goal] = []
    for name, label in (("em", "EM"), ("ml", "ML")):
        lost = said["ordinary"] - said[name]
        rows.append((f"accuracy lost by CALM, {label}", "≤ 2 points", f"{100 * lost:.1f} points", lost <= _POINTS))
    for name, label in (("calm em", "EM"), ("calm ml", "ML")):
        rows.append((f"cue localisation, CALM, {label}", f"> {best:.3f}", f"{found[name]:.3f}", found[name] > best))
    for name, label in (("em", "EM"), ("ml", "ML")):
        seconds = results["training"][name]
        reached = None if seconds is None else seconds < _SECONDS
        rows.append((f"training, CALM, {label}", "< 600 s", _LATER if seconds is None else f"{seconds:.0f} s", reached))
    return rows


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, cues_table, images_table, heads_table))


def blocks(results: Results) -> markers.Blocks:
    more = {
        "images": f"{results['images']} of {results['pairs']} pairs of species",
        "pixels in which two species differ, mean": percent(results["truth"]["value"]),
        "birds for the accuracy": results["tested"],
    }
    return {
        "goals": goals_block(results),
        "cues": cues_table(results),
        "images": images_table(results),
        "heads": heads_table(results),
        "conditions": conditions(results, more).replace("settings of sdfido", "training of CALM"),
    }
