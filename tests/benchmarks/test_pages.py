"""README.md says what the results' files say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_numbers_in_the_readme_come_from_files():
    command = [sys.executable, str(ROOT / "benchmarks/readme.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
