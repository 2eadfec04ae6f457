"""Whether the compiled CUDA kernels run on a GPU of this machine, and why not."""

import ctypes
import functools
import re
from collections.abc import Sequence

import torch

Version = tuple[int, int]


@functools.cache
def driver_version() -> Version | None:
    """The CUDA version that the installed driver serves, as (13, 0); None without a driver."""
    try:
        driver, version = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    except OSError:
        return None
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def why_not_driver(toolkit: str, driver: Version | None) -> str:
    """Why kernels of this toolkit, as "13.0", cannot run under a driver; empty if they can."""
    if not toolkit or driver is None or driver[0] >= int(toolkit.partition(".")[0]):
        return ""
    return (
        f"the kernels were built with CUDA {toolkit}, and this driver serves CUDA {driver[0]}.{driver[1]}; "
        "update the driver, or build with a toolkit of its version"
    )


def why_not_capability(capability: Version, archs: Sequence[str]) -> str:
    """Why kernels for ``archs``, as "sm_90" or "compute_100", have no code for a GPU; empty if they have."""
    major, minor = capability
    for arch in archs:
        kind, number = re.fullmatch(r"(sm|compute)_(\d+)[a-z]?", arch).groups()  # type: ignore[union-attr]
        arch_major, arch_minor = divmod(int(number), 10)
        # Machine code serves later GPUs of its generation; PTX is translated for all later ones.
        if (kind == "sm" and arch_major == major and arch_minor <= minor) or (
            kind == "compute" and (arch_major, arch_minor) <= capability
        ):
            return ""
    return (
        f"this GPU has compute capability {major}.{minor}, and the kernels were built for {' '.join(archs)}; "
        f"build with SDFIDO_CUDA_ARCHS={major}{minor}"
    )


def why_no_launch(index: int) -> str:
    """What the smallest kernel's launch says, where it fails: no kernel image, no driver."""
    try:
        one = torch.ones(1, device=f"cuda:{index}")
        torch.ops.sdfido.simplified_concrete(one, one / 2, 1.0)
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return ""
