"""Tables of the paper's claims: the blocks of docs/studies/paper.md."""

from __future__ import annotations

from benchmarks.common import markers, paths
from benchmarks.common.records import Results
from benchmarks.common.report import conditions, percent, table, text_table
from benchmarks.studies.paper import verdicts
from benchmarks.studies.paper.verdicts import interval, points, ratio

RESULTS = paths.RESULTS / "paper.json"
ARMS = {
    "standard, pixels": "standard, noise of pixels",
    "standard": "standard, noise of cells",
    "simplified": "simplified, noise of cells",
    "simplified, t = 1": "simplified, noise of cells, t = 1",
}
SAMPLERS = {
    "standard, pixels": "standard, noise of pixels",
    "standard": "standard, noise of cells",
    "simplified": "simplified, noise of cells",
    "sdfido, fused": "the same, sdfido's fused operator",
}
FORMULAS = {
    "standard, e = 2.2e-16": "standard, e = 2.2e-16",
    "standard, e = 1e-07": "standard, e = 1e-7",
    "standard, e = 0": "standard, e = 0",
    "simplified, e = 1e-07": "simplified, e = 1e-7",
    "sdfido": "sdfido",
}
STATES = ("start", "middle", "end")
MEASURES = {
    "iou": "IoU ↑",
    "variation": "total variation ↓",
    "objective": "objective ↓",
    "kept": "p, SSR ↑",
    "destroyed": "p, SDR ↓",
    "area": "area ↓",
}
SERIES = ("equal calls", "equal steps")


def claims_table(results: Results) -> str:
    """Claim, what was measured, whether it holds."""
    rows = [[claim.says, claim.measured, claim.holds] for claim in verdicts.claims(results)]
    return text_table(["claim", "what was measured", "holds?"], rows)


def elementwise_table(results: Results) -> str:
    """For each type the logits within which the gradient's variance is right."""
    found = results["elementwise"]
    columns = [(dtype, t) for dtype, temperatures in found["ratios"].items() for t in temperatures]
    rows = []
    for name, label in FORMULAS.items():
        cells = []
        for dtype, t in columns:
            of = found["ratios"][dtype][t]
            cells.append(verdicts.span(verdicts.trusted(found, dtype, t, name)) if name in of else "–")
        rows.append([label, *cells])
    return table(["formula", *(f"{dtype}, t = {t}" for dtype, t in columns)], rows)


def gradients_table(results: Results) -> str:
    """Noise, signal to noise, and the ratio of the two formulas' noise."""
    found = results["gradients"]
    rows = []
    for name, states in found["arms"].items():
        ratios = found["ratios"].get(name.removeprefix("simplified, ")) if name.startswith("simplified") else None
        rows.append(
            [
                name,
                *(f"{states[s]['noise']['value']:.3g}" for s in STATES),
                *(f"{states[s]['signal_to_noise']['value']:.3f}".replace("-", "−") for s in STATES),
                *(ratio(ratios[s]) if ratios else "–" for s in STATES),
            ]
        )
    header = [f"{what}: {state}" for what in ("noise", "signal / noise", "simplified / standard") for state in STATES]
    return table(["gradient", *header], rows)


def batches_table(results: Results) -> str:
    """Variance of means over mini-batches, in the middle of a run."""
    arms = results["gradients"]["arms"]
    sizes = list(next(iter(arms.values()))["middle"]["batches"])
    rows = [[name, *(f"{of['middle']['batches'][size]:.3g}" for size in sizes)] for name, of in arms.items()]
    return table(["variance, mini-batches of", *sizes], rows)


def masks_table(results: Results, series: str) -> str:
    """All measures by size and arm."""
    rows = []
    for size, of in results["masks"][series].items():
        for arm, label in ARMS.items():
            values = of[arm]["values"]
            cells = [interval(values[name], 4 if name == "variation" else 2) for name in MEASURES]
            rows.append([f"{size} × {of['steps']}", label, *cells])
    return table(["samples × steps", "sampling", *MEASURES.values()], rows)


def timing_table(results: Results) -> str:
    found = results["timing"]
    size, (many, few) = found["size"], found["steps"]
    rows = [
        [
            label,
            *(f"{found['steps'][cells][name]:.2f}" for cells in (many, few)),
            f"{found['explanations'][name]:.0f}",
        ]
        for name, label in SAMPLERS.items()
    ]
    steps = [f"mask work of a step, {size} × {size}, {cells} × {cells} cells, ms" for cells in (many, few)]
    return table(["sampling", *steps, f"explanation, {found['calls']} calls, ms"], rows)


def classification_table(results: Results) -> str:
    found = results["classification"]
    rows = []
    for name, accuracy in found["accuracy"].items():
        gain = found["gain"].get(name)
        rows.append([name, interval(accuracy, 3), points(gain) if gain else "–"])
    return table(["second look", "accuracy", "gain, points"], rows)


def noise_table(results: Results) -> str:
    """What changes the gradient's noise in the middle of a run, where the formula does not."""
    arms = results["gradients"]["arms"]

    def middle(name: str) -> float:
        return float(arms[name]["middle"]["noise"]["value"])

    rows = [
        ["t = 1 instead of t = 0.1", percent(middle("simplified, t = 1") / middle("simplified, t = 0.1"), 0)],
        [
            "noise of pixels instead of cells",
            percent(middle("standard, pixels, t = 0.1") / middle("standard, t = 0.1"), 0),
        ],
    ]
    return table(["in mid-run", "noise that is left"], rows)


def rounding_table(results: Results) -> str:
    """How far gradients from the same noise are apart, as a part of their norm."""
    found = results["gradients"]["rounding"]
    rows = [[name.replace(" - ", " − "), f"{value:.1g}"] for name, value in found.items()]
    return table(["difference of gradients, median", "of their norm"], rows)


def antithetic_table(results: Results) -> str:
    found = results["gradients"]["antithetic"]
    rows = [["opposite / independent pairs", *(ratio(found[state]) for state in STATES)]]
    return table(["variance of the mean over a pair", *STATES], rows)


def blocks(results: Results) -> markers.Blocks:
    found, claims = results["gradients"], verdicts.claims(results)
    held = sum(claim.holds.startswith("yes") for claim in claims)
    more = {
        "statements that hold here as they stand": f"{held} of {len(claims)}",
        "birds and samples of each for the gradients": f"{found['images']} and {found['samples']}",
        "largest keep logit: middle, end of a run": f"{found['reach']['middle']:.1f}, {found['reach']['end']:.1f}",
        "birds for the masks": results["masks"]["images"],
        "samples of each mask in a run at equal calls": results["plan"]["budget"],
        "scenes, steps of their masks": f"{results['classification']['scenes']}, {results['classification']['steps']}",
    }
    return {
        "claims": claims_table(results),
        "elementwise": elementwise_table(results),
        "gradients": gradients_table(results),
        "batches": batches_table(results),
        "noise": noise_table(results),
        "rounding": rounding_table(results),
        "antithetic": antithetic_table(results),
        "equal-calls": masks_table(results, "equal calls"),
        "equal-steps": masks_table(results, "equal steps"),
        "timing": timing_table(results),
        "classification": classification_table(results),
        "conditions": conditions(results, more),
    }
