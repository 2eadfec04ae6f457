"""What `make gpu-check` says without a GPU, and some of its steps, rehearsed on the CPU."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.cuda import gpu_check


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: make gpu-check uses it")
def test_without_a_gpu_every_step_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--out", str(tmp_path / "found")])
    assert gpu_check.main() == 1  # nothing was checked
    steps = json.loads((tmp_path / "found.json").read_text())["steps"]
    assert [step["step"] for step in steps] == list(gpu_check.STEPS)
    assert {(step["verdict"], step["why"]) for step in steps} == {("not run", "no GPU")}
    page = (tmp_path / "found.md").read_text()
    assert all(f"| {step} | not run |" in page for step in gpu_check.STEPS)
    assert "0 passed, 0 failed" in capsys.readouterr().out


def test_a_step_that_fails_is_said_to_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "why_not", lambda step: "" if step in ("bits", "words", "graph") else "no GPU")
    monkeypatch.setattr(gpu_check.shutil, "copytree", lambda *arguments, **options: (tmp_path / "out-source").mkdir())
    programs = {
        "bits": "raise SystemExit('bits differ')",
        "words": "import time; time.sleep(60)",
        "graph": "print('{\"a\": 1}')",
    }
    monkeypatch.setattr(gpu_check, "command_of", lambda step: [sys.executable, "-c", programs[step]])
    monkeypatch.setattr(gpu_check, "STEPS", {"bits": 30, "words": 6, "graph": 30, "tests": 30})
    outcomes = gpu_check.check(tmp_path / "out", 60)
    assert [(o.verdict, o.why) for o in outcomes] == [
        ("failed", "bits differ"),
        ("failed", "no end in 6 s"),
        ("passed", ""),
        ("not run", "no GPU"),
    ]
    assert outcomes[2].figures == {"a": 1}


def test_nothing_is_asked_of_a_build_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "why_not", lambda step: "")
    monkeypatch.setattr(gpu_check.shutil, "copytree", lambda *arguments, **options: (tmp_path / "out-source").mkdir())
    monkeypatch.setattr(gpu_check.torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(gpu_check, "command_of", lambda step: [sys.executable, "-c", "raise SystemExit('no nvcc')"])
    outcomes = gpu_check.check(tmp_path / "out", 60)
    assert (outcomes[0].verdict, outcomes[0].why) == ("failed", "no nvcc")
    assert {o.why for o in outcomes[1:]} == {"the build failed"}


@pytest.mark.parametrize("step", ["offsets", "small"])
def test_steps_work_on_the_cpu(step):
    command = [sys.executable, "-m", "tests.cuda.gpu_steps", step]
    environment = os.environ | {"SDFIDO_REHEARSAL": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=gpu_check.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
