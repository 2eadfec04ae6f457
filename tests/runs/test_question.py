"""Other questions than the predicted class, from photos to results and back to measures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from sdfido import reports, runs
from sdfido.runs import summary
from sdfido.runs.question import Question
from tests.cli.support import draw, page_of, prepare, rows_of, summary_of

FAST = {"steps": 3, "mask_size": 4}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    monkeypatch.syspath_prepend(tmp_path)
    draw(tmp_path / "birds" / "a.png", (250, 20, 120))
    yield from prepare(tmp_path, monkeypatch)


def explained(out: str = "out", **options):
    explainer = runs.PhotoExplainer("colour_models:make", **FAST, **options)
    run = runs.Run(explainer, runs.choose(["birds"], out), runs.Store(out))
    return run.execute()


def test_a_contrast_is_explained_resumed_and_measured(folder):
    assert explained(rather_than="blue").explained == 1
    about = summary_of(folder / "out" / "a")
    assert (about["label"], about["target"], about["target_is_predicted"]) == ("red rather than blue", [0, 2], True)
    assert about["question"] == {"rather_than": "blue"}
    assert summary.scale(about).name == "probability of the two"
    assert 0.5 < about["prob_image"] < 1
    row = rows_of(folder / "out")["a"]
    assert (row["label"], row["confidence"]) == ("red rather than blue", f"{about['prob_image']:.1%}")
    assert "red rather than blue" in (folder / "out" / "summary.csv").read_text(encoding="utf-8-sig")
    assert explained(rather_than="blue").finished == 1
    assert explained(rather_than="rival").finished == 0
    assert summary_of(folder / "out" / "a")["target"] == [0, 2]  # blue is the strongest rival
    assert explained(target="green", rather_than="blue").finished == 0
    assert summary_of(folder / "out" / "a")["target"] == [1, 2]
    assert explained(target="red", rather_than="blue").finished == 0
    assert explained().finished == 0
    explained(rather_than="blue")
    evaluation = runs.Evaluation(["out"])
    evaluation.measure()
    measured = evaluation.measured[0]
    curve = measured.curves["insertion"]["ssr"][0]
    assert float(curve.values[0, -1]) == pytest.approx(about["prob_image"], rel=1e-4)


def test_a_value_is_explained_in_its_own_scale(folder):
    explained(target="green", value="down")
    about = summary_of(folder / "out" / "a")
    assert (about["label"], about["target"]) == ("a low value", 1)
    scale = summary.scale(about)
    assert (scale.sign, scale.percent) == (-1, False)
    row = rows_of(folder / "out")["a"]
    assert (row["label"], row["confidence"]) == ("a low value", scale.text(about["prob_image"]))
    assert row["numbers"]["prob_image"] == pytest.approx(-about["prob_image"], abs=1e-5)
    first = page_of(folder / "out")["quantities"][0]
    assert (first["key"], first["percent"]) == ("prob_image", False)


def test_seeds_say_how_far_they_agree(folder):
    explained(seeds=2)
    about = summary_of(folder / "out" / "a")
    assert about["seeds"] == 2
    assert 0 <= about["core_ssr"] <= about["area_ssr"]
    assert 0 <= about["seeds_overlap_ssr"] <= 1
    assert explained().finished == 1  # more than was asked for
    assert explained(seeds=3).finished == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rather_than": "purple"}, "got 'purple'"),
        ({"value": "left"}, "value must be one of 'up', 'down', got 'left'"),
        ({"value": "up", "rather_than": "red"}, "rather_than must not be given with a value 'up', got 'red'"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
    ],
)
def test_wrong_questions_are_told_before_any_photo(options, message):
    with pytest.raises(ValueError, match=message):
        explained(**options)


def test_the_class_as_it_is_asks_nothing_more():
    assert Question(target=3).asked == {}
    assert Question.read({"question": {"rather_than": 5}}) == Question(rather_than=5)
    assert Question.read({}) == Question()
