"""What is installed, and what setup.py says when it cannot build; test_cuda_build.py has its choices about CUDA."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

import sdfido
from tests.packaging import environments
from tests.packaging.environments import Outcome, Python, Unavailable

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ("csrc", "sdfido", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A copy of what the package is built from: builds leave files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILDS:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(ROOT / name, folder)
    return folder


def setup(source, *arguments, **environment):
    """Exit code and messages of setup.py."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SDFIDO_") and k not in ("CC", "CXX")}
    command = [sys.executable, "setup.py", "--quiet", *map(str, arguments)]
    result = subprocess.run(command, cwd=source, env=kept | environment, capture_output=True, text=True)
    return result.returncode, result.stderr


# --- Without compiled operators


@pytest.fixture(scope="session")
def pure_wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    code, said = setup(source, "bdist_wheel", "--dist-dir", folder, SDFIDO_NO_NATIVE="1", CXX="/nowhere/c++")
    assert code == 0, said
    assert "sdfido: building without compiled operators: SDFIDO_NO_NATIVE=1" in said
    (wheel,) = folder.iterdir()
    return wheel


def test_a_pure_wheel_serves_every_machine(pure_wheel):
    assert pure_wheel.name.endswith("-py3-none-any.whl")


def test_a_wheel_has_all_modules_headers_and_the_license(pure_wheel):
    with zipfile.ZipFile(pure_wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "sdfido").rglob("*.py")}
    headers = {f"sdfido/include/sdfido/math/{path.name}" for path in (ROOT / "csrc/math").glob("*.h")}
    parts = {str(path.relative_to(ROOT)) for path in (ROOT / "sdfido/reports/page").iterdir()}
    assert headers
    assert parts
    assert names == modules | headers | parts | {"sdfido/include/sdfido/problem.h", "sdfido/py.typed"}


def test_a_pure_wheel_works_by_the_reference(pure_wheel, tmp_path):
    code = """
import sys
# That of an editable install, which would give this sdfido the other one's library.
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in getattr(finder, "__name__", "")]
import torch
import sdfido
info = sdfido.build_info()
assert info["native"] is False and "_C" in info["native_error"] and info["cpu_isa"] is None, info
logits, image = torch.zeros(1, 2, 4, 4, requires_grad=True), torch.rand(1, 3, 8, 8)
samples = sdfido.sample_composites(logits, image, torch.zeros(()), sdfido.make_rng(1), num_samples=2)
samples.composites.sum().backward()
assert logits.grad.abs().sum() > 0
print(sdfido.__file__)
"""
    with zipfile.ZipFile(pure_wheel) as archive:
        archive.extractall(tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SDFIDO_")} | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()) == tmp_path / "sdfido/__init__.py"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SDFIDO_NO_NATIVE": "yes"}, "SDFIDO_NO_NATIVE must be 0, 1 or unset, got 'yes'"),
        ({"SDFIDO_NO_NATIVE": "1", "SDFIDO_CUDA": "1"}, "SDFIDO_NO_NATIVE=1 and SDFIDO_CUDA=1 exclude each other"),
    ],
)
def test_a_wrong_choice_is_an_error(source, environment, message):
    code, said = setup(source, "--name", **environment)
    assert code != 0
    assert message in said


# --- What is missing is named, and the way out


@pytest.mark.parametrize(
    ("compiler", "message"),
    [
        ("/nowhere/c++", "sdfido: no C++ compiler: '/nowhere/c++' is not on the PATH; install one (Debian: g++)"),
        (shutil.which("false"), "sdfido: the compiled operators could not be built: Error compiling objects"),
    ],
)
def test_without_a_compiler_that_works_the_error_names_the_way_out(source, tmp_path, compiler, message):
    arguments = ["build_ext", "--build-temp", tmp_path, "--build-lib", tmp_path]
    code, said = setup(source, *arguments, SDFIDO_CUDA="0", CXX=compiler)
    assert code != 0
    assert said.splitlines()[-1].startswith(message)
    assert "SDFIDO_NO_NATIVE=1 installs without compiled operators" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("torch_module", "message"),
    [
        ("raise ImportError('no torch here')", "needs torch >= 2.10, got none (no torch here); install it, or leave"),
        ("__version__ = (2, 9)\nutils = 0", "needs torch >= 2.10, got (2, 9); install it, or leave out"),
    ],
)
def test_without_a_torch_that_is_new_enough(source, tmp_path, torch_module, message):
    (tmp_path / "torch/utils").mkdir(parents=True)
    (tmp_path / "torch/__init__.py").write_text(torch_module)
    (tmp_path / "torch/utils/__init__.py").write_text("cpp_extension = None")
    code, said = setup(source, "--name", PYTHONPATH=str(tmp_path))
    assert code != 0
    assert f"sdfido: building the compiled operators {message}" in said
    assert "SDFIDO_NO_NATIVE=1 installs without compiled operators" in said


# --- The source distribution and the headers


