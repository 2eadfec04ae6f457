"""The page of what was measured on the drawn birds: docs/quality.md, from benchmarks/results/quality.json.

    python benchmarks/quality/page.py [--check]

writes it; its picture comes from compare.py, which measures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import pages  # noqa: E402
import report  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/quality.json", ROOT / "docs/quality.md"
LABELS = {
    "fido ssr": "**sdfido, SSR**",
    "fido sdr": "**sdfido, SDR**",
    "fido joint": "**sdfido, joint**",
    "defaults ssr": "**sdfido, by its defaults, SSR**",
    "defaults sdr": "**sdfido, by its defaults, SDR**",
    "defaults joint": "**sdfido, by its defaults, joint**",
    "standard ssr": "standard sampling, SSR",
    "standard sdr": "standard sampling, SDR",
    "standard joint": "standard sampling, joint",
    "published ssr": "FIDO as published, SSR",
    "published sdr": "FIDO as published, SDR",
    "published joint": "FIDO as published, joint",
    "saliency map": "Saliency",
    "integrated gradients map": "Integrated Gradients",
    "occlusion map": "Occlusion",
    "grad-cam map": "Grad-CAM",
}

FIDOS = {
    "fido": "**sdfido**",
    "defaults": "**sdfido, by its defaults**",
    "standard": "standard sampling",
    "published": "FIDO as published",
}

Results = dict[str, Any]


def _mean(results: Results, name: str, measure: str) -> float:
    return float(results["maps"][name][measure]["mean"])


def _interval(value: dict[str, float], digits: int = 2) -> str:
    return f"{value['mean']:.{digits}f} ({value['low']:.{digits}f} – {value['high']:.{digits}f})"


def _table(results: Results, columns: dict[str, str], digits: dict[str, int]) -> list[list[str]]:
    return [
        [label, *(_interval(results["maps"][name][key], digits.get(key, 2)) for key in columns)]
        for name, label in LABELS.items()
    ]


def truth_table(results: Results) -> str:
    """Against the known truth, and the time."""
    columns = {"iou": "IoU", "iou_half": "IoU, cut at ½", "pointing": "pointing game"}
    rows = _table(results, columns, {})
    for row, name in zip(rows, LABELS, strict=True):
        row.append(f"{results['explaining'][name.rsplit(' ', 1)[0]]:.2f}")
    return report.table(["map", *columns.values(), "s an image"], rows)


def classifier_table(results: Results) -> str:
    """Against the classifier."""
    columns = {"deletion": "deletion ↓", "insertion": "insertion ↑", "kept_5": "5 % kept ↑", "kept_30": "30 % kept ↑"}
    columns |= {"left_5": "5 % infilled ↓", "left_20": "20 % infilled ↓"}
    return report.table(["map", *columns.values()], _table(results, columns, {}))


def coherence_table(results: Results) -> str:
    """Of the maps by themselves."""
    columns = {"total_variation": "total variation ↓", "border": "border of the region ↓", "components": "components ↓"}
    digits = {"total_variation": 4, "border": 4, "components": 1}
    return report.table(["map", *columns.values()], _table(results, columns, digits))


def masks_table(results: Results) -> str:
    """FIDO's masks at the end of the optimisation."""
    columns = {
        "ssr_variation": "total variation ↓",
        "kept": "kept",
        "prob_ssr": "p ↑",
        "prob_ssr_half": "p, cut at ½ ↑",
    }
    columns |= {"sdr_variation": "total variation ↓", "removed": "removed"}
    columns |= {"prob_sdr": "p ↓", "prob_sdr_half": "p, cut at ½ ↓"}
    rows = [
        [label, *(f"{results['masks'][name][key]['mean']:.{4 if 'variation' in key else 2}f}" for key in columns)]
        for name, label in FIDOS.items()
    ]
    header = [f"{'SSR' if i < 4 else 'SDR'}: {title}" for i, title in enumerate(columns.values())]
    return report.table(["masks", *header], rows)


def targets(results: Results) -> list[tuple[str, str, str]]:
    """What, asked, measured."""
    others = {
        key: value
        for key, value in results["ahead"].items()
        if not key.startswith(("defaults ", "standard ", "published "))
    }
    other = min(others, key=lambda name: others[name]["mean"])
    masks = results["masks"]

    def variation(own: str, baseline: str, key: str) -> str:
        return f"{masks[own][key]['mean'] / masks[baseline][key]['mean']:.2f} ×"

    def probability(own: str, baseline: str, key: str) -> str:
        return f"{masks[own][key]['mean']:.3f}, {masks[baseline][key]['mean']:.3f}"

    def coherence(own: str, whose: str) -> list[tuple[str, str, str]]:
        return [
            (
                f"total variation, {mask} mask, {whose}, over that of FIDO as published",
                "≤ 0.5 ×",
                variation(own, "published", f"{mask.lower()}_variation"),
            )
            for mask in ("SSR", "SDR")
        ] + [
            (f"at sufficiency of {what}: {whose}, as published", "first ≥", probability(own, "published", key))
            for what, key in (
                ("the SSR mask", "prob_ssr"),
                ("the SSR mask, cut at ½", "prob_ssr_half"),
                ("5 % kept by the SSR map", "kept_5"),
            )
        ]

    return [
        ("classifier: test accuracy", "≥ 95 %", f"{100 * results['accuracy']:.1f} %"),
        ("classifier: drawing and training", "< 180 s", f"{results['training']} s"),
        ("pointing game, joint map", "≥ 0.9", f"{_mean(results, 'fido joint', 'pointing'):.2f}"),
        ("IoU, joint map", "", f"{_mean(results, 'fido joint', 'iou'):.2f}"),
        (f"IoU, joint map, less that of the best other method ({LABELS[other]})", "> 0", _interval(others[other])),
        *(
            (
                f"IoU, joint map, less that of {LABELS[f'{name} joint']}",
                "",
                _interval(results["ahead"][f"{name} joint"], 3),
            )
            for name in ("published", "standard", "defaults")
        ),
        *coherence("defaults", "by defaults"),
        *coherence("fido", "sdfido"),
        (
            "total variation, SSR mask, over that of standard sampling",
            "",
            variation("fido", "standard", "ssr_variation"),
        ),
        ("at sufficiency of the SSR mask: sdfido, standard sampling", "", probability("fido", "standard", "prob_ssr")),
    ]


