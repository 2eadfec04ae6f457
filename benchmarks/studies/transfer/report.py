"""Tables of the transfer of relevance: the blocks of docs/studies/transfer.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table, with_interval
from benchmarks.studies.transfer.birds import SHARED

RESULTS, PHOTOS = paths.RESULTS / "transfer.json", paths.RESULTS / "transfer_photos.json"
PICTURE = paths.IMAGES / "transfer.webp"
LABELS = {
    "initialisation": "initialisation",
    "related task": "task: species, and which half of the bird",
    "other task": "task: species, and which way it faces",
    "pretraining": "pretraining data: birds, and drawings without birds",
}


def matrix_table(tables: Results, of: str, fraction: str, measure: str) -> str:
    """A row for each map, a column for each model; what a model's own map says is bold."""
    rows = tables[of][fraction]
    models = list(next(iter(rows.values())))
    body = []
    for name, values in rows.items():
        cells = [f"{values[model][measure]:.2f}" for model in models]
        body.append(
            [name, *(f"**{cell}**" if model == name else cell for model, cell in zip(models, cells, strict=True))]
        )
    return table(["maps of", *models], body)


def verdict(share: Mapping[str, float]) -> str:
    """Whether an interval of shares lies above or below that from which maps count as transferring."""
    if share["low"] > SHARED:
        return "holds"
    return "does not hold" if share["high"] < SHARED else "undecided"


_CONTRARY = {"holds": "does not hold", "does not hold": "holds", "undecided": "undecided"}


def _differs(value: Mapping[str, float]) -> str:
    return "holds" if value["low"] > 0 or value["high"] < 0 else "undecided"


def statements_table(results: Results) -> str:
    """The source's three statements, measured."""
    found = results["statements"]
    share, less = found["share"], found["pretraining_less"]
    smaller = "holds" if less["low"] > 0 else "does not hold" if less["high"] < 0 else "undecided"
    rows = [
        [
            "stable across initialisations",
            "share",
            with_interval(share["initialisation"]),
            verdict(share["initialisation"]),
        ],
        [
            "transfers across tasks, related",
            "share",
            with_interval(share["related task"]),
            verdict(share["related task"]),
        ],
        ["transfers across tasks, another", "share", with_interval(share["other task"]), verdict(share["other task"])],
        ["less across pretraining data", "share less", with_interval(less), smaller],
        [
            "… so much less that it does not transfer",
            "share",
            with_interval(share["pretraining"]),
            _CONTRARY[verdict(share["pretraining"])],
        ],
        *(
            [f"… asymmetric, {of}", "difference", with_interval(found[name]), _differs(found[name])]
            for name, of in (("asymmetry", "by probability"), ("asymmetry_of_shares", "by share"))
        ),
    ]
    return table(["statement", "measure", "value", "here"], rows)


def shares_table(results: Results) -> str:
    found = results["statements"]
    rows = [[LABELS[name], with_interval(value)] for name, value in found["share"].items()]
    return table(["classifiers differ in", "share of the own map's gain"], rows)


def models_table(results: Results) -> str:
    """What is known of each classifier."""
    found = results["statements"]
    rows = [
        [
            name,
            percent(accuracy),
            percent(results["pointing"][name], 0),
            with_interval(found["diagonal"][name]),
            found["best_control"][name],
        ]
        for name, accuracy in results["accuracy"].items()
    ]
    return table(["classifier", "accuracy", "points at the part", "gain of its own map", "best control"], rows)


def photos_table(results: Results) -> str:
    """The matrices of the photos, and what each network gains by its own map."""
    gains = ", ".join(f"{name} {with_interval(gain)}" for name, gain in results["diagonal"].items())
    kept = [
        f"{float(fraction):.0%} kept:\n\n{matrix_table(results['tables'], 'kept', fraction, 'probability')}"
        for fraction in results["tables"]["kept"]
    ]
    removed = matrix_table(results["tables"], "removed", "0.1", "probability")
    return "\n\n".join([*kept, f"Gain of the own map at 10%: {gains}.", f"10% removed, lower is better:\n\n{removed}"])


def goals(results: Results, photos: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    lows = [gain["low"] for gain in results["statements"]["diagonal"].values()]
    of_photos = [gain["low"] for gain in photos["diagonal"].values()]
    above, above_photos = sum(low > 0 for low in lows), sum(low > 0 for low in of_photos)
    return [
        (
            "birds: own map above its best control, classifiers",
            f"{len(lows)} of {len(lows)}",
            f"{above} of {len(lows)}",
            above == len(lows),
        ),
        (
            "photos: own map above its best control, networks",
            f"{len(of_photos)} of {len(of_photos)}",
            f"{above_photos} of {len(of_photos)}",
            above_photos == len(of_photos),
        ),
    ]


def summary(results: Results) -> str:
    """What a run prints at its end."""
    parts = [models_table(results), shares_table(results), statements_table(results)]
    for of in ("kept", "removed"):
        parts.append(f"{of}\n{matrix_table(results['tables'], of, str(results['at']), 'probability')}")
    return "\n\n".join(parts)


def _conditions(results: Results, more: Mapping[str, Any]) -> str:
    return conditions(results, {**more, "CPU time": f"{results['cpu_seconds']} s"})


def blocks(results: Results, photos: Results) -> markers.Blocks:
    at = str(results["at"])
    trained = ", ".join(f"{name} {seconds} s" for name, seconds in results["training"].items())
    correlations = ", ".join(f"{name} {value:.2f}" for name, value in results["rank_correlation"].items())
    return {
        "goals": goals_table("", goals(results, photos)),
        "statements": statements_table(results),
        "shares": shares_table(results),
        "models": models_table(results),
        "kept": matrix_table(results["tables"], "kept", at, "probability"),
        "kept-accuracy": matrix_table(results["tables"], "kept", at, "accuracy"),
        "removed": matrix_table(results["tables"], "removed", at, "probability"),
        "photos": photos_table(photos),
        "conditions": _conditions(
            results,
            {
                "birds": results["images"],
                "rank correlation of two maps": correlations,
                "training before, CPU time": trained,
            },
        ),
        "conditions-photos": _conditions(photos, {"photos": photos["photos"]}),
    }
