"""Tables of the second look: the blocks of docs/studies/enhance.md."""

from __future__ import annotations

from typing import Any

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, percent, table

RESULTS = paths.RESULTS / "enhance.json"
PICTURE, PHOTOS = paths.IMAGES / "enhance.webp", paths.IMAGES / "enhance-photos.webp"

OWN = ("joint original", "joint infill", "ssr original", "ssr infill", "sdr original", "sdr infill")
MAPS = (*OWN, "grad-cam", "part")  # methods that crop around what a map shows
BLIND = ("centre", "random")
OTHERS = (*BLIND, "grad-cam")  # what the best of our own is held against, image by image
LABELS = {
    "joint original": "joint, pixels as they are",
    "joint infill": "joint, blended with the infill",
    "ssr original": "SSR, pixels as they are",
    "ssr infill": "SSR, blended with the infill",
    "sdr original": "SDR, pixels as they are",
    "sdr infill": "SDR, blended with the infill",
    "grad-cam": "Grad-CAM",
    "centre": "centre, as large",
    "random": "anywhere, as large",
    "whole": "whole scene, in full size",
    "part": "the true part (oracle)",
}
ARMS = {
    "scenes": "Scenes: crops out of the original",
    "shrunk": "The same boxes: crops out of what the classifier saw",
    "close-ups": "Close-ups, which the classifier saw in full",
}


def points(change: dict[str, float]) -> str:
    """A change of the accuracy with its confidence interval, in percentage points."""
    return f"{_signed(change['difference'])} ({_signed(change['low'])} to {_signed(change['high'])})"


def verdict(change: dict[str, float]) -> str:
    """What a change is, as far as its confidence interval tells."""
    return "higher" if change["low"] > 0 else "lower" if change["high"] < 0 else "not told apart"


def best(results: Results, arm: str) -> tuple[str, dict[str, Any]]:
    """The method of our own that was best on the images to choose by, and what it made of the others."""
    name = results["arms"][arm]["best"]
    return name, results["arms"][arm]["methods"][name]


def arm_table(results: Results, arm: str) -> str:
    given = results["arms"][arm]
    rows = []
    for method, label in LABELS.items():
        if method not in given["methods"]:
            continue
        of = given["methods"][method]
        change = of["averaged"]
        chosen = method == given["best"]
        rows.append(
            [
                f"**{label}**" if chosen else label,
                f"{of['threshold']:g}" if "threshold" in of else "–",
                f"{of['side']:.0f}" if "side" in of else "–",
                f"{percent(of['inside_right'])}, {percent(of['inside_wrong'])}" if "side" in of else "–",
                percent(of["alone"]["accuracy"]),
                percent(change["accuracy"]),
                f"**{points(change)}**" if chosen else points(change),
                f"{change['gained']} / {change['lost']}",
                f"{change['p']:.2g}",
            ]
        )
    header = ["second look at", "threshold", "side", "part in the box: right, wrong", "crop alone", "averaged"]
    return table([*header, "change, points (95%)", "mended / spoilt", "p"], rows)


def photos_table(results: Results) -> str:
    """What the classifier says of each photo, of its crop, and of both."""

    def cell(of: dict[str, Any], name: str) -> str:
        return f"{of[name]['label']} {percent(of[name]['probability'])}"

    looks = ("first", "second", "both")
    rows = [[photo["name"], *(cell(photo["original"], name) for name in looks)] for photo in results["photos"]]
    return table(["photo", "first look", "crop", "averaged"], rows)


def summary_table(results: Results) -> str:
    """The change of the accuracy by the method that was chosen on other images."""
    rows = []
    for arm, title in ARMS.items():
        name, of = best(results, arm)
        change, before = of["averaged"], percent(results["arms"][arm]["before"])
        cells = [LABELS[name], before, percent(change["accuracy"]), points(change), verdict(change)]
        rows.append([title, *cells, f"{change['gained']} / {change['lost']} of {results['arms'][arm]['images']}"])
    header = ["", "second look at", "first look", "averaged", "change, points (95%)", "accuracy", "mended / spoilt"]
    return table(header, rows)


def controls_table(results: Results) -> str:
    """What the map is worth: the accuracy with its box, less that with other boxes of the same size."""
    rows = [
        [ARMS[arm], *(points(results["arms"][arm]["ahead"][name]) for name in OTHERS)]
        for arm in ("scenes", "close-ups")
    ]
    return table(["accuracy less that with, points", *(LABELS[name] for name in OTHERS)], rows)


def agreement_table(results: Results) -> str:
    """How often a crop gets the class of the first look, on the scenes."""
    of = results["arms"]["scenes"]["methods"]
    ways = {"infill": "blended with the infill", "original": "pixels as they are"}
    rows = [
        [title, *(percent(of[f"{name} {way}"]["agrees"]) for name in ("joint", "ssr", "sdr"))]
        for way, title in ways.items()
    ]
    return table(["crops with the class of the first look", "joint", "SSR", "SDR"], rows)


def blocks(results: Results) -> markers.Blocks:
    more = {
        "images to choose settings by": results["validation"],
        "pairs of threshold and least side": results["grid"],
        "padding of the box, pixels": results["padding"],
        "steps of FIDO": results["steps"],
        "seconds of FIDO per image": f"{results['explain_seconds']:.2f}",
    }
    return {
        "summary": summary_table(results),
        "controls": controls_table(results),
        "agreement": agreement_table(results),
        **{arm: arm_table(results, arm) for arm in ARMS},
        "photos": photos_table(results),
        "conditions": conditions(results, more),
    }


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")
