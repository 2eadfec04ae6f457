"""Explanations on disk: whole or not at all, read back as written, nothing unpickled."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
import torch

import sdfido


@pytest.fixture(scope="module")
def explanation():
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return sdfido.FIDO(lambda x: x.mean((2, 3)) * 9, steps=2, mask_size=4).explain(images)


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
