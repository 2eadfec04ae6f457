"""Explanations on disk: whole or not at all, read back as written, nothing unpickled."""

import json
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import sdfido


@pytest.fixture(scope="module")
def explanation():
    generator = torch.Generator().manual_seed(0)
    names = ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "prob_ssr_binary", "prob_sdr_binary")
    return sdfido.Explanation(
        ssr=torch.rand(2, 16, 16, generator=generator),
        sdr=torch.rand(2, 16, 16, generator=generator),
        targets=torch.tensor([2, 0]),
        logits=torch.randn(2, 2, 4, 4, generator=generator),
        objective=torch.randn(2, 5, generator=generator),
        seconds=0.5,
        settings={"steps": 5, "infill": "Blur(sigma=10.0)"},
        **{name: torch.rand(2, generator=generator) for name in names},
    )


def test_saved_and_loaded(explanation, tmp_path):
    explanation.save(tmp_path / "e.npz")
    loaded = sdfido.Explanation.load(tmp_path / "e.npz")
    for f in fields(explanation):
        before, after = getattr(explanation, f.name), getattr(loaded, f.name)
        if isinstance(before, torch.Tensor):
            assert before.dtype == after.dtype
            assert torch.equal(before, after), f.name
        else:
            assert before == after, f.name
    assert [path.name for path in tmp_path.iterdir()] == ["e.npz"]
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:  # readable without sdfido
        assert file["ssr"].shape == (2, 16, 16)


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
        ({"ssr": np.zeros(7)}, r"its ssr must be \[N, H, W\], got \[7\]"),
        ({"sdr": np.zeros((2, 16, 15))}, r"its sdr must be \[2, 16, 16\], got \[2, 16, 15\]"),
        ({"targets": np.zeros(3, dtype=np.int64)}, r"its targets must be \[2\], got \[3\]"),
        ({"targets": np.zeros(2)}, "its targets must be int64, got torch.float64"),
        ({"prob_ssr_binary": np.zeros((2, 1))}, r"its prob_ssr_binary must be \[2\], got \[2, 1\]"),
        ({"prob_image": np.zeros(2, dtype=np.int64)}, "its prob_image must be floating point, got torch.int64"),
        ({"logits": np.zeros((2, 3, 4, 4))}, r"its logits must be \[2, 2, h, w\], got \[2, 3, 4, 4\]"),
        ({"objective": np.zeros((5, 1))}, r"its objective must be \[2, steps\], got \[5, 1\]"),
        ({"prob_sdr": None}, "it has no entry .*prob_sdr"),
        ({"ssr": np.array(["a"])}, ""),
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
    with pytest.raises(ValueError, match="its seconds and settings must be a number and a table"):
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

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(PermissionError):
        sdfido.Explanation.load(tmp_path / "e.npz")


def test_explanations_are_compared_and_hashed_by_identity(explanation):
    assert explanation == explanation
    assert explanation != replace(explanation)
    assert len({explanation, explanation, replace(explanation)}) == 2


def test_areas_are_those_cut_at_one_half(explanation):
    ssr = torch.tensor([[[-1.0, 0.0], [0.001, 9.0]], [[-2.0, 3.0], [-1.0, 0.0]]])
    cut = replace(explanation, logits=torch.stack([ssr, -ssr], 1))
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


def test_steps_are_counted_until_an_image_settles(explanation):
    objective = explanation.trace.clone()
    objective[1, 3:] = torch.nan
    assert replace(explanation, objective=objective).steps.tolist() == [5, 3]


def test_what_cannot_be_taken_or_stacked(explanation):
    with pytest.raises(IndexError, match=r"index must be one of the explanation's 2 images, 0\.\.1, got 2"):
        explanation[2]
    with pytest.raises(TypeError, match="index must be an integer, got 'a'"):
        explanation["a"]
    with pytest.raises(ValueError, match="explanations must be at least one, got none"):
        sdfido.Explanation.stack([])
    other = replace(explanation, settings={"steps": 6})
    with pytest.raises(ValueError, match="same settings"):
        sdfido.Explanation.stack([explanation, other])
    smaller = replace(explanation, ssr=explanation.ssr[:, 1:], sdr=explanation.sdr[:, 1:])
    with pytest.raises(ValueError, match="maps of the same size"):
        sdfido.Explanation.stack([explanation, smaller])
