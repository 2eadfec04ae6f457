"""What a step takes besides time: memory beyond its outputs, and operators launched.

    LD_PRELOAD=heap.so python -m benchmarks.speed.resources FILE [--smoke]

Memory: the most that is live on the heap during forward and backward, less what was before and less the outputs
(composites, penalties, gradient of the logits). heap.cpp counts it, in this process of its own, since the fused
operator's scratch memory is not torch's; on a GPU torch's allocator counts.

Operators: those that compute, as torch's dispatcher sees them after autograd; views and allocations do not count. A
compiled function's generated kernels show in torch's profiler, and count as one each.
"""

import argparse
import ctypes
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed.cases import Case, Implementation, implementations
from benchmarks.speed.groups import operator_cases

_BOOKKEEPING = ("empty", "new_empty", "resize_", "detach_")


class Launches(TorchDispatchMode):
    """Counts the operators that compute."""

    count = 0

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True  # else compiled functions would not run compiled

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func.name().partition("::")[2].startswith(_BOOKKEEPING))
        return func(*args, **(kwargs or {}))


def _marks(device: str) -> tuple[Callable[[], int], Callable[[], int]]:
    """Functions that start a measurement, returning what is live, and return the most that was since."""
    if device == "cuda":

        def begin() -> int:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()

        return begin, torch.cuda.max_memory_allocated
    heap = ctypes.CDLL(None)
    functions = heap.sdfido_heap_begin, heap.sdfido_heap_peak
    for function in functions:
        function.restype = ctypes.c_long
    return functions


def extra_bytes(implementation: Implementation, device: str) -> int:
    begin, peak = _marks(device)
    extra = []
    for _ in range(5):  # the first ones warm up
        gc.collect()
        before = begin()
        outputs = implementation.forward()
        gradient = implementation.backward(outputs)
        extra.append(peak() - before - sum(tensor.nbytes for tensor in (*outputs, gradient)))
        del outputs, gradient
    return max(extra[2:])


def count_launches(work: Callable[[], Any]) -> tuple[Any, int]:
    """What the work returns, and how many operators and generated kernels it launched."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, Launches() as operators:
        result = work()
    return result, operators.count + sum("_cpp_fused_" in event.name for event in profile.events())


def launches(implementation: Implementation) -> dict[str, int]:
    for _ in range(2):
        implementation.backward(implementation.forward())
    outputs, forward = count_launches(implementation.forward)
    _, backward = count_launches(lambda: implementation.backward(outputs))
    return {"forward": forward, "backward": backward}


def measured(cases: list[Case]) -> dict[str, Any]:
    memory = {}
    for index, case in enumerate(cases):
        print(f"resources, case {index + 1} of {len(cases)}: {case.title}", flush=True)
        torch.set_num_threads(case.threads)
        memory[case.name] = {name: extra_bytes(one, case.device) for name, one in implementations(case).items()}
    # Kernels of compiled functions show in the profile only if asked for.
    with torch._inductor.config.patch("cpp.enable_kernel_profile", True):
        torch.set_num_threads(cases[0].threads)
        operators = {name: launches(one) for name, one in implementations(cases[0]).items()}
    return {"extra_bytes": memory, "operators": {cases[0].name: operators}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    arguments.file.write_text(json.dumps(measured(operator_cases("smoke" if arguments.smoke else "full"))))


if __name__ == "__main__":
    main()
