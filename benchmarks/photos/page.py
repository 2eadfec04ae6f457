"""The page of what was measured on the photos: docs/photos.md, from benchmarks/results/photos.json.

    python benchmarks/photos/page.py [--check]

writes it; the pictures come from gallery.py, which measures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import pages  # noqa: E402
from report import table  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/photos.json", ROOT / "docs/photos.md"

Results = dict[str, Any]

METHODS = {
    "ssr": "**sdfido, SSR**",
    "sdr": "**sdfido, SDR**",
    "joint": "**sdfido, joint**",
    "standard ssr": "standard sampling, SSR",
    "standard sdr": "standard sampling, SDR",
    "standard joint": "standard sampling, joint",
    "existing ssr": "existing FIDO, SSR",
    "existing sdr": "existing FIDO, SDR",
    "existing joint": "existing FIDO, joint",
    "integrated gradients": "Integrated Gradients",
    "occlusion": "Occlusion",
    "grad-cam": "Grad-CAM",
}
RIVALS = ("integrated gradients", "occlusion", "grad-cam")


def mean(results: Results, method: str, measure: str) -> float:
    """Of a measure over the photos."""
    values = results["methods"][method][measure]
    return float(sum(values) / len(values))


def percent(probability: float) -> str:
    return f"{100 * probability:.1f} %" if probability >= 0.001 else "< 0.1 %"


def photos_table(results: Results) -> str:
    """Photo by photo: what is enough, and what is needed."""
    rows = [
        [
            name,
            photo["label"],
            percent(photo["prob_image"]),
            f"{100 * photo['area_ssr']:.0f} %",
            percent(photo["prob_ssr_binary"]),
            f"{100 * photo['area_sdr']:.0f} %",
            percent(photo["prob_sdr_binary"]),
            f"{photo['seconds']:.1f}",
        ]
        for name, photo in results["photos"].items()
    ]
    header = ["photo", "class", "probability", "SSR keeps", "probability", "SDR infills", "probability", "seconds"]
    return table(header, rows)


def cuts_table(results: Results) -> str:
    """Photo by photo: the share of the probability that is left by cuts of equal size."""
    ssr, sdr = results["methods"]["ssr"], results["methods"]["sdr"]
    rows = [
        [name, percent(photo["prob_image"]), f"{kept:.2f}", f"{left:.2f}"]
        for (name, photo), kept, left in zip(results["photos"].items(), ssr["kept_30"], sdr["left_20"], strict=True)
    ]
    rows.append(
        ["**mean**", "", f"**{mean(results, 'ssr', 'kept_30'):.2f}**", f"**{mean(results, 'sdr', 'left_20'):.2f}**"]
    )
    return table(["photo", "probability", "top 30 % of SSR kept", "top 20 % of SDR infilled"], rows)


_MEASURES: dict[str, tuple[str, str]] = {
    "insertion": ("insertion ↑", ".3f"),
    "deletion": ("deletion ↓", ".3f"),
    "kept_30": ("30 % kept ↑", ".2f"),
    "left_20": ("20 % infilled ↓", ".2f"),
    "variation": ("variation ↓", ".4f"),
    "mask_variation": ("of the mask ↓", ".4f"),
    "border": ("border ↓", ".3f"),
    "pieces": ("pieces ↓", ".1f"),
    "stability": ("seeds ↑", ".2f"),
    "seconds": ("seconds", ".1f"),
}


def methods_table(results: Results) -> str:
    rows = []
    for method, label in METHODS.items():
        measured = results["methods"][method]
        cells = [f"{mean(results, method, m):{f}}" if m in measured else "–" for m, (_, f) in _MEASURES.items()]
        rows.append([label, *cells])
    return table(["mean over the photos", *(head for head, _ in _MEASURES.values())], rows)


@dataclass(frozen=True)
class Verdict:
    """A target, what was measured for it as a mean over the photos, and whether that reaches it."""

    what: str
    asked: str
    measured: str
    photos: int  # on which it holds one by one
    met: bool


def verdicts(results: Results) -> list[Verdict]:
    """All targets, judged."""
    return [
        _bound(results, "30 % kept by the SSR map: share of the probability", "ssr", "kept_30", 0.8),
        _bound(results, "20 % infilled by the SDR map: share of the probability", "sdr", "left_20", 0.2),
        *(_beats_captum(results, name, "insertion") for name in ("ssr", "joint")),
        *(_beats_captum(results, name, "deletion") for name in ("sdr", "joint")),
        *(_coherent(results, baseline) for baseline in ("existing", "standard")),
        *(
            _bound(results, f"rank correlation between seeds: {title} map", name, "stability", 0.8)
            for name, title in TITLES.items()
        ),
    ]


TITLES = {"ssr": "SSR", "sdr": "SDR", "joint": "joint"}
_LESS = ("deletion", "left_20")  # measures of which less is better; of the others that are judged, more is


def _bound(results: Results, what: str, name: str, measure: str, bound: float) -> Verdict:
    def holds(value: float) -> bool:
        return value < bound if measure in _LESS else value >= bound

    average = mean(results, name, measure)
    photos = sum(map(holds, results["methods"][name][measure]))
    return Verdict(what, f"{'<' if measure in _LESS else '≥'} {bound}", f"{average:.3f}", photos, holds(average))


def _beats_captum(results: Results, name: str, measure: str) -> Verdict:
    sign = -1 if measure in _LESS else 1
    rival = max(RIVALS, key=lambda method: sign * mean(results, method, measure))
    own, other = mean(results, name, measure), mean(results, rival, measure)
    methods = results["methods"]
    each = zip(methods[name][measure], *(methods[method][measure] for method in RIVALS), strict=True)
    photos = sum(sign * ours > max(sign * value for value in theirs) for ours, *theirs in each)
    asked = f"{'<' if sign < 0 else '>'} {other:.3f} ({METHODS[rival]})"
    return Verdict(f"{measure} area, {TITLES[name]} map", asked, f"{own:.3f}", photos, sign * own > sign * other)


def _coherent(results: Results, baseline: str) -> Verdict:
    """Half of the baseline's total variation at a sufficiency that is not worse."""
    label, own, other = METHODS[f"{baseline} ssr"], "ssr", f"{baseline} ssr"
    kept, theirs = mean(results, own, "kept_30"), mean(results, other, "kept_30")
    ratio = mean(results, own, "variation") / mean(results, other, "variation")
    ours, those = results["methods"][own], results["methods"][other]
    each = zip(ours["variation"], those["variation"], ours["kept_30"], those["kept_30"], strict=True)
    return Verdict(
        f"total variation, SSR map, over that of {label}",
        f"≤ 0.5 with 30 % kept ≥ {theirs:.2f}",
        f"{ratio:.2f} with {kept:.2f}",
        sum(v <= 0.5 * u and k >= t for v, u, k, t in each),
        ratio <= 0.5 and kept >= theirs,
    )


