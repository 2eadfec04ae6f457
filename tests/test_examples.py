"""The examples run, and print and draw what they say."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sdfido

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: str, cwd: Path) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_listed_and_run() -> None:
    examples = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".cpp")}
    listed = set(re.findall(r"^\| \[(\S+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    tested = {name for name in examples if f'"{name}"' in Path(__file__).read_text()}
    assert examples == listed == tested


@pytest.mark.slow
def test_a_photo_is_explained(tmp_path: Path) -> None:
    printed = run("explain_photo.py", "--target", "Egyptian cat", "--steps", "3", cwd=tmp_path)
    assert "“Egyptian cat”" in printed
    assert "prob_ssr_binary" in printed
    assert sdfido.Explanation.load(tmp_path / "out/explanation.npz").targets.tolist() == [285]
    assert (tmp_path / "out/overview.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_network_of_ones_own_is_explained(tmp_path: Path) -> None:
    printed = run("own_model.py", "--steps", "60", cwd=tmp_path)
    overlaps = {
        line.split()[0]: float(line.split()[5].rstrip(",")) for line in printed.splitlines() if "overlap" in line
    }
    assert set(overlaps) == {"ssr", "sdr", "joint"}
    assert min(overlaps.values()) > 0.35  # a shape fills about a tenth of its picture
    assert (tmp_path / "out/own_model.png").exists()


@pytest.mark.slow
def test_a_classifier_with_a_map_of_its_own_is_trained(tmp_path: Path) -> None:
    printed = run("train_calm.py", cwd=tmp_path)
    line = next(line for line in printed.splitlines() if line.startswith("square or cross"))
    found, chance = float(line.split()[5]), float(line.split()[9])
    assert found > 2.5 * chance
    assert (tmp_path / "out/calm.png").exists()


@pytest.mark.slow
def test_a_text_is_explained_and_nonsense_flagged(tmp_path: Path) -> None:
    printed = run("clip_text.py", cwd=tmp_path)
    hits = [int(line.split("%")[0].split()[-1]) for line in printed.splitlines() if "points at the part" in line]
    assert min(hits) >= 80
    assert "'a bird with a yellow bib' fits every image better" in printed
    assert "'q xkcd vuzz p wom' fits 6 of 6 images no better" in printed
    assert (tmp_path / "out/clip_text.png").exists()


@pytest.mark.slow
def test_a_folder_is_explained_and_resumed(tmp_path: Path) -> None:
    printed = run("explain_folder.py", "--steps", "3", cwd=tmp_path)
    assert "2 explained, 0 finished before, 0 failed" in printed
    assert "cup.png" in printed.splitlines()[-3]
    assert (tmp_path / "out/folder/results/mirrored/overview.png").exists()
    assert "0 explained, 2 finished before, 0 failed" in run("explain_folder.py", "--steps", "3", cwd=tmp_path)


@pytest.mark.slow
def test_a_folder_is_explained_by_ray_data(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason='needs pip install "sdfido[ray]"')
    printed = run("explain_with_ray_data.py", "--steps", "3", cwd=tmp_path)
    assert {line.split(":")[0] for line in printed.splitlines()} >= {"cup.png", "mirrored.png"}
    assert (tmp_path / "out/ray/results/mirrored/overview.png").exists()
    assert (tmp_path / "out/ray/results/summary.csv").exists()


@pytest.mark.slow
def test_maps_are_compared(tmp_path: Path) -> None:
    printed = run("compare_maps.py", "--steps", "3", cwd=tmp_path)
    for measure in ("insertion", "deletion", "sufficiency", "necessity", "total_variation", "components"):
        assert measure in printed
    assert (tmp_path / "out/curves.png").stat().st_size > 10_000


@pytest.mark.slow
def test_logits_are_made_of_features(tmp_path: Path) -> None:
    printed = run("concepts.py", "--steps", "3", cwd=tmp_path)
    found = [float(line.split("R² ")[1].split(",")[0]) for line in printed.splitlines() if "R²" in line]
    assert len(found) == 2
    assert min(found) > 0.9
    assert "round 1: class 0" in printed
    assert (tmp_path / "out/concepts.png").stat().st_size > 10_000
    assert (tmp_path / "out/concepts.npz").exists()


@pytest.mark.slow
def test_a_loop_of_ones_own_learns_a_mask(tmp_path: Path) -> None:
    printed = run("training_loop.py", "--steps", "10", cwd=tmp_path)
    assert "step 10: loss" in printed
    assert "“espresso”: 95% for the photo" in printed


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("zennit") is None, reason="zennit is not installed")
def test_relevance_is_passed_back(tmp_path: Path) -> None:
    printed = run("relevance.py", cwd=tmp_path)
    assert printed.count("the logit of “espresso”") == 2
    assert "probability, 10% kept  lite0" in printed
    assert (tmp_path / "out/epsilon-plus-flat.png").stat().st_size > 10_000


def test_a_model_of_timm_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed, and needs torchvision")
    printed = run("timm_model.py", "--random", "--steps", "3", cwd=tmp_path)
    assert "test_vit sees 160 x 160 pixels, cropped by 'center'" in printed
    assert (tmp_path / "out/timm_model.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_classifier_of_transformers_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    printed = run("hugging_face.py", "--steps", "3", cwd=tmp_path)
    assert "the pipeline gives the same maps: True" in printed
    assert (tmp_path / "out/hugging_face.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_species_is_told_from_its_twin(tmp_path: Path) -> None:
    printed = run("contrastive.py", "--training", "120", "--steps", "12", cwd=tmp_path)
    crest = next(line for line in printed.splitlines() if line.startswith("crest"))
    found, plain = (float(part.split(";")[0]) for part in crest.split(": ")[1:])
    assert found > plain + 0.1
    assert (tmp_path / "out/contrastive.png").stat().st_size > 10_000


@pytest.mark.slow
def test_detections_are_explained(tmp_path: Path) -> None:
    printed = run("detector.py", "--training", "100", "--steps", "8", cwd=tmp_path)
    lines = [line for line in printed.splitlines() if "the most important pixel" in line]
    assert [line.split(":")[0] for line in lines] == ["bird", "fish"]
    for line in lines:
        hits, misses = map(
            int, re.search(r"in its box in (\d) of 4 images, in the other animal's in (\d);", line).groups()
        )
        assert hits >= 3 > misses, line
    assert (tmp_path / "out/detector_fish.png").stat().st_size > 10_000


def test_masks_from_cpp_have_the_bits_of_the_operator(tmp_path: Path) -> None:
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{sdfido.get_include()}"]
    compiler = os.environ.get("CXX") or "c++"
    subprocess.run([compiler, *flags, str(EXAMPLES / "mask.cpp"), "-o", "mask"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "mask"], capture_output=True, text=True, check=True).stdout
    masks = sdfido.sample_masks(torch.full((1, 1, 1, 3), 0.5), sdfido.make_rng(0), num_samples=4, temperature=0.2)
    expected = "".join("".join(f"{float(value):.4f} " for value in row) + "\n" for row in masks[0, 0, :, 0].T)
    assert printed == expected
    assert printed.replace(" \n", "\n") in (ROOT / "docs/guides/cpp.md").read_text()
