"""Tables of the drawn birds: the blocks of docs/studies/birds.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import Goal, conditions, goals_table, percent, table

RESULTS, PICTURE = paths.RESULTS / "birds.json", paths.IMAGES / "birds.webp"
LABELS = {
    "fido ssr": "**sdfido, SSR**",
    "fido sdr": "**sdfido, SDR**",
    "fido joint": "**sdfido, joint**",
    "plain ssr": "**sdfido, plain, SSR**",
    "plain sdr": "**sdfido, plain, SDR**",
    "plain joint": "**sdfido, plain, joint**",
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
    "plain": "**sdfido, plain**",
    "standard": "standard sampling",
    "published": "FIDO as published",
}


def _mean(results: Results, name: str, measure: str) -> float:
    return float(results["maps"][name][measure]["mean"])


def _interval(value: dict[str, float], digits: int = 2) -> str:
    texts = (f"{value[key]:.{digits}f}".replace("-", "−") for key in ("mean", "low", "high"))
    return "{} ({} to {})".format(*texts)


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
    return table(["map", *columns.values(), "s per image"], rows)


def classifier_table(results: Results) -> str:
    """Against the classifier."""
    columns = {"deletion": "deletion ↓", "insertion": "insertion ↑", "kept_5": "5% kept ↑", "kept_30": "30% kept ↑"}
    columns |= {"left_5": "5% infilled ↓", "left_20": "20% infilled ↓"}
    return table(["map", *columns.values()], _table(results, columns, {}))


def coherence_table(results: Results) -> str:
    """Of the maps by themselves."""
    columns = {"total_variation": "total variation ↓", "border": "border of the region ↓", "components": "components ↓"}
    digits = {"total_variation": 4, "border": 4, "components": 1}
    return table(["map", *columns.values()], _table(results, columns, digits))


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
    return table(["masks", *header], rows)


def targets(results: Results) -> list[Goal]:
    """Goals, what was measured, and whether that reaches them."""
    others = {
        key: value
        for key, value in results["ahead"].items()
        if not key.startswith(("plain ", "standard ", "published "))
    }
    best = min(others, key=lambda name: others[name]["mean"])
    masks = results["masks"]

    def variation(own: str, baseline: str, mask: str) -> float:
        return float(masks[own][f"{mask}_variation"]["mean"] / masks[baseline][f"{mask}_variation"]["mean"])

    def coherence(own: str, whose: str) -> list[Goal]:
        rows: list[Goal] = []
        for mask in ("ssr", "sdr"):
            value = variation(own, "published", mask)
            what = f"total variation, {mask.upper()} mask: {whose} / FIDO as published"
            rows.append((what, "≤ 0.5×", f"{value:.2f}×", value <= 0.5))
        for what, key in (
            ("the SSR mask", "prob_ssr"),
            ("the SSR mask, cut at ½", "prob_ssr_half"),
            ("5% kept by the SSR map", "kept_5"),
        ):
            ours, theirs = (masks[name][key]["mean"] for name in (own, "published"))
            says = f"probability with {what}: {whose}, FIDO as published"
            rows.append((says, "first ≥ second", f"{ours:.3f}, {theirs:.3f}", ours >= theirs))
        return rows

    overlap = _mean(results, "fido joint", "iou")
    pointing, ahead = _mean(results, "fido joint", "pointing"), others[best]
    rows: list[Goal] = [
        ("classifier: test accuracy", "≥ 95%", percent(results["accuracy"]), results["accuracy"] >= 0.95),
        ("classifier: drawing and training", "< 180 s", f"{results['training']} s", results["training"] < 180),
        ("pointing game, joint map", "≥ 0.9", f"{pointing:.2f}", pointing >= 0.9),
        ("IoU, joint map", "≥ 0.65", f"{overlap:.3f}", overlap >= 0.65),
        (f"IoU, joint map: less {LABELS[best]}, the best other", "> 0", _interval(ahead), ahead["low"] > 0),
    ]
    for name in ("published", "standard", "plain"):
        says = f"IoU, joint map: less {LABELS[f'{name} joint'].strip('*')}"
        rows.append((says, "", _interval(results["ahead"][f"{name} joint"], 3), None))
    rows += coherence("fido", "sdfido")
    same = variation("fido", "standard", "ssr")
    rows.append(("total variation, SSR mask: sdfido / standard sampling", "", f"{same:.2f}×", None))
    return rows


def targets_table(results: Results) -> str:
    return goals_table("", targets(results))


def summary(results: Results) -> str:
    """What a run prints at its end."""
    tables = (truth_table, classifier_table, coherence_table, masks_table, targets_table)
    return "\n\n".join(table(results) for table in tables)


def blocks(results: Results) -> markers.Blocks:
    more = {
        "birds": results["images"],
        "birds for FIDO as published and for all masks": results["few"],
        "pixels of the deciding part, mean": percent(results["truth"]),
        "drawing and training before": f"{results['training']} s",
    }
    return {
        "goals": targets_table(results),
        "truth": truth_table(results),
        "classifier": classifier_table(results),
        "coherence": coherence_table(results),
        "masks": masks_table(results),
        "conditions": conditions(results, more),
    }
