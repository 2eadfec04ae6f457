"""Generates calls, judges each, and writes a line of JSON for it: what the test reads from a process of its own.

    python -m tests.fuzz.calls --seed 0 --first 0 --count 100

A call is named by the seed and its number alone, so that ``--first 123 --count 1`` repeats it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
import warnings
from typing import Any

import torch

from tests.fuzz.functions import CALLED, COUNTS, FUNCTIONS
from tests.fuzz.kinds import is_lenient, odd
from tests.fuzz.objects import is_untouched, network, same

SLOW = 10.0  # seconds
_CLEAR = (ValueError, TypeError, LookupError, OSError)


def generate(seed: int, number: int) -> tuple[str, dict[str, Any], list[str]]:
    """A function, its arguments, and the names of those that are anything at all; mostly one, sometimes none or two.

    All functions take turns.
    """
    rng = random.Random(f"{seed} {number}")
    torch.manual_seed(rng.getrandbits(32))
    name = sorted(FUNCTIONS)[number % len(FUNCTIONS)]
    given = FUNCTIONS[name].right(rng)
    replaced = rng.sample(sorted(given), min(len(given), rng.choice((0, 1, 1, 1, 1, 2))))
    for argument in replaced:
        value = odd(rng, costly=argument in COUNTS)
        if callable(value) and argument in CALLED and (argument[:3] == "on_" or not is_lenient(value)):
            value = 3
        given[argument] = value
    return name, given, replaced


def judge(seed: int, number: int) -> tuple[str, str]:
    """A verdict on a call, and what it is founded on.

    Right: its result has what holds of every result, is the same when the call is made again, and the arguments are as
    they were. Clear: a ValueError, TypeError, LookupError or, of files, OSError that names an argument; where some are
    wrong, one of these. Unclear: one that does not. Other: another error. Wrong: a result that is not right, or right
    arguments that are refused.
    """
    name, given, replaced = generate(seed, number)
    function = FUNCTIONS[name]
    is_untouched(network())  # makes the copy that it is compared with
    begin = time.process_time()
    try:
        result = function.call(**given)
        if (seconds := time.process_time() - begin) > SLOW:
            return "slow", f"{seconds:.0f} s"
        fresh = generate(seed, number)[1]
        if not same(given, fresh):
            return "wrong", "an argument was changed"
        if not is_untouched(network()):
            return "wrong", "the model was changed"
        if number // len(FUNCTIONS) % 2 and not same(result, function.call(**fresh)):
            return "wrong", "another result the second time"
    except _CLEAR as error:
        if not replaced and "content" not in given and not function.refuses:
            return "wrong", f"{type(error).__name__}: {error}"
        words = "|".join([*map(re.escape, replaced or given), *filter(None, [function.names])])
        told = re.search(rf"(?<![A-Za-z_])({words})(?![A-Za-z_])", str(error)) is not None
        told |= isinstance(error, OSError) and error.filename is not None
        return "clear" if told else "unclear", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "other", f"{type(error).__name__}: {error}"
    return ("right", "") if function.holds(result, given) else ("wrong", f"result {str(result)[:80]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("seed", "first", "count"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    told, sys.stdout = sys.stdout, sys.stderr  # a function that is given may print
    for number in range(options.first, options.first + options.count):
        print(json.dumps({"call": number}), file=told, flush=True)  # before anything can crash
        name, given, replaced = generate(options.seed, number)
        what = {argument: f"{given[argument]!r}"[:60] for argument in replaced}
        verdict, why = judge(options.seed, number)
        line = {"call": number, "function": name, "replaced": what, "verdict": verdict, "why": why[:200]}
        print(json.dumps(line), file=told, flush=True)


if __name__ == "__main__":
    sys.exit(main())
