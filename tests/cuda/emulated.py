"""Modules of emulated CUDA kernels: how they are built, plainly and with sanitizers, and the orders they run in."""

import fcntl
import os
import subprocess
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDERS = [0, 1, 2, 3, 4, 5, 6]  # of threads and blocks: ascending, descending, random ones

# Ways to build a module. SDFIDO_EMULATOR chooses one for a whole run; "sanitized" needs the preloads below.
BUILDS = {
    "plain": {},
    "sanitized": {"SDFIDO_SANITIZE": "ON"},
    "ucontext": {"CMAKE_CXX_FLAGS": "-DSIMT_UCONTEXT"},  # as on other processors than x86-64
}


def build_module(name, variant=None):
    """Builds a module of emulated kernels, in a folder that later runs take up again, and imports it."""
    variant = variant or os.environ.get("SDFIDO_EMULATOR", "plain")
    folder = ROOT / "build" / "emulated" / f"{sys.implementation.cache_tag}-{variant}"
    definitions = {"Python_EXECUTABLE": sys.executable, "CMAKE_COMPILE_WARNING_AS_ERROR": "ON"} | BUILDS[variant]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # cmake and ninja come from PyPI
    # The sanitizers' preloads are for what is built, not for the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"} | {"PATH": path}
    source, defined = ROOT / "tests/emulator", [f"-D{k}={v}" for k, v in definitions.items()]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-G", "Ninja", "-S", source, "-B", folder, *defined],
            ["cmake", "--build", folder, "--target", name],
        ):
            made = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert made.returncode == 0, made.stdout
    spec = spec_from_file_location(name, folder / (name + sysconfig.get_config_var("EXT_SUFFIX")))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_sanitized(arguments):
    """Runs Python with what a sanitized module needs: its runtime, and libstdc++ before it for the exceptions."""
    libraries = [
        subprocess.run(["c++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = os.environ | {
        "SDFIDO_EMULATOR": "sanitized",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "PYTHONMALLOC": "malloc",
    }
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


nested = pytest.mark.skipif("SDFIDO_EMULATOR" in os.environ, reason="runs in another build already")
