"""The page of the paper's claims and what was measured of them: docs/paper.md, from benchmarks/results/paper.json.

    python benchmarks/paper/page.py [--check]

writes it; its pictures come from claims.py, which measures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import pages  # noqa: E402
from report import table  # noqa: E402

from paper import verdicts  # noqa: E402
from paper.verdicts import Claim, Results, interval, points, ratio  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/paper.json", ROOT / "docs/paper.md"
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
    return _left(["claim", "what was measured", "holds?"], rows)


def _left(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of sentences, all to the left."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


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


def _elsewhere(arms: Results) -> str:
    """What changes the gradient's noise where the formula does not."""

    def middle(name: str, what: str) -> float:
        return float(arms[name]["middle"][what]["value"])

    noise = 100 * middle("simplified, t = 1", "noise") / middle("simplified, t = 0.1", "noise")
    place = 100 * middle("standard, pixels, t = 0.1", "noise") / middle("standard, t = 0.1", "noise")
    return (
        f"The temperature and the place of the noise matter: in mid-run, t = 1 has {noise:.0f} % of the noise of t = "
        f"0.1, and noise of pixels {place:.0f} % of that of cells. Existing code's functions differ in their default "
        "temperature, 0.1 for standard sampling and 1 for simplified: whoever compares them as they come compares "
        "temperatures."
    )


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


def page(results: Results) -> str:
    """docs/paper.md."""
    machine, plan, found = results["machine"], results["plan"], results["gradients"]
    claims: list[Claim] = verdicts.claims(results)
    held = sum(claim.holds.startswith("yes") for claim in claims)
    rounding = found["rounding"]
    sections = [
        "<!-- Written by python benchmarks/paper/page.py from the results' file. -->\n"
        "# The paper's claims, measured again",
        "Korsch, Shadaydeh, Denzler, *Simplified concrete dropout*, GCPR 2023 (arXiv 2307.14825), samples FIDO's masks "
        "from logits where FIDO had sampled them from keep rates by standard concrete dropout. Its abstract's claims "
        "are given here in our words, taken apart into statements that can be measured, and measured on a small "
        "classifier of drawn birds ([how those are made](quality.md)), not on the paper's data: what does not hold "
        "here may hold there.",
        _FORMULAS.rstrip(),
        f"## Claim by claim\n\n{held} of the {len(claims)} statements hold here as they stand.\n\n"
        + claims_table(results),
        "![Variance of the gradient over logits and over mini-batch sizes](paper-gradients.png)\n\n"
        "Left and middle: the variance of one mask value's gradient, over the exact one, by logit. Right: the variance "
        "of the mean gradient through the classifier, by the size of the mini-batch.",
        "![Quality of the masks over mini-batch sizes](paper-masks.png)",
        "![Joint masks by sampling and mini-batch size](paper-maps.png)\n\n"
        f"Joint masks at the end of runs of {plan['budget']} samples of each mask; the deciding part is outlined.",
        "## a. Variance of the gradient\n\nOne mask value: the keep logits around 0 within which the variance of "
        f"∂z/∂logit is right to {100 * verdicts.TOLERANCE:.0f} %.\n\n"
        + elementwise_table(results)
        + f"\n\nThrough the classifier, {found['images']} birds, {found['samples']} samples each. Noise is the trace "
        "of the gradient's covariance, signal the squared norm of its mean, without bias; the logits are those of a "
        f"run of sdfido, where they reach {found['reach']['middle']:.1f} in the middle and {found['reach']['end']:.1f} "
        "at the end.\n\n"
        + gradients_table(results)
        + "\n\n"
        + batches_table(results)
        + "\n\n"
        + _elsewhere(found["arms"])
        + "\n\n"
        f"From the same noise, the two formulas' gradients differ by {rounding['standard - simplified']:.1g} of their "
        f"norm (median, t = 0.1, noise of cells): standard sampling is off its value in float64 by "
        f"{rounding['standard - float64']:.1g}, simplified by {rounding['simplified - float64']:.1g}. Pairs of "
        "samples with opposite noise have, relative to independent pairs, a variance of "
        + ", ".join(f"{ratio(found['antithetic'][state])} ({state})" for state in STATES)
        + ".",
        f"## b. Masks over mini-batch sizes\n\n{results['masks']['images']} birds. At equal calls, a run has "
        f"{plan['budget']} samples of each mask, whatever the mini-batch.\n\n" + masks_table(results, "equal calls"),
        "At equal steps, larger mini-batches take as many more calls.\n\n" + masks_table(results, "equal steps"),
        "## c. Time\n\n" + timing_table(results),
        f"## d. Classification with and without masks\n\n{results['classification']['scenes']} scenes with small "
        f"birds, masks of {results['classification']['steps']} steps; the class of the image is averaged with that of "
        "the crop around the mask, out of the scene in its full size. A crop alone, without any mask, may do as much: "
        "[the large study](enhancement.md) has the controls.\n\n" + classification_table(results),
        "## How it is measured\n\n" + _METHOD.rstrip(),
        f"{results['threads']} threads of {machine['cpu']} ({machine['cpu_isa']}), torch {machine['torch']}, "
        f"{machine['date']}; load at the start {results['load']}; {results['seconds'] / 60:.1f} minutes in all. "
        "`python benchmarks/paper/claims.py` repeats it.",
    ]
    return "\n\n".join(sections) + "\n"


