"""Tables of the reliability: the blocks of docs/studies/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import torch

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, text_table, with_interval
from benchmarks.common.statistics import interval, mean

RESULTS, PICTURE = paths.RESULTS / "reliability.json", paths.IMAGES / "reliability.webp"

OWN = {"FIDO": "**FIDO**", "FIDO fast": "**FIDO, fast**", "FIDO before": "FIDO before"}
COMPARED = {
    "IG, SmoothGrad": "Integrated Gradients, SmoothGrad",
    "KernelShap": "KernelSHAP",
    "Occlusion": "Occlusion",
    "Grad-CAM": "Grad-CAM",
    "RISE": "RISE",
}
METHODS = {**OWN, **COMPARED}
MAPS = {"ssr": "SSR", "sdr": "SDR", "joint": "joint"}
INFILLS = ("local mean", "noise", "inpainting")
KEEP, LEAVE = 0.9, 0.1  # parts of the photo's probability that a region is to keep, or to leave
LESS = ("deletion", "left", "area kept", "area infilled")  # measures of which less is better

Pairs = list[Results]


def of(results: Results, classifier: str | None = None) -> Pairs:
    """The pairs of a photo and a classifier, all or those of one classifier."""
    return [one for one in results["pairs"] if classifier in (None, one["classifier"])]


def average(pairs: Pairs, method: str, measure: str) -> float:
    """Over the pairs for which it was measured; NaN if there is none."""
    found = [one["methods"][method][measure] for one in pairs if measure in one["methods"].get(method, ())]
    return mean(found) if found else float("nan")


def seconds(results: Results, method: str) -> float:
    """The median over the photos, with the first classifier."""
    return float(median(one["seconds"][method] for one in results["timings"]))


def noted(region: Results, name: str) -> bool:
    """Whether a note tells not to rely on this region."""
    return any(MAPS[name] in note or "no region" in note for note in region["notes"])


def missed(region: Results, name: str) -> bool:
    """Whether a region keeps less than its share of the photo's probability, or leaves more; rounding aside."""
    share = round(region[f"share {name}"], 3)
    return bool(share < KEEP) if name == "ssr" else bool(share > LEAVE)


def misses(pairs: Pairs, method: str, *, with_note: bool) -> int:
    """Explanations of which a region misses its share, and a note says so or does not."""
    regions = [one["regions"][method] for one in pairs if method in one["regions"]]
    return sum(any(missed(each, n) and noted(each, n) == with_note for n in ("ssr", "sdr")) for each in regions)


def goals(results: Results) -> str:
    pairs = of(results)
    silent, told = (misses(pairs, "FIDO", with_note=noted) for noted in (False, True))
    rows: list[Goal] = [
        ("explanations whose regions miss their share, without a note", "0", str(silent), silent == 0),
        ("…, with a note", f"≤ 2 of {len(pairs)}", str(told), told <= 2),
    ]
    for name, most in (("ssr", 0.12), ("sdr", 0.22)):
        area = mean([one["regions"]["FIDO"][f"area {name}"] for one in pairs])
        rows.append((f"area of the {MAPS[name]}", f"≤ {most:.0%}", percent(area), area <= most))
    rows += [_at_least(pairs, f"seeds {name} rank", least) for name, least in zip(MAPS, (0.85, 0.85, 0.9), strict=True)]
    rows += [_at_least(pairs, f"seeds {name} iou", 0.65) for name in MAPS]
    rows += [_at_least(pairs, f"rounding {name} iou", 0.85) for name in MAPS]
    rows += [_ahead(pairs, "kept", "other infills: top 20% of the SSR kept")]
    rows += [_ahead(pairs, "left", "other infills: top 20% of the SDR infilled")]
    rows += [_at_least(pairs, "difference", 0.72)]
    for classifier in results["classifiers"]:
        rows.append(_ahead(of(results, classifier), "difference", f"insertion − deletion, joint map, {classifier}"))
    for method, most in (("FIDO", 6.0), ("FIDO fast", 2.5)):
        first = results["classifiers"][0]
        found = seconds(results, method)
        rows.append((f"seconds an explanation of {first}, {method}", f"≤ {most:g}", f"{found:.1f}", found <= most))
    return goals_table("mean over photos and classifiers", rows)


