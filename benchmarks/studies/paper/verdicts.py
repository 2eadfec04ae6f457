"""Each claim, what was measured of it, and whether it holds: all by the numbers of the results."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common.records import Results
from benchmarks.studies.paper.gradients import FAR

Interval = dict[str, float]
"""Of a mean: value, low, high."""

TOLERANCE = 0.05  # of a variance that counts as right
SAME = 0.01  # ratios within this of 1 are the same
STATES = ("start", "middle", "end")
SMALL, USUAL = "1", "8"  # mini-batches: the smallest, and that of existing code


@dataclass(frozen=True)
class Claim:
    """A row of the table."""

    says: str
    measured: str
    holds: str  # begins with "yes", "no", "in part" or "not told apart"


def signed(value: float, digits: int = 2) -> str:
    """With its sign, but for what rounds to 0."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def interval(value: Interval, digits: int = 2) -> str:
    texts = (f"{value[key]:.{digits}f}".replace("-", "−") for key in ("value", "low", "high"))
    return "{} ({} to {})".format(*texts)


def difference(value: Interval, digits: int = 2) -> str:
    return "{} ({} to {})".format(*(signed(value[key], digits) for key in ("value", "low", "high")))


def points(value: Interval) -> str:
    """A difference of accuracies in percentage points."""
    return difference({key: 100 * value[key] for key in value}, 1)


def ratio(value: Interval) -> str:
    """One that is within 0.1% of 1 on both sides as such, not by its many nines."""
    if max(abs(value["low"] - 1), abs(value["high"] - 1)) < 1e-3:
        return "1.000 ± 0.001"
    return interval(value)


def span(limits: tuple[float, float] | None) -> str:
    return "none" if limits is None else "{} to {}".format(*(signed(limit, 1) for limit in limits))


def trusted(elementwise: Results, dtype: str, temperature: str, name: str) -> tuple[float, float] | None:
    """The widest range of logits around 0 in which the gradient's variance is right; None if it is wrong at 0."""
    logits = elementwise["at"]["logits"]
    ratios = elementwise["ratios"][dtype][temperature][name]["variance"]
    right = [value is not None and abs(value - 1) <= TOLERANCE for value in ratios]
    low = high = min(range(len(logits)), key=lambda i: abs(logits[i]))
    if not right[low]:
        return None
    while low > 0 and right[low - 1]:
        low -= 1
    while high + 1 < len(right) and right[high + 1]:
        high += 1
    return logits[low], logits[high]


def below(ratios: list[Interval]) -> str:
    """Whether ratios are under 1: all of them, none or some."""
    return lower([{end: value - 1 for end, value in r.items()} for r in ratios], [1.0] * len(ratios))


def lower(differences: list[Interval], scales: list[float] | None = None) -> str:
    """Whether differences are under 0: all of them, none or some. Within 1 % of the scales they are the same."""
    margins = [SAME * scale for scale in scales] if scales else [0.0] * len(differences)
    pairs = list(zip(differences, margins, strict=True))
    if all(d["low"] >= -margin and d["high"] <= margin for d, margin in pairs):
        return f"no: the same to {100 * SAME:.0f}%" if scales else "no: the same"
    under = sum(d["high"] < -margin for d, margin in pairs)
    over = sum(d["low"] > margin for d, margin in pairs)
    if under == len(pairs):
        return "yes"
    if over == len(pairs):
        return "no: the contrary"
    if not under and not over:
        return "not told apart"
    if not over:
        return f"in part: lower in {under} of {len(pairs)} cases, never higher"
    return f"no: lower in {under} of {len(pairs)} cases, higher in {over}"


def claims(results: Results) -> list[Claim]:
    """All of them, in the order of the page's parts."""
    return [*_variance(results), *_masks(results["masks"]), _time(results["timing"]), *_classes(results)]


