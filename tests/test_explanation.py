"""Explanations on disk: whole or not at all, read back as written, nothing unpickled."""

import json
import pickle
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sdfido

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def explanation():
    generator = torch.Generator().manual_seed(0)
    names = ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "prob_ssr_binary", "prob_sdr_binary")
    return sdfido.Explanation(
        method="fido",
        maps={name: torch.rand(2, 16, 16, generator=generator) for name in ("ssr", "sdr")},
        scores={name: torch.rand(2, generator=generator) for name in names},
        targets=torch.tensor([2, 0]),
        parts={"mask_logits": torch.randn(2, 2, 4, 4, generator=generator)},
        trace=torch.randn(2, 5, generator=generator),
        legend=sdfido.FIDO.legend,
        settings={"steps": 5, "infill": "Blur(sigma=10.0)"},
        execution={"max_batch": 2},
        seconds=0.5,
    )


def same(before, after):
    """Whether two fields are equal, tensors to the last bit."""
    if isinstance(before, torch.Tensor):
        return before.dtype == after.dtype and torch.equal(before, after)
    if isinstance(before, dict):
        return list(before) == list(after) and all(same(before[name], after[name]) for name in before)
    return before == after


def test_saved_and_loaded(explanation, tmp_path):
    explanation.save(tmp_path / "e.npz")
    loaded = sdfido.Explanation.load(tmp_path / "e.npz")
    for f in fields(explanation):
        assert same(getattr(explanation, f.name), getattr(loaded, f.name)), f.name
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:  # readable without sdfido
        assert file["maps/ssr"].shape == (2, 16, 16)
        assert "maps/joint" not in file  # computed from the others


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_older_versions(version):
    """Written by the versions that had these formats."""
    explanation = sdfido.Explanation.load(DATA / f"explanation-{version}.npz")
    assert explanation.method == "fido"
    assert list(explanation.maps) == ["ssr", "sdr", "joint"]
    assert explanation.regions == ("ssr", "sdr")
    assert explanation.targets.tolist() == [0, 2]
    assert explanation.steps.tolist() == [5, 5]
    assert explanation.settings["score"] == "log_odds"
    numbers = explanation.numbers
    assert {"prob_image", "prob_ssr", "kept_ssr", "removed_sdr", "area_ssr"} <= set(numbers)
    if version == 2:  # sums that the version itself printed
        assert float(explanation.joint.double().sum()) == pytest.approx(99.19429817795753, rel=1e-6)
        assert float(numbers["kept_ssr"].double().sum()) == pytest.approx(0.4554615467786789, rel=1e-6)


def test_numbers_come_in_the_order_of_the_summary(explanation):
    regions = ("prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr", "prob_ssr_binary", "prob_sdr_binary")
    assert list(explanation.numbers) == ["prob_image", "prob_infill", *regions, "area_ssr", "area_sdr"]
    more = replace(explanation, scores=explanation.scores | {"agreement": torch.ones(2)})
    assert list(more.numbers)[-1] == "agreement"


def test_a_method_without_masks():
    explanation = sdfido.Explanation("toy", {"map": torch.rand(2, 4, 4)}, {"prob_image": torch.ones(2)}, torch.ones(2))
    assert explanation.regions == ()
    assert explanation.steps.tolist() == [0, 0]
    assert explanation.legend["map"].title == "map"
    assert list(explanation.numbers) == ["prob_image"]
    with pytest.raises(ValueError, match="no masks"):
        explanation.masks  # noqa: B018
    with pytest.raises(AttributeError, match="prob_ssr"):
        explanation.prob_ssr  # noqa: B018


def test_old_names_warn(explanation):
    with pytest.warns(DeprecationWarning, match="mask_logits"):
        assert explanation.logits is explanation.mask_logits
    with pytest.warns(DeprecationWarning, match="trace"):
        assert explanation.objective is explanation.trace


def test_an_interrupted_save_leaves_the_old_file(explanation, tmp_path, monkeypatch):
    path = tmp_path / "e.npz"
    explanation.save(path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        explanation.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["e.npz"]


def test_missing_folder(explanation, tmp_path):
    with pytest.raises(FileNotFoundError):
        explanation.save(tmp_path / "nowhere" / "e.npz")


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_what_is_not_an_explanation(tmp_path):
    with pytest.raises(FileNotFoundError):
        sdfido.Explanation.load(tmp_path / "none.npz")
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"bad\.npz is not a saved explanation"):
        sdfido.Explanation.load(bad)
    np.savez(bad, ssr=np.zeros(3))
    with pytest.raises(ValueError, match="is not a saved explanation"):
        sdfido.Explanation.load(bad)
    np.savez(bad, about=np.array([Trap(str(tmp_path / "sprung"))], dtype=object))
    with pytest.raises(ValueError, match="is not a saved explanation"):
        sdfido.Explanation.load(bad)
    bad.write_bytes(pickle.dumps(Trap(str(tmp_path / "sprung"))))
    with pytest.raises(ValueError, match="is not a saved explanation"):
        sdfido.Explanation.load(bad)
    assert not (tmp_path / "sprung").exists()