def _at_least(pairs: Pairs, measure: str, least: float) -> Goal:
    value = average(pairs, "FIDO", measure)
    return described(measure), f"≥ {least:g}", f"{value:.3f}", value >= least


def described(measure: str) -> str:
    """A measure of FIDO in words."""
    if measure == "difference":
        return "insertion − deletion, joint map"
    runs, name, kind = measure.split()
    what = {"rank": "rank correlation", "iou": "IoU of the top 10%"}[kind]
    return f"{'two seeds' if runs == 'seeds' else 'rounded otherwise'}: {what}, {MAPS[name]} map"


def _ahead(pairs: Pairs, measure: str, what: str) -> Goal:
    sign = -1 if measure in LESS else 1
    best = max(COMPARED, key=lambda method: sign * average(pairs, method, measure))
    ours, theirs = average(pairs, "FIDO", measure), average(pairs, best, measure)
    goal = f"{'<' if sign < 0 else '>'} {theirs:.3f} ({METHODS[best]})"
    return what, goal, f"{ours:.3f}", sign * ours > sign * theirs


COLUMNS = {
    "insertion": ("insertion ↑", ".3f"),
    "deletion": ("deletion ↓", ".3f"),
    "difference": ("difference ↑", ".3f"),
    "kept": ("20% kept ↑", ".2f"),
    "left": ("20% infilled ↓", ".2f"),
    "area kept": ("area kept ↓", ".3f"),
    "area infilled": ("area infilled ↓", ".3f"),
}


def methods_table(results: Results) -> str:
    pairs = of(results)
    rows = [
        [
            label,
            *(f"{average(pairs, method, name):{form}}" for name, (_, form) in COLUMNS.items()),
            f"{seconds(results, method):.1f}",
        ]
        for method, label in METHODS.items()
    ]
    return table(["mean over photos and classifiers", *(head for head, _ in COLUMNS.values()), "seconds, Lite0"], rows)


def advantage(results: Results, method: str, measure: str) -> dict[str, float]:
    """FIDO's value less the method's, paired, with its 95% interval by the bootstrap over photos."""
    differences = [
        mean([one["methods"]["FIDO"][measure] - one["methods"][method][measure] for one in pairs])
        for name in results["photos"]
        if (pairs := [one for one in results["pairs"] if one["photo"] == name and method in one["methods"]])
    ]
    return interval(torch.tensor(differences))


def differences_table(results: Results, methods: Mapping[str, str] = METHODS) -> str:
    measures = ("difference", "kept", "left", "area kept", "area infilled")
    rows = []
    for method, label in methods.items():
        if method != "FIDO":
            found = (advantage(results, method, measure) for measure in measures)
            rows.append([label, *(with_interval(each, "+.2f") for each in found)])
    return table(["FIDO less", *(COLUMNS[measure][0] for measure in measures)], rows)


def infills_table(results: Results) -> str:
    columns = {f"{what} {name}": f"{name}: {head}" for name in INFILLS for what, head in _WHAT.items()}
    return means_table(of(results), columns)


_WHAT = {"kept": "kept ↑", "left": "infilled ↓"}


def means_table(pairs: Pairs, columns: Mapping[str, str], methods: Mapping[str, str] = METHODS) -> str:
    """Columns of measures by their heads."""
    rows = [[label, *(f"{average(pairs, method, c):.2f}" for c in columns)] for method, label in methods.items()]
    return table(["mean over photos and classifiers", *columns.values()], rows)


