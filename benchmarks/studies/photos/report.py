"""Tables of the photos: the blocks of docs/studies/photos.md."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, percent, table

RESULTS, PICTURES = paths.RESULTS / "photos.json", paths.IMAGES

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
ATTRIBUTIONS = ("integrated gradients", "occlusion", "grad-cam")


def mean(results: Results, method: str, measure: str) -> float:
    """Of a measure over the photos."""
    values = results["methods"][method][measure]
    return float(sum(values) / len(values))


def photos_table(results: Results) -> str:
    """Photo by photo: what is enough, and what is needed."""
    rows = [
        [
            name,
            photo["label"],
            percent(photo["prob_image"]),
            f"{100 * photo['area_ssr']:.0f}%",
            percent(photo["prob_ssr_binary"]),
            f"{100 * photo['area_sdr']:.0f}%",
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
    return table(["photo", "probability", "top 30% of SSR kept", "top 20% of SDR infilled"], rows)


_MEASURES: dict[str, tuple[str, str]] = {
    "insertion": ("insertion ↑", ".3f"),
    "deletion": ("deletion ↓", ".3f"),
    "kept_30": ("30% kept ↑", ".2f"),
    "left_20": ("20% infilled ↓", ".2f"),
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
    goal: str
    measured: str
    photos: int  # on which it holds one by one
    met: bool


def verdicts(results: Results) -> list[Verdict]:
    """All targets, judged."""
    return [
        _bound(results, "30% kept by the SSR map: share of the probability", "ssr", "kept_30", 0.8),
        _bound(results, "20% infilled by the SDR map: share of the probability", "sdr", "left_20", 0.2),
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
    best = max(ATTRIBUTIONS, key=lambda method: sign * mean(results, method, measure))
    own, other = mean(results, name, measure), mean(results, best, measure)
    methods = results["methods"]
    each = zip(methods[name][measure], *(methods[method][measure] for method in ATTRIBUTIONS), strict=True)
    photos = sum(sign * ours > max(sign * value for value in theirs) for ours, *theirs in each)
    goal = f"{'<' if sign < 0 else '>'} {other:.3f} ({METHODS[best]})"
    return Verdict(f"{measure} area, {TITLES[name]} map", goal, f"{own:.3f}", photos, sign * own > sign * other)


def _coherent(results: Results, baseline: str) -> Verdict:
    """Half of the baseline's total variation at a sufficiency that is not worse."""
    label, own, other = METHODS[f"{baseline} ssr"], "ssr", f"{baseline} ssr"
    kept, theirs = mean(results, own, "kept_30"), mean(results, other, "kept_30")
    ratio = mean(results, own, "variation") / mean(results, other, "variation")
    ours, those = results["methods"][own], results["methods"][other]
    each = zip(ours["variation"], those["variation"], ours["kept_30"], those["kept_30"], strict=True)
    return Verdict(
        f"total variation, SSR map, over that of {label}",
        f"≤ 0.5 with 30% kept ≥ {theirs:.2f}",
        f"{ratio:.2f} with {kept:.2f}",
        sum(v <= 0.5 * u and k >= t for v, u, k, t in each),
        ratio <= 0.5 and kept >= theirs,
    )


def coherence_table(results: Results) -> str:
    """sdfido over existing FIDO: the maps, the masks at the end, and the region that no scale of values changes."""
    columns = {"variation": "variation of the map", "mask_variation": "of the mask", "border": "border of the top 20%"}
    rows = []
    for name in ("ssr", "sdr"):
        other = f"existing {name}"
        ratios = (mean(results, name, key) / mean(results, other, key) for key in columns)
        left = (f"{mean(results, method, 'left_20'):.2f}" for method in (name, other))
        rows.append([name.upper(), *(f"{ratio:.2f}×" for ratio in ratios), *left])
    header = ["sdfido / existing FIDO", *columns.values(), "20% infilled: sdfido", "20% infilled: existing"]
    return table(header, rows)


def targets_table(results: Results) -> str:
    rows = [
        [v.what, v.goal, v.measured, "yes" if v.met else "**no**", f"{v.photos} of {len(results['photos'])}"]
        for v in verdicts(results)
    ]
    return table(["mean over the photos", "goal", "measured", "reached", "photos"], rows)


def sources_table(results: Results) -> str:
    rows = [
        [name, photo["package"], f"`{photo['path']}`", photo["licence"]] for name, photo in results["photos"].items()
    ]
    return table(["photo", "package", "file", "licence"], rows)


_BOTH = {  # methods by the names of their maps on photos and on birds
    "ssr": "fido ssr",
    "sdr": "fido sdr",
    "joint": "fido joint",
    "integrated gradients": "integrated gradients map",
    "occlusion": "occlusion map",
    "grad-cam": "grad-cam map",
}


def summary_table(results: Results, birds: Results) -> str:
    """The main measures on the photos and on the drawn birds."""
    rows = []
    for method, bird in _BOTH.items():
        found = [f"{mean(results, method, m):.2f}" for m in ("kept_30", "left_20", "insertion", "deletion")]
        found += [f"{birds['maps'][bird][measure]['mean']:.2f}" for measure in ("iou", "pointing")]
        rows.append([METHODS[method], *found])
    header = ["", "30% kept ↑", "20% infilled ↓", "insertion ↑", "deletion ↓", "birds: IoU ↑", "pointing ↑"]
    return table(header, rows)


def blocks(results: Results, birds: Results) -> markers.Blocks:
    more = {
        "photos": len(results["photos"]),
        "seeds": results["seeds"],
        "step of insertion and deletion": percent(1 / (results["num_fractions"] - 1), 0),
        "steps of existing FIDO": results["iterations"],
    }
    return {
        "summary": summary_table(results, birds),
        "photos": photos_table(results),
        "goals": targets_table(results),
        "coherence": coherence_table(results),
        "cuts": cuts_table(results),
        "methods": methods_table(results),
        "sources": sources_table(results),
        "conditions": conditions(results, more),
    }