def test_the_source_distribution_has_all_that_a_build_takes(source, tmp_path):
    code, said = setup(source, "sdist", "--dist-dir", tmp_path, SDFIDO_NO_NATIVE="1")
    assert code == 0, said
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*") if path.is_file()}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "sdfido/reports/page").iterdir()}
    assert sources | {"setup.py", "pyproject.toml", "LICENSE", "README.md", "sdfido/py.typed"} <= names
    assert "graft tests" in (ROOT / "MANIFEST.in").read_text()


PROGRAM = """
#include <sdfido/math/concrete.h>
#include <sdfido/math/philox.h>
#include <sdfido/problem.h>

#include <cstdio>

int main() {  // four masks of six cells: seed 7, step 0, temperature 0.1
  for (uint32_t cell = 0; cell < 6; ++cell) {
    uint64_t words[4] = {cell, 0, 0, 0};  // cell, stream, block, step
    sdfido::philox4x32_10(words[0], words[1], words[2], words[3], {7, 0}, sdfido::ScalarLanes{});
    const float prepared = sdfido::prepare_logit<10>(0.5f * cell - 1.0f);
    for (uint64_t word : words) {
      const float odds = sdfido::odds_of_word<float>(static_cast<uint32_t>(word));
      std::printf("%a\\n", sdfido::mask_of_odds<10>(odds, prepared, 10.0f));
    }
  }
}
"""


def test_programs_can_be_compiled_against_the_mathematics(tmp_path):
    (tmp_path / "masks.cpp").write_text(PROGRAM)
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{sdfido.get_include()}"]
    command = [os.environ.get("CXX") or "c++", *flags, "masks.cpp", "-o", "masks"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "masks"], capture_output=True, text=True, check=True).stdout
    masks = torch.tensor([float.fromhex(line) for line in printed.splitlines()]).view(6, 4)
    logits = (0.5 * torch.arange(6) - 1).view(1, 1, 2, 3)
    with sdfido.backend("native"):
        expected = sdfido.sample_masks(logits, sdfido.make_rng(7), num_samples=4, temperature=0.1)
    assert torch.equal(masks, expected.view(4, 6).T)


# --- Environments to test a wheel in


def test_a_python_that_makes_no_environments_says_why(tmp_path):
    with pytest.raises(Unavailable, match="not on the PATH"):
        environments.examine("python3.99")
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(Unavailable, match="does not run: no such version"):
        environments.examine(str(broken))
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho /usr/bin/python3.9 3 9\n")
    old.chmod(0o755)
    with pytest.raises(Unavailable, match=r"is Python 3\.9; sdfido needs 3\.10"):
        environments.examine(str(old))
    assert environments.examine(sys.executable) == Python(Path(sys.executable), sys.version_info[:2])


def test_this_python_and_the_newest_other_one_are_chosen(monkeypatch, capsys):
    versions = {"here": (3, 11), "again": (3, 11), "old": (3, 10), "new": (3, 13), "between": (3, 12)}

    def examine(command):
        if command == "gone":
            raise Unavailable("not on the PATH")
        return Python(Path(command), versions[command])

    monkeypatch.setattr(environments, "examine", examine)
    monkeypatch.setattr(environments, "candidates", lambda: [*versions, "gone"])
    assert [python.name for python in environments.choose_pythons([])] == ["3.11", "3.13"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "skipped: gone: not on the PATH"
    assert [line.split(":")[1] for line in said[1:]] == [" old", " between"]
    assert [python.name for python in environments.choose_pythons(["old", "here", "new"])] == ["3.10", "3.11", "3.13"]


def test_large_files_of_two_environments_are_stored_once(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "SHARED_FROM", 4)
    digest = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"  # of "test"
    for name in ("a", "b"):
        info = tmp_path / name / "library.dist-info"
        info.mkdir(parents=True)
        (tmp_path / name / "library.so").write_text("test")
        info.joinpath("RECORD").write_text(f"library.so,sha256={digest},4\nlibrary.dist-info/RECORD,,\n")
        environments.share_large_files(tmp_path / name)
    assert (tmp_path / "a/library.so").samefile(tmp_path / "b/library.so")
    (stored,) = (tmp_path / "files").iterdir()
    for name in ("a", "b"):
        (tmp_path / name / "library.so").unlink()
    environments.share_large_files(tmp_path / "a")
    assert not stored.exists()


def test_the_table_of_environments():
    outcomes = [
        Outcome("3.11", "torch", "2.13.0+cpu", "native, avx2", ["cpu"]),
        Outcome("3.13", "torch==2.10.*", result="skipped: 1 GB free on the disk, 10 needed"),
    ]
    assert environments.table(outcomes).splitlines() == [
        "Python  asked for      torch       backend       tested on  result",
        "3.11    torch          2.13.0+cpu  native, avx2  cpu        passed",
        "3.13    torch==2.10.*                                       skipped: 1 GB free on the disk, 10 needed",
    ]