def classifiers_table(results: Results) -> str:
    heads, rows = ["mean over photos"], [[label] for label in METHODS.values()]
    for classifier in results["classifiers"]:
        short = classifier.removeprefix("efficientnet-").capitalize()
        for measure, head in (("difference", "difference ↑"), ("kept", "kept ↑"), ("left", "infilled ↓")):
            heads.append(f"{short}: {head}")
            for row, method in zip(rows, METHODS, strict=True):
                row.append(f"{average(of(results, classifier), method, measure):.2f}")
    return table(heads, rows)


def stability_table(results: Results) -> str:
    """Agreement of two runs; methods without such maps, or without randomness, have none."""
    rows = []
    for method, label in METHODS.items():
        for name, title in MAPS.items():
            number = sum(f"seeds {name} rank" in one["methods"].get(method, ()) for one in of(results))
            if number:
                found = (average(of(results), method, f"{runs} {name} {kind}") for runs, kind in _AGREEMENTS)
                row = ["–" if value != value else f"{value:.2f}" for value in found]
                rows.append([f"{label}, {title}" if method in OWN else label, str(number), *row])
    return table(["", "pairs", "seeds: rank ↑", "seeds: IoU ↑", "rounding: rank ↑", "rounding: IoU ↑"], rows)


_AGREEMENTS = [(runs, kind) for runs in ("seeds", "rounding") for kind in ("rank", "iou")]


def regions_table(results: Results) -> str:
    """The final regions of FIDO's explanations."""
    pairs, rows = of(results), []
    for method, label in OWN.items():
        found: list[Any] = [one["regions"][method] for one in pairs if method in one["regions"]]
        areas = {name: [each[f"area {name}"] for each in found] for name in ("ssr", "sdr")}
        sizes = (f"{100 * number(areas[name]):.0f}%" for name in areas for number in (mean, median))
        counts = (misses(pairs, method, with_note=noted) for noted in (False, True))
        rows.append(
            [f"{label}, {len(found)}", *sizes, *map(str, counts), str(sum(bool(each["notes"]) for each in found))]
        )
    heads = ["SSR: mean", "median", "SDR: mean", "median", "misses without note", "misses with note", "with notes"]
    return table(["explanations", *heads], rows)


def pairs_table(results: Results) -> str:
    """Photo by photo; shares that a region misses are bold."""
    rows = []
    for one in results["pairs"]:
        region, cells = one["regions"]["FIDO"], []
        for name in ("ssr", "sdr"):
            share = f"{100 * region[f'share {name}']:.0f}%"
            cells += [f"{100 * region[f'area {name}']:.0f}%", f"**{share}**" if missed(region, name) else share]
        classifier = one["classifier"].removeprefix("efficientnet-").capitalize()
        about = [one["photo"], classifier, one["label"], percent(one["probability"], 0)]
        rows.append([*about, *cells, " ".join(region["notes"]).replace("|", r"\|")])
    heads = ["photo", "classifier", "class", "probability", "SSR", "keeps", "SDR", "leaves", "notes"]
    return text_table(heads, rows)


def sources_table(results: Results) -> str:
    photos = results["photos"].items()
    return table(
        ["photo", "package", "file", "licence"],
        [[name, photo["package"], f"`{photo['path']}`", photo["licence"]] for name, photo in photos],
    )


def blocks(results: Results) -> markers.Blocks:
    before = ", ".join(f"{name} {value}" for name, value in sorted(results["before"].items()))
    more = {"photos": len(results["photos"]), "classifiers": ", ".join(results["classifiers"]), "FIDO before": before}
    return {
        "goals": goals(results),
        "methods": methods_table(results),
        "differences": differences_table(results),
        "infills": infills_table(results),
        "classifiers": classifiers_table(results),
        "stability": stability_table(results),
        "regions": regions_table(results),
        "pairs": pairs_table(results),
        "sources": sources_table(results),
        "conditions": conditions(results, more),
    }