def _variance(results: Results) -> list[Claim]:
    found, single = results["gradients"], results["elementwise"]
    reach = max(found["reach"].values())

    def by_state(key: str) -> str:
        return ", ".join(f"{ratio(found['ratios'][key][state])} ({state})" for state in STATES)

    def limits(dtype: str) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        names = ("standard, e = 2.2e-16", "simplified, e = 1e-07")
        one, other = (trusted(single, dtype, "0.1", name) for name in names)
        return one, other

    def width(limit: tuple[float, float] | None) -> float:
        return 0.0 if limit is None else min(-limit[0], limit[1])

    standard, simplified = limits("float32")
    half = limits("bfloat16")
    exact = dict(zip(single["at"]["logits"], single["exact"]["0.1"]["variance"], strict=True))
    faint = exact[min(exact, key=lambda logit: abs(logit - FAR))] / max(exact.values())
    wider = width(simplified) > width(standard)
    if not wider:
        stable = "no"
    elif reach < width(standard):
        stable = f"yes, in float32 only beyond ±{width(standard):g}, where no run here gets"
    else:
        stable = f"yes, in float32 beyond ±{width(standard):g}, where runs do get"
    return [
        Claim(
            "At equal temperature, gradients of simplified samples vary less",
            f"Variance through the classifier, simplified / standard, noise of cells, t = 0.1: {by_state('t = 0.1')}; "
            f"t = 1: {by_state('t = 1')}",
            below([found["ratios"][key][state] for key in ("t = 0.1", "t = 1") for state in STATES]),
        ),
        Claim(
            "The same with the noise of pixels, as in existing code: logits are upsampled, not keep rates",
            f"Variance, simplified / standard: {by_state('pixels, t = 0.1')}",
            below([found["ratios"]["pixels, t = 0.1"][state] for state in STATES]),
        ),
        Claim(
            "Simplified sampling avoids numerical instabilities of the standard formula",
            f"Variance right to {100 * TOLERANCE:.0f}% at t = 0.1 for ϑ of {span(standard)} (standard) and "
            f"{span(simplified)} (simplified) in float32, {span(half[0])} and {span(half[1])} in bfloat16; runs reach "
            f"±{reach:.1f}, {100 * found['beyond']['end']:.0f}% of the logits end beyond "
            f"±{FAR:g}, where the exact variance is {faint:.0e} of that at 0",
            stable,
        ),
    ]


