"""Makes an environment with the libraries of the study, and runs the study in it.

    python -m benchmarks.studies.conformance.environment [arguments of the study]

torchvision, timm and open_clip need the torch that they were built for, which takes some 6 GB beside that of .venv. The
compiled operators beside the sources load under any torch from 2.10 on.
"""

import os
import subprocess
import sys

from benchmarks.common import paths

FOLDER = paths.BUILD / "conformance"
PACKAGES = ("torch", "torchvision", "timm", "transformers", "open_clip_torch", "numpy", "pillow")


def main() -> int:
    inside, done = FOLDER / "bin/python", FOLDER / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        subprocess.run([str(inside), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.touch()
    command = [str(inside), "-m", "benchmarks.studies.conformance", *sys.argv[1:]]
    return subprocess.run(command, cwd=paths.ROOT, env=os.environ | {"PYTHONPATH": str(paths.ROOT)}).returncode


if __name__ == "__main__":
    sys.exit(main())
