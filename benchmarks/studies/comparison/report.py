"""Tables of the comparison: the blocks of docs/studies/comparison.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, percent, table, with_interval
from benchmarks.studies.reliability import report as reliability
from benchmarks.studies.reliability.report import COLUMNS, INFILLS, average, of

RESULTS, PICTURE = paths.RESULTS / "comparison.json", paths.IMAGES / "comparison.webp"

METHODS = {
    "FIDO": "**FIDO**",
    "I-GOS": "**I-GOS**",
    "iGOS++": "**iGOS++**",
    "Extremal": "**Extremal perturbations**",
    "SAG": "**SAG**",
    "RISE": "RISE",
    "IG": "Integrated Gradients",
    "IG, SmoothGrad": "Integrated Gradients, SmoothGrad",
    "Occlusion": "Occlusion",
    "Grad-CAM": "Grad-CAM",
}
BUDGETS = {"own": "own settings", "equal": "equal calls"}


def by(results: Results, budget: str) -> Results:
    """The results by one budget, in the form of the reliability's; FIDO and Grad-CAM cost the same by both."""
    pairs = [{**one, "methods": one["own"] | (one["equal"] if budget == "equal" else {})} for one in results["pairs"]]
    return {**results, "pairs": pairs}


def methods_table(results: Results, budget: str) -> str:
    pairs = of(by(results, budget))
    rows = [
        [
            label,
            *(f"{average(pairs, method, name):{form}}" for name, (_, form) in COLUMNS.items()),
            f"{average(pairs, method, 'calls'):.0f}",
        ]
        for method, label in METHODS.items()
    ]
    return table([f"mean, {BUDGETS[budget]}", *(head for head, _ in COLUMNS.values()), "calls"], rows)


def differences_table(results: Results, budget: str) -> str:
    return reliability.differences_table(by(results, budget), METHODS)


def classifiers_table(results: Results) -> str:
    """Insertion less deletion for each classifier, by both budgets."""
    heads, rows = ["insertion − deletion, mean over photos"], [[label] for label in METHODS.values()]
    for budget, title in BUDGETS.items():
        for classifier in results["classifiers"]:
            pairs = of(by(results, budget), classifier)
            heads.append(f"{classifier.removeprefix('efficientnet-').capitalize()}, {title}")
            for row, method in zip(rows, METHODS, strict=True):
                row.append(f"{average(pairs, method, 'difference'):.2f}")
    return table(heads, rows)


def infills_table(results: Results, budget: str) -> str:
    what = {"kept": "kept ↑", "left": "infilled ↓"}
    columns = {f"{key} {name}": f"{name}: {head}" for name in ("blur", *INFILLS) for key, head in what.items()}
    return reliability.means_table(of(by(results, budget)), columns, METHODS)


def maps_table(results: Results) -> str:
    """Of the maps by themselves, and against those of another seed; some methods have no randomness."""
    columns = {"variation": ("total variation ↓", ".4f"), "border": ("border ↓", ".4f")}
    columns |= {"components": ("components ↓", ".1f"), "seeds rank": ("seeds: rank ↑", ".2f")}
    columns |= {"seeds iou": ("seeds: IoU ↑", ".2f")}
    rows = []
    for method, label in METHODS.items():
        found = [(average(of(by(results, "own")), method, name), form) for name, (_, form) in columns.items()]
        rows.append([label, *("–" if value != value else f"{value:{form}}" for value, form in found)])
    return table(["mean over photos and classifiers", *(head for head, _ in columns.values())], rows)


def best_map(maps: Results) -> str:
    """The name of the map with the highest IoU; the first of equals."""
    return max(maps, key=lambda name: float(maps[name]["iou"]["value"]))


def birds_table(results: Results) -> str:
    rows = []
    for method, label in METHODS.items():
        maps = results["birds"]["maps"][method]
        best = best_map(maps)
        cells = [with_interval(maps[best][measure]) for measure in ("iou", "pointing")]
        rows.append([label, f"`{best}`" if len(maps) > 1 else "–", *cells])
    return table(["drawn birds", "map", "IoU ↑", "pointing game ↑"], rows)


def costs_table(results: Results) -> str:
    """What a method's maps of one photo cost at its own settings."""
    pairs = of(by(results, "own"))
    rows = [
        [
            label,
            f"{average(pairs, method, 'calls'):.0f}",
            f"{average(pairs, method, 'gradients'):.0f}",
            f"{reliability.seconds(results, method):.1f}",
        ]
        for method, label in METHODS.items()
    ]
    return table(["own settings", "calls", "of them with gradients", "seconds"], rows)


def blocks(results: Results) -> markers.Blocks:
    birds = results["birds"]
    more = {
        "photos": ", ".join(results["photos"]),
        "classifiers": ", ".join(results["classifiers"]),
        "drawn birds": f"{birds['count']}, of which the classifier gets {percent(birds['accuracy'])} right",
    }
    for name, settings in results["defaults"].items():
        used = (f"{key} {value}" for key, value in sorted(settings.items()) if value is not None)
        more[f"settings of {METHODS[name].strip('*')}"] = ", ".join(used)
    per_budget = {"": methods_table, "-differences": differences_table, "-infills": infills_table}
    return {
        **{f"{budget}{end}": make(results, budget) for budget in BUDGETS for end, make in per_budget.items()},
        "classifiers": classifiers_table(results),
        "maps": maps_table(results),
        "birds": birds_table(results),
        "costs": costs_table(results),
        "conditions": conditions(results, more),
    }
