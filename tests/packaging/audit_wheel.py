"""Holds a built wheel and its source distribution against what they promise: `make wheel` runs it on dist.

    python tests/packaging/audit_wheel.py dist

Needs abi3audit, torch-abi-audit and twine. Says what the wheel is, or what is wrong with it.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST_MB = 5
SCRIPTS = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"sdfido-[\w.]+-cp310-abi3-manylinux_2_(?P<glibc>\d+)_\w+\.whl")


def check(fact: object, otherwise: str) -> None:
    if not fact:
        raise SystemExit(f"wheel: {otherwise}")


def run(*command: object) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    check(result.returncode == 0, f"{command[0]} fails:\n{result.stdout}{result.stderr}")
    return result.stdout


def audit_contents(wheel: Path) -> None:
    """Everything of the package is in it and nothing else: no library of torch's or CUDA's that came along."""
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
    names = {name for name in files if ".dist-info/" not in name}
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "sdfido").rglob("*.py")}
    expected |= {f"sdfido/include/sdfido/math/{path.name}" for path in (ROOT / "csrc/math").glob("*.h")}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "sdfido/reports/page").iterdir()}
    expected |= {"sdfido/include/sdfido/problem.h", "sdfido/py.typed", "sdfido/_C.abi3.so"}
    check(not expected - names, f"{wheel.name} lacks {', '.join(sorted(expected - names))}")
    check(not names - expected, f"{wheel.name} should not have {', '.join(sorted(names - expected))}")
    check(any(name.endswith(".dist-info/licenses/LICENSE") for name in files), f"{wheel.name} lacks the license")


def audit_library(wheel: Path) -> str:
    """Only stable interfaces of Python and torch are used; returns the oldest torch that has them all."""
    run(SCRIPTS / "abi3audit", "--strict", wheel)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        report = json.loads(run(SCRIPTS / "torch-abi-audit", "--check", "both", "--json", f"{folder}/sdfido"))
    (library,) = report["extensions"]
    torch = library["torch"]
    check(not torch["unknown_shim_symbols"], f"functions of torch of unknown age: {torch['unknown_shim_symbols']}")
    check(torch["min_torch_version"] in ("2.9.0", "2.10.0"), f"needs torch {torch['min_torch_version']}, not 2.10")
    return str(torch["min_torch_version"])


def main() -> None:
    (folder,) = map(Path, sys.argv[1:])
    wheels, sources = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    check(len(wheels) == 1 and len(sources) == 1, f"{folder} must hold one wheel and one .tar.gz")
    (wheel,) = wheels
    name = NAME.fullmatch(wheel.name)
    check(name, f"{wheel.name} is not named for abi3 of Python 3.10 and a manylinux")
    assert name is not None
    audit_contents(wheel)
    torch = audit_library(wheel)
    run(SCRIPTS / "twine", "check", "--strict", wheel, *sources)
    size = wheel.stat().st_size / 1e6
    check(size <= LARGEST_MB, f"{wheel.name} has {size:.2f} MB, at most {LARGEST_MB} are allowed")
    print(f"{wheel.name}: {size:.2f} MB, Python >= 3.10, torch >= {torch}, glibc >= 2.{name['glibc']}")


if __name__ == "__main__":
    main()
