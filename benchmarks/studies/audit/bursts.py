"""Measures how often an audit's intervals hold the truth, where photos are single and where they come in bursts.

    python -m benchmarks.studies.audit.bursts [--draws 1000] [--out FOLDER]

writes benchmarks/results/audit_bursts.json; ``python -m benchmarks.pages`` puts the table into docs/studies/audit.md.
The probabilities are drawn from a distribution whose mean is known, one for each burst; all its photos have it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import paths, records
from benchmarks.common.records import Results
from benchmarks.common.report import percent, table
from benchmarks.common.statistics import digits
from sdfido.evaluate.audit import Limits
from sdfido.evaluate.bootstrap import Sample, numbered

FILE = paths.RESULTS / "audit_bursts.json"
DRAWS = 1000
SEED = 2000
SEQUENCES = (8, 16, 32, 64)
LENGTHS = {"1": (1, 1), "5": (5, 5), "1 to 10": (1, 10)}  # photos of a burst
_BETA = (1.5, 3.5)
_TRUTH = _BETA[0] / sum(_BETA)


def covered(sequences: int, lengths: tuple[int, int], draws: int) -> dict[str, float]:
    """The parts of the draws in which the interval of the mean holds the truth, by sequences and photo by photo."""
    limits, hits = Limits(), {"sequences": 0, "photos": 0}
    for seed in range(SEED, SEED + draws):
        rng = np.random.default_rng([seed, sequences, *lengths])
        counts = rng.integers(lengths[0], lengths[1] + 1, sequences)
        values = np.repeat(rng.beta(*_BETA, sequences), counts)
        names = np.repeat(np.arange(sequences), counts).astype(str).tolist()
        for key, of in (("sequences", numbered(names)), ("photos", np.arange(len(values)))):
            estimate = Sample(values, of).mean(*limits.drawn)
            hits[key] += estimate.low <= _TRUTH <= estimate.high
    return {key: digits(count / draws) for key, count in hits.items()}


def measured(draws: int) -> Results:
    limits = Limits()
    rows = [
        {"sequences_drawn": sequences, "photos_each": title} | covered(sequences, lengths, draws)
        for title, lengths in LENGTHS.items()
        for sequences in SEQUENCES
    ]
    return {"draws": draws, "seed": SEED, "level": limits.level, "resamples": limits.resamples, "rows": rows}


def bursts_table(results: Results) -> str:
    rows = [
        [row["photos_each"], str(row["sequences_drawn"]), percent(row["sequences"]), percent(row["photos"])]
        for row in results["rows"]
    ]
    header = ["photos of a sequence", "sequences", "held by intervals over sequences", "over photos"]
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--out", type=Path, help="folder of the file; by default it goes to its place")
    arguments = parser.parse_args()
    (file,) = paths.placed(arguments.out, FILE)
    print(bursts_table(records.write(file, measured(arguments.draws))))
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