def coherence_note(results: Results) -> str:
    """What the targets leave out: the SDR, the masks themselves, and the region that no scale of values changes."""

    def times(name: str, measure: str) -> str:
        return f"{mean(results, name, measure) / mean(results, f'existing {name}', measure):.2f}"

    left = [mean(results, method, "left_20") for method in ("sdr", "existing sdr")]
    return (
        f"Coherence is asked of the SSR alone. The SDR map has {times('sdr', 'variation')} of existing FIDO's total "
        f"variation, and infilling its top 20 % leaves {left[0]:.2f} of the probability, with existing FIDO's "
        f"{left[1]:.2f}. Between the masks that both end with, the ratios are {times('ssr', 'mask_variation')} (SSR) "
        f"and {times('sdr', 'mask_variation')} (SDR); between the borders of the top 20 %, {times('ssr', 'border')} "
        f"and {times('sdr', 'border')}. The row against standard sampling differs in the sampling alone: what "
        "else makes maps coherent (cells, penalties, smoothed gradients), both have."
    )


def targets_table(results: Results) -> str:
    rows = [
        [v.what, v.asked, v.measured, "yes" if v.met else "**no**", f"{v.photos} of {len(results['photos'])}"]
        for v in verdicts(results)
    ]
    return table(["mean over the photos", "asked", "measured", "reached", "photos"], rows)


