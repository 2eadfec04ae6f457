"""The page of what a second look changes: docs/enhancement.md, from benchmarks/results/enhancement.json.

    python benchmarks/enhancement/page.py [--check]

writes it; the picture comes from study.py, which measures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import pages  # noqa: E402
from report import table  # noqa: E402

RESULTS = ROOT / "benchmarks/results/enhancement.json"
PAGE = ROOT / "docs/enhancement.md"
PICTURE, PHOTOS = ROOT / "docs/enhancement.png", ROOT / "docs/enhancement-photos.png"

Results = dict[str, Any]

OWN = ("joint original", "joint infill", "ssr original", "ssr infill", "sdr original", "sdr infill")
MAPS = (*OWN, "grad-cam", "part")  # methods that crop around what a map shows
_NAMES = {"joint": "joint", "ssr": "SSR", "sdr": "SDR"}
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


def percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def points(change: dict[str, float]) -> str:
    """A change of the accuracy with its confidence interval, in percentage points."""
    return f"{_signed(change['difference'])} ({_signed(change['low'])} to {_signed(change['high'])})"


def verb(change: dict[str, float]) -> str:
    """What a change is, as far as its confidence interval tells."""
    return "raises" if change["low"] > 0 else "lowers" if change["high"] < 0 else "does not measurably change"


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
    return table([*header, "change, points (95 %)", "mended / spoilt", "p"], rows)


def photos_table(results: Results) -> str:
    def cell(of: dict[str, Any], name: str) -> str:
        return f"{of[name]['label']} {percent(of[name]['probability'])}"

    rows = [
        [
            photo["name"],
            cell(photo["original"], "first"),
            *(cell(photo[blend], name) for blend in ("original", "infill") for name in ("second", "both")),
        ]
        for photo in results["photos"]
    ]
    return table(["photo", "first look", "crop", "averaged", "crop, infilled", "averaged"], rows)


def verdict(results: Results) -> str:
    """What came out, in sentences that the numbers choose."""
    arms = results["arms"]
    lines = []
    for arm, where in (
        ("scenes", "On scenes of twice the classifier's resolution"),
        ("shrunk", "With the same boxes, but crops out of the shrunk scenes that the classifier had seen,"),
        ("close-ups", "On birds that fill the image, where the classifier saw every pixel,"),
    ):
        name, of = best(results, arm)
        change = of["averaged"]
        label = LABELS[name].replace(", ", " map, ", 1)
        lines.append(
            f"- {where} a second look ({label}) **{verb(change)}** the accuracy: {percent(arms[arm]['before'])} → "
            f"{percent(change['accuracy'])}, {points(change)} points, {change['gained']} images mended and "
            f"{change['lost']} spoilt of {arms[arm]['images']}."
        )
    for arm, where in (("scenes", "On the scenes"), ("close-ups", "On the close-ups")):
        ahead = arms[arm]["ahead"]
        lines.append(
            f"- {where}, what the map itself is worth: accuracy with its box, less that with a square as large in the "
            f"centre {points(ahead['centre'])}, anywhere {points(ahead['random'])}, and with Grad-CAM's box "
            f"{points(ahead['grad-cam'])} points, image by image."
        )
    others = arms["scenes"]["methods"]
    beside = ", ".join(
        f"{LABELS[name]} {_signed(others[name]['averaged']['difference'])}"
        for name in ("grad-cam", "centre", "random", "whole", "part")
    )
    lines.append(f"- What else could be done with the original, in points: {beside}.")
    for how, words in (("infill", "blended with the infill"), ("original", "with the pixels as they are")):
        agreeing = ", ".join(
            f"{percent(others[f'{name} {how}']['agrees'])} ({name})" for name in ("joint", "ssr", "sdr")
        )
        lines.append(f"- Crops {words} get the class of the first look in {agreeing} of all cases.")
    _, of = best(results, "scenes")
    lines.append(
        f"- The map explains the class that was predicted. Where that is right, the box holds "
        f"{percent(of['inside_right'])} of the part that tells the species; where it is wrong, "
        f"{percent(of['inside_wrong'])}."
    )
    return "\n".join(lines)


_METHOD = """\
- Species, drawings and the weakly trained classifier are those of [the benchmark](quality.md). It is fed 112 × 112
  pixels. A scene has 224 × 224; the classifier sees it at half the size, the crops come from the whole
  (`originals=`). {images} test images of each kind; no class is told to anybody: maps explain the class predicted.
- Threshold and least side of the box are those, of {grid} pairs, that give the true classes of {validation} other
  images the highest mean log-probability, for each method by itself, Grad-CAM and the oracle too; the same images say
  which of our six ways is the best one (**bold**). Sides are in pixels of the classifier's input; {padding} of padding.
- *Averaged*: both looks' probabilities, half each. The difference's interval is Newcombe's for paired proportions
  (method 10, 1998); p is McNemar's, exact. The intervals are not widened for the number of rows.
- *As large*: a square of the bold row's size, image by image, in the middle or at random. *Whole scene*: the network
  ends in pooling, so it can be fed the original at four times the computation; averaged with the first look.
- *The true part*: around the pixels in which the species differs from the common bird, which has none and is not
  cropped; nobody knows these in practice.
- *Part in the box*: its mean share, over images whose first look was right, and over those where it was wrong.
- FIDO ran with {steps} steps, {seconds:.2f} s for each image. Grad-CAM is captum's, its map divided by its maximum.
"""


def page(results: Results) -> str:
    """docs/enhancement.md."""
    machine, arms = results["machine"], results["arms"]
    sections = [
        "<!-- Written by python benchmarks/enhancement/page.py from the results' file. -->\n# A second look",
        "`sdfido.enhance` classifies an image again, cropped to what the explanation of its first prediction found "
        "important, and averages both predictions. Nothing is trained, and no label is used.",
        "```python\nexplanation = sdfido.FIDO(model).explain(images)\n"
        "better = sdfido.enhance(model, images, explanation, originals=larger_images).predictions\n```",
        "## What came out\n\n" + verdict(results),
        "![Scenes with their boxes, what the classifier is fed, and what it says; how much each way changes]"
        f"({PICTURE.name})",
        *(
            f"## {title}\n\nFirst look: {percent(arms[arm]['before'])} of {arms[arm]['images']} images right.\n\n"
            + arm_table(results, arm)
            for arm, title in ARMS.items()
        ),
        "## Photos\n\nEfficientNet-Lite0 and the first photos of [the gallery](photos.md), joint map, defaults of "
        "`enhance`; crops come out of all the pixels that a photo has. Their true classes within ImageNet's are a "
        "matter of opinion, so no accuracy is claimed.\n\n"
        + photos_table(results)
        + f"\n\n![The photos with their boxes, the crops, and what the classifier says]({PHOTOS.name})",
        "## How it is measured\n\n"
        + _METHOD.format(
            images=arms["scenes"]["images"],
            grid=results["grid"],
            validation=results["validation"],
            padding=results["padding"],
            steps=results["steps"],
            seconds=results["explain_seconds"],
        ).rstrip(),
        f"{results['threads']} threads of {machine['cpu']} ({machine['cpu_isa']}), torch {machine['torch']}, "
        f"{machine['date']}; {results['seconds'] / 60:.0f} minutes in all, without the training of the classifier. "
        "`python benchmarks/enhancement/study.py` repeats it.",
    ]
    return "\n\n".join(sections) + "\n"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


if __name__ == "__main__":
    pages.main(__doc__, PAGE, RESULTS, page, command="benchmarks/enhancement/page.py")