def rewrite(explanation, path, about=None, **arrays):
    """A saved explanation with some of its content replaced; None removes it."""
    explanation.save(path)
    with np.load(path) as file:
        content = {name: file[name] for name in file.files} | arrays
    content["about"] = np.array(json.dumps(json.loads(str(content["about"])) | (about or {})))
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"maps/ssr": np.zeros(7)}, r"its maps/ssr must be \[N, H, W\], got \[7\]"),
        ({"maps/sdr": np.zeros((2, 16, 15))}, r"its maps/sdr must be \[2, 16, 16\], got \[2, 16, 15\]"),
        ({"targets": np.zeros(3, dtype=np.int64)}, r"its targets must be \[2, ...\], got \[3\]"),
        ({"scores/prob_sdr": np.zeros((2, 1))}, r"its scores/prob_sdr must be \[2\], got \[2, 1\]"),
        ({"scores/prob_image": np.zeros(2, dtype=np.int64)}, "its scores/prob_image must be floating point"),
        ({"parts/mask_logits": np.zeros((3, 2, 4, 4))}, r"its parts/mask_logits must be \[2, K, h, w\]"),
        ({"trace": np.zeros((5, 1))}, r"its trace must be \[2, steps\], got \[5, 1\]"),
        ({"targets": None}, "it has no entry .*targets"),
        ({"maps/ssr": None, "maps/sdr": None}, "it has no maps"),
        ({"maps/sdr": None}, "it has no entry .*sdr"),
        ({"maps/ssr": np.array(["a"])}, ""),
    ],
)
def test_wrong_arrays(explanation, tmp_path, arrays, says):
    rewrite(explanation, tmp_path / "e.npz", **arrays)
    with pytest.raises(ValueError, match=rf"e\.npz is not a saved explanation: .*{says}"):
        sdfido.Explanation.load(tmp_path / "e.npz")


@pytest.mark.parametrize("name", ["seconds", "settings"])
def test_wrong_about(explanation, tmp_path, name):
    path = tmp_path / "e.npz"
    rewrite(explanation, path, {name: "x"})
    with pytest.raises(ValueError, match=r"its seconds must be a number, .* settings"):
        sdfido.Explanation.load(path)
    with np.load(path) as file:
        content = {key: file[key] for key in file.files}
    about = json.loads(str(content["about"]))
    del about[name]
    content["about"] = np.array(json.dumps(about))
    np.savez(path, **content)
    with pytest.raises(ValueError, match=rf"e\.npz is not a saved explanation: it has no entry '{name}'"):
        sdfido.Explanation.load(path)


def test_what_the_system_refuses_is_told_as_it_is(tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError):
        sdfido.Explanation.load(tmp_path)

    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(PermissionError):
        sdfido.Explanation.load(tmp_path / "e.npz")


def test_explanations_are_compared_and_hashed_by_identity(explanation):
    assert explanation == explanation
    assert explanation != replace(explanation)
    assert len({explanation, explanation, replace(explanation)}) == 2


def test_areas_are_those_cut_at_one_half(explanation):
    ssr = torch.tensor([[[-1.0, 0.0], [0.001, 9.0]], [[-2.0, 3.0], [-1.0, 0.0]]])
    cut = replace(explanation, parts={"mask_logits": torch.stack([ssr, -ssr], 1)})
    assert cut.area_ssr.tolist() == [0.5, 0.25]
    assert cut.area_sdr.tolist() == [0.75, 0.5]


def test_one_image_of_several_and_several_from_each(explanation):
    first, last = explanation[0], explanation[-1]
    assert len(explanation) == 2
    assert len(first) == len(last) == 1
    assert torch.equal(last.ssr, explanation.ssr[1:])
    assert torch.equal(first.mask_logits, explanation.mask_logits[:1])
    both = sdfido.Explanation.stack([first, last])
    assert torch.equal(both.sdr, explanation.sdr)
    assert torch.equal(both.trace, explanation.trace)
    assert both.seconds == 2 * explanation.seconds
    assert both.settings == explanation.settings


def test_steps_are_counted_until_an_image_has_converged(explanation):
    trace = explanation.trace.clone()
    trace[1, 3:] = torch.nan
    assert replace(explanation, trace=trace).steps.tolist() == [5, 3]


def test_one_from_a_file_is_stacked_with_a_new_one(explanation, tmp_path):
    new = replace(explanation, settings={"temperature": (1.0, 0.2), "options": {"size": (3, 4)}})
    new.save(tmp_path / "e.npz")
    both = sdfido.Explanation.stack([sdfido.Explanation.load(tmp_path / "e.npz"), new])
    assert torch.equal(both.ssr, torch.cat([explanation.ssr, explanation.ssr]))


def test_what_cannot_be_taken_or_stacked(explanation):
    more = replace(explanation, scores={**explanation.scores, "other": explanation.prob_image})
    with pytest.raises(ValueError, match="same scores to be stacked"):
        sdfido.Explanation.stack([explanation, more])
    with pytest.raises(IndexError, match=r"index must be one of the explanation's 2 images, 0\.\.1, got 2"):
        explanation[2]
    with pytest.raises(TypeError, match="index must be an integer"):
        explanation[0.5]
    with pytest.raises(KeyError, match="index must be one of the maps ssr, sdr, joint, got 'a'"):
        explanation["a"]
    with pytest.raises(ValueError, match="explanations must be at least one, got none"):
        sdfido.Explanation.stack([])
    other = replace(explanation, settings={"steps": 6})
    with pytest.raises(ValueError, match="same method and settings"):
        sdfido.Explanation.stack([explanation, other])
    smaller = replace(explanation, maps={name: each[:, 1:] for name, each in explanation.maps.items()})
    with pytest.raises(ValueError, match="maps of the same size"):
        sdfido.Explanation.stack([explanation, smaller])