def _masks(found: Results) -> list[Claim]:
    calls, steps = found["equal calls"], found["equal steps"]
    sizes = list(calls)

    def gain(arm: str) -> Interval:
        """Of the objective by eight times as many calls."""
        return dict(steps[USUAL][arm]["less size 1"]["objective"])

    def against(arm: str, measure: str, digits: int) -> str:
        """Simplified less another, by size."""
        parts = (f"{difference(ours(arm, measure, size), digits)} ({size})" for size in (SMALL, USUAL, sizes[-1]))
        return ", ".join(parts)

    def coherent(arm: str) -> str:
        scales = [of[arm]["values"]["variation"]["value"] for of in calls.values()]
        return lower([ours(arm, "variation", size) for size in sizes], scales)

    def ours(arm: str, measure: str, size: str) -> Interval:
        return _minus(calls[size][arm]["less ours"][measure])

    simplified, standard = gain("simplified"), gain("standard")
    if simplified["high"] < 0:
        enough = "no: the larger mini-batch is better" + (", with both formulas" if standard["high"] < 0 else "")
    elif simplified["low"] >= 0:
        enough = "yes" + (", and with the standard formula as well" if standard["low"] >= 0 else "")
    else:
        enough = "not told apart"
    largest = [calls[size]["simplified"]["less size 1"]["objective"] for size in (USUAL, sizes[-1])]
    both = [calls[size]["standard"]["less size 1"]["objective"] for size in (USUAL, sizes[-1])]
    frugal = lower([_minus(value) for value in largest])
    if frugal == "yes" and lower([_minus(value) for value in both]) == "yes":
        frugal = "yes, and with the standard formula as well"
    return [
        Claim(
            "Mini-batches can be smaller without loss, at as many steps",
            f"Objective with mini-batches of {USUAL} less that with {SMALL}, {steps[SMALL]['steps']} steps: "
            f"{difference(simplified)} simplified, {difference(standard)} standard (both noise of cells), "
            f"{difference(gain('standard, pixels'))} standard (noise of pixels); lower is better",
            enough,
        ),
        Claim(
            "Small mini-batches are the better use of as many classifier calls",
            "Objective, simplified, less that with mini-batches of 1: "
            + ", ".join(f"{difference(v)} ({s})" for v, s in zip(largest, (USUAL, sizes[-1]), strict=True))
            + "; standard, noise of cells: "
            + ", ".join(f"{difference(v)} ({s})" for v, s in zip(both, (USUAL, sizes[-1]), strict=True)),
            frugal,
        ),
        Claim(
            "Masks are finer and more coherent by the simplified formula alone",
            "Total variation, simplified less standard, noise of cells, by mini-batch: "
            f"{against('standard', 'variation', 4)}; IoU: {against('standard', 'iou', 3)}",
            coherent("standard"),
        ),
        Claim(
            "The same against standard sampling with the noise of pixels",
            f"Total variation, simplified (cells) less standard (pixels), by mini-batch: "
            f"{against('standard, pixels', 'variation', 4)}; IoU: {against('standard, pixels', 'iou', 3)}",
            coherent("standard, pixels"),
        ),
    ]


def _minus(value: Interval) -> Interval:
    return {"value": -value["value"], "low": -value["high"], "high": -value["low"]}


def _time(found: Results) -> Claim:
    whole = found["explanations"]
    ratios = {f"{cells} × {cells} cells": of["simplified"] / of["standard"] for cells, of in found["steps"].items()}
    ratios["explanation"] = whole["simplified"] / whole["standard"]
    least, most = (100 * (1 - of(ratios.values())) for of in (max, min))
    holds = f"yes, by {least:.0f} to {most:.0f}%" if least > 5 else "no: much the same, in part at least"
    fused = ", ".join(f"{of['standard'] / of['sdfido, fused']:.1f}" for of in found["steps"].values())
    return Claim(
        "The simplified formula takes less time",
        "Time, simplified / standard, both in plain PyTorch with noise of cells: "
        + ", ".join(f"{value:.2f} ({name})" for name, value in ratios.items())
        + f". Fusing the mask work makes its steps {fused} times as fast as the standard formula",
        holds,
    )


def _classes(results: Results) -> list[Claim]:
    found = results["classification"]
    gains = {blend: found["gain"][f"simplified, {blend}"] for blend in ("infill", "original")}
    ahead = found["simplified - standard"]
    better = [blend for blend, gain in gains.items() if gain["low"] > 0]
    if len(better) == len(gains):
        holds = "yes"
    elif better:
        words = {"infill": "the infill", "original": "the original"}
        holds = f"yes where the crop is blended with {words[better[0]]}; otherwise not told apart"
        holds = holds if all(gain["high"] > 0 for gain in gains.values()) else holds.replace("not told apart", "no")
    else:
        holds = "not told apart" if any(gain["high"] > 0 for gain in gains.values()) else "no"
    alone = lower([_minus(value) for value in ahead.values()])
    return [
        Claim(
            "Masks improve classification without fine-tuning",
            "Accuracy with a second look less that of the image alone, points: "
            + ", ".join(f"{points(gain)} (blended with the {blend})" for blend, gain in gains.items()),
            holds,
        ),
        Claim(
            "They improve it more by the simplified formula",
            "Accuracy, simplified less standard, points: "
            + ", ".join(f"{points(value)} ({blend})" for blend, value in ahead.items()),
            alone,
        ),
    ]