_FORMULAS = """\
With u uniform in 0..1, temperature t, keep logit ϑ and keep rate p = σ(ϑ), mask values are

    standard     z = σ((log(p + e) − log(1 − p + e) + log(u + e) − log(1 − u + e)) / t)
    simplified   z = σ((ϑ + log((u + e) / (1 − u + e))) / t)

As log p − log(1 − p) = ϑ, both are one function in real arithmetic (e = 0): same noise, same masks, same gradients. The
formulas can differ by e and by rounding only. What else existing code does is another matter: it upsamples keep rates
and draws the noise of every *pixel*, where sdfido draws that of every *cell* of the mask and upsamples the samples.
These are kept apart here as "noise of pixels" and "noise of cells".
"""

_METHOD = """\
- Numbers in parentheses are 95 % confidence intervals by the bootstrap over images, of differences and ratios image by
  image. A claim holds where all its intervals lie on its side; "not told apart" means that they cover both sides, and
  "the same" that they lie within 1 % of equality. Many intervals are looked at: one in twenty misses by chance.
- Standard sampling has e = 2.2e-16 inside its logarithms and simplified sampling 1e-7, as in existing code; both get
  the same uniform numbers in float32. t = 0.1 as there.
- One mask value: the mean and variance of its gradient by autograd in each type, over the uniform numbers that the
  type can hold, against integrals in float64.
- Masks: everything but the sampling is sdfido's default and the same for all (28 × 28 cells, penalties, descent), so
  "standard, noise of pixels" is not the whole of existing code; no antithetic samples, no early end, one seed. Where
  there are fewer steps than the default, the learning rate rises with the root of their ratio; it was not tuned by arm.
- IoU is that of the joint mask's most important pixels with the deciding part, as many as that has; total variation
  the mean of both masks', a pixel; the objective log-odds (SDR − SSR) of the composites by the final masks, plus the
  penalties; p the class's probability in them; area the mean of what the SSR keeps and what the SDR removes.
- Time: medians of alternating rounds. The mask work is samples, composites and penalties of two masks of 8 samples,
  forward and backward, in plain PyTorch but for sdfido's; an explanation is one of the small classifier's close-ups by
  all default steps, one sample of each mask a step.
- Classification: settings of `sdfido.enhance` by default; no label is used.
"""


if __name__ == "__main__":
    pages.main(__doc__, PAGE, RESULTS, page, command="benchmarks/paper/page.py")
