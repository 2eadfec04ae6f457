"""Tables of the birds' features: the blocks of docs/studies/concepts.md."""

from __future__ import annotations

from typing import Any

from benchmarks.common import markers, paths
from benchmarks.common.drawing import SPECIES
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval
from benchmarks.studies.concepts.maps import PLACES

RESULTS, PICTURE = paths.RESULTS / "concepts.json", paths.IMAGES / "concepts.webp"
ENOUGH = 0.5  # of a map in a part that makes it the feature's own


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def measures_table(results: Results) -> str:
    """How well the features reproduce the logits of held-out birds."""
    rows = []
    for name, found in results["measures"]["species"].items():
        ended = "accepted" if found["accepted"] else "not accepted"
        values = f"{found['r2']:.3f}", percent(found["agreement"]), f"{found['cosine']:.2f}"
        rows.append([name, *values, str(found["live"]), f"{found['rounds']}, {ended}"])
    return table(["species", "R² ↑", "same decision ↑", "mean \\|cos\\| ↓", "live features", "rounds"], rows)


def answers_table(results: Results) -> str:
    """Feature by part: the mass of the features' maps in each place; the class's own place is bold from one half on."""
    rows = []
    for name, found in results["answers"].items():
        about = results["measures"]["species"][name]
        features = sorted((key for key in found if key != "logit"), key=lambda key: -about["contributions"][int(key)])
        for key in features:
            values = [found[key][place] for place in PLACES]
            cells = [f"{value['value']:.2f}" for value in values]
            best = max(range(len(PLACES)), key=lambda p: values[p]["value"])
            cells[best] = with_interval(values[best])
            if values[best]["value"] >= ENOUGH:
                cells[best] = f"**{cells[best]}**"
            head, added = about["head"][int(key)], about["contributions"][int(key)]
            sign = "for" if head > 0 else "against"
            rest = f"{found[key]['elsewhere']['value']:.2f}"
            start = [f"{name} {int(key) + 1}, {sign}", _signed(added), percent(found[key]["of the species"], 0)]
            rows.append([*start, *cells, rest])
    return table(["feature", "adds", "own birds", *PLACES, "elsewhere"], rows)


def own(results: Results) -> dict[str, dict[str, Any]]:
    """The feature of each species that adds most to its logit: where its maps lie."""
    species = results["measures"]["species"]
    return {name: results["answers"][name][str(species[name]["own"])] for name in SPECIES[1:]}


def own_table(results: Results) -> str:
    """The own part of each species: maps of its strongest feature and of the logit itself."""
    rows = []
    for place, (name, found) in zip(PLACES, own(results).items(), strict=True):
        logit = results["answers"][name]["logit"]
        values = [with_interval(each) for each in (found[place], logit[place], found["whole"])]
        rows.append([name, place, *values, percent(found["area"])])
    header = ["species", "part", "strongest feature ↑", "logit ↑", "feature, map not cut ↑", "region"]
    return table(header, rows)


def layers_table(results: Results) -> str:
    """What the activations of other layers allow, after one round."""
    rows = [
        [f"after convolution {name}", str(found["units"]), f"{found['mean']:.2f}", f"{found['least']:.2f}"]
        for name, found in results["layers"].items()
    ]
    return table(["activations", "units", "mean R² ↑", "least R² ↑"], rows)


def goals(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    species = results["measures"]["species"].values()
    worst = min(found["r2"] for found in species)
    cosine = max(found["cosine"] for found in species)
    strongest = own(results)
    cut = sum(found[place]["value"] >= ENOUGH for place, found in zip(PLACES, strongest.values(), strict=True))
    whole = sum(found["whole"]["value"] >= ENOUGH for found in strongest.values())
    return [
        ("R² of held-out logits, the worst species", "≥ 0.9", f"{worst:.3f}", worst >= 0.9),
        ("mean \\|cos\\| between features, the worst species", "≤ 0.2", f"{cosine:.2f}", cosine <= 0.2),
        ("parts with a feature of their own, whole maps", "≥ 4 of 6", str(whole), whole >= 4),
        ("parts with a feature of their own, maps cut to their regions", "≥ 4 of 6", str(cut), cut >= 4),
    ]


def goals_block(results: Results) -> str:
    return goals_table("", goals(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    return "\n\n".join(each(results) for each in (goals_block, measures_table, own_table, answers_table))


def blocks(results: Results) -> markers.Blocks:
    training = ", ".join(f"{name} {value}" for name, value in sorted(results["training"].items()))
    more = {
        "birds that features were trained on, held out": f"{results['fitted']}, {results['held_out']}",
        "birds explained for each feature": results["images"],
        "species that stays the same with all predicted logits": percent(results["measures"]["decisions"]),
        "settings of the features": training,
    }
    return {
        "goals": goals_block(results),
        "measures": measures_table(results),
        "own": own_table(results),
        "layers": layers_table(results),
        "answers": answers_table(results),
        "conditions": conditions(results, more),
    }