def targets_table(results: Results) -> str:
    return report.table(["", "asked", "measured"], [list(row) for row in targets(results)])


def summary(results: Results) -> str:
    """What a run prints at its end."""
    tables = (truth_table, classifier_table, coherence_table, masks_table, targets_table)
    return "\n\n".join(table(results) for table in tables)


def page(results: Results) -> str:
    """docs/quality.md."""
    about = results["settings"]
    settings = ", ".join(f"{name} {about[name]}" for name in sorted(about) if about[name] is not None)
    truth = 100 * results["truth"]
    sections = [
        "<!-- Written by python benchmarks/quality/page.py from the results' file. -->\n"
        "# Maps where the truth is known",
        "Seven species of drawn birds: six differ from the common one in a single small part. All else is the same for "
        "every species, so what decides is known to the pixel. "
        f"{results['images']} birds, {truth:.1f} % of whose pixels are that part on average, explained by "
        f"all methods; by FIDO as published, which is slow, only the first {results['few']}. Differences from it, and "
        "all that is said of masks, are of those.",
        "![Birds with the deciding part outlined, and the maps of all methods](quality.png)\n\n"
        "The first test image of each species that the classifier gets right.",
        "## Asked and measured\n\n" + targets_table(results),
        "## Against the truth\n\n" + truth_table(results),
        "## Against the classifier\n\n" + classifier_table(results),
        "## Coherence of the maps\n\n" + coherence_table(results),
        f"## FIDO's masks\n\nOf the first {results['few']} images.\n\n" + masks_table(results),
        "## How it is measured\n\n" + _METHOD.rstrip(),
        f"sdfido's settings: {settings}.",
        f"{report._machine(results)}; {results['threads']} threads; load of the machine at the start "
        f"{results['load']}; {results['seconds']} s in all, after {results['training']} s of drawing and training.\n\n"
        "`python benchmarks/quality/compare.py` repeats it.",
    ]
    return "\n\n".join(sections) + "\n"


_METHOD = """\
- Means over the images, with 95 % confidence intervals by the bootstrap over images.
- The truth is the convex hull of the pixels in which an image differs from the common bird drawn with the same numbers;
  outside of it both are equal. See `benchmarks/quality/drawing.py`.
- Only species with a part of their own are explained, and only images that the classifier gets right, for their own
  species. The classifier is a small convolutional network (`benchmarks/quality/classifier.py`).
- IoU is that of the truth and as many of the most important pixels; cut at ½, that of the truth and the pixels above
  half of the map's highest value. The pointing game asks whether the most important pixel lies in the truth.
- Deletion and insertion are the areas under the class's probability while the most important pixels are infilled, or
  put back. "5 % kept" is the class's probability where only the most important 5 % of the pixels are kept, "5 %
  infilled" where those are infilled; both as a part of that of the image itself, counted as 1 where it is more.
- Total variation is that of the map, a pixel, scaled to a highest value of 1; border is that of the region whose IoU is
  taken, and components are the region's. A smooth map of a large region and a sharp one of a small region may have
  the same total variation: read it beside the other tables.
- FIDO's maps rank pixels: sdfido's are means of the keep rates over the steps. Its masks are the keep rates at the end,
  and "p" is the class's probability for the composite of image and blur by a mask, as a part of that of the image,
  counted as 1 where it is more: for the SSR where all else is infilled, for the SDR where it is infilled; "cut at ½"
  with each pixel wholly kept or infilled. As published, both are the keep rates at the end.
- Every method removes pixels by the same blur (σ = 10): as infill, or as baseline of Integrated Gradients and
  Occlusion. "Standard sampling" is standard concrete dropout with all settings and the noise of sdfido: the two
  formulas differ in arithmetic alone. "FIDO as published" is the existing way of standard sampling, the baseline of
  coherence: the setting of Chang et al. (2019), see `benchmarks/quality/methods.py`.
- The parts that decide here are far smaller than what decides about a photo, and at the default weight so small an
  area costs little: it pays to keep more than the part. So sdfido runs with sparsity_weight 100 and spread 1.5, and
  "standard sampling" likewise: chosen by the joint map's IoU on drawings of another seed. "By its defaults" is without.
- Seconds are those of all of a method's maps; FIDO's three come from one run.
"""


if __name__ == "__main__":
    pages.main(__doc__, PAGE, RESULTS, page, command="benchmarks/quality/page.py")