def sources_table(results: Results) -> str:
    rows = [
        [name, photo["package"], f"`{photo['path']}`", photo["licence"]] for name, photo in results["photos"].items()
    ]
    return table(["photo", "package", "file", "licence"], rows)


def machine_line(results: Results) -> str:
    machine = results["machine"]
    return (
        f"{results['threads']} threads of {machine['cpu']} ({machine['cpu_isa']}), torch {machine['torch']}, "
        f"{machine['date']}; {results['seconds'] / 60:.0f} minutes in all"
    )


_METHOD = """\
- All composites are of the photo and its blur (Gaussian, σ = 10 pixels), for FIDO and for all that it is compared with;
  the blur is also the baseline of Integrated Gradients and what Occlusion puts in place of its window.
- *SSR keeps*, *SDR infills*: the masks as they end, each cell wholly kept or infilled (keep rates cut at ½), and the
  probability of the class for that composite. Everything else is measured on the importance maps.
- *Insertion* puts pixels into the blur, *deletion* blurs them, the most important ones first, in {steps} % steps; the
  numbers are areas under the curve of the class's probability (Petsiuk et al., BMVC 2018).
- *30 % kept*: the probability with the most important 30 % of pixels kept and the rest blurred, over that of the photo;
  a share above 1 counts as 1, so that no photo makes up for another. *20 % infilled*: with the most important 20 %
  blurred, over that of the photo.
- *Variation*: total variation a pixel of the map, for maps that are in 0..1 by themselves. Ours is a mean over the
  steps, which smooths it: *of the mask* is that of the keep rates at the end. *Border*: total variation of the region
  of the most important 20 % of pixels, which no scale of values changes. *Pieces*: its connected parts.
- *Seeds*: rank correlation of the maps of {seeds} seeds.
- *Standard sampling* is this explainer with the same settings, but masks sampled by standard concrete dropout.
  *Existing FIDO* is sampled so, too, and has the masks, weights and optimiser that existing code has by default: a
  cell for each pixel, 8 samples of each mask, learning rate 10, {iterations} steps (`sdfido.compat`,
  `optimized=False`); its maps are the keep rates at the end. SSR, SDR and joint map come from one run, whose seconds
  each of them bears.
- Integrated Gradients, Occlusion (windows of 32 × 32 pixels, every 16) and Grad-CAM are captum's, on the class's logit.
- *Reached* judges the means; *photos* counts those on which the same holds by itself.
"""


def page(results: Results) -> str:
    """docs/photos.md."""
    settings = ", ".join(f"{name} {value}" for name, value in results["settings"].items() if value is not None)
    count, steps = len(results["photos"]), round(100 / (results["num_fractions"] - 1))
    sections = [
        "<!-- Written by python benchmarks/photos/page.py from the results' file. -->\n# Real photos",
        f"{count} photos that lie in packages on PyPI, explained for EfficientNet-Lite0, one at a time, with the "
        "defaults: `sdfido.FIDO(model).explain(image)`.",
        "![Each photo with its SSR, SDR and joint map, and what is left of the probability](photos.png)",
        "## What is enough, what is needed\n\n" + photos_table(results),
        "## Asked and measured\n\n" + targets_table(results),
        coherence_note(results),
        "## Cuts of equal size\n\nShare of the photo's probability that is left.\n\n" + cuts_table(results),
        "## Compared with other methods\n\n" + methods_table(results),
        "![The same photos and the maps of other methods](photos-methods.png)",
        "## How it is measured\n\n"
        + _METHOD.format(steps=steps, seeds=results["seeds"], iterations=results["iterations"]).rstrip(),
        f"sdfido's settings: {settings}.",
        f"{machine_line(results)}. {count} photos and one classifier: enough to see what the maps are like, too few to "
        "rank methods that differ by little. `python benchmarks/photos/gallery.py` repeats it.",
        "## The photos\n\n" + sources_table(results),
    ]
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    pages.main(__doc__, PAGE, RESULTS, page, command="benchmarks/photos/page.py")
