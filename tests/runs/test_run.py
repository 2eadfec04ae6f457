"""Runs from Python: events instead of prints, exceptions instead of exits, shares, resuming, and measuring."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sdfido import Explanation, evaluate, models, reports, runs
from sdfido.runs import events
from tests.cli.support import INDEX, RESULTS, draw, names, prepare, rows_of, summary_of

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    # Drawing takes most of the time here.
    monkeypatch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
    monkeypatch.syspath_prepend(tmp_path)
    for name, colour in (("a", RED), ("b", GREEN), ("c", BLUE)):
        draw(tmp_path / "birds" / f"{name}.png", colour)
    yield from prepare(tmp_path, monkeypatch)


def explainer(model: str = "colour_models:make", **settings) -> runs.PhotoExplainer:
    return runs.PhotoExplainer(model, **{"steps": 3, "mask_size": 4, **settings})


def run(out: str = "out", share: slice = slice(None), **options) -> runs.Run:
    made = options.pop("explainer", None) or explainer()
    return runs.Run(made, runs.choose(["birds"], out)[share], runs.Store(out), **options)


def kinds(seen: list[events.Event]) -> list[str]:
    return [type(event).__name__ for event in seen if not isinstance(event, events.Stepped)]


def test_events_tell_what_happens_and_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[events.Event] = []
    outcome = run(batch=2).execute(on_event=seen.append)
    assert (outcome.photos, outcome.finished, outcome.explained, outcome.failed) == (3, 0, 3, 0)
    assert outcome.indexed
    assert kinds(seen) == ["Resumed", "Started", "Explained", "Explained", "Started", "Explained"]
    steps = [event for event in seen if isinstance(event, events.Stepped)]
    assert [(event.step, event.steps) for event in steps] == [(1, 3), (2, 3), (3, 3)] * 2
    explained = [event for event in seen if isinstance(event, events.Explained)]
    assert [event.name for event in explained] == ["birds/a.png", "birds/b.png", "birds/c.png"]
    for event in explained:
        assert json.loads(json.dumps(event.summary)) == summary_of(event.folder)
    assert pickle.loads(pickle.dumps(seen)) == seen  # an executor may send them between processes
    assert capfd.readouterr() == ("", "")


def test_the_summary_says_how_and_what(folder: Path) -> None:
    run().execute()
    about = summary_of(folder / "out" / "a")
    explanation = Explanation.load(folder / "out" / "a" / "explanation.npz")
    assert about["method"] == explanation.method == "fido"
    assert list(about["maps"]) == list(explanation.maps)
    numbers = {name: value.item() for name, value in explanation.numbers.items()}
    assert {name: about[name] for name in numbers} == pytest.approx(numbers)
    found = dict(runs.Store("out").find())
    assert found[Path("out/a")] == about
    assert set(found) == {Path("out/a"), Path("out/b"), Path("out/c")}


def test_a_finished_run_has_nothing_to_do(folder: Path) -> None:
    run().execute()
    seen: list[events.Event] = []
    outcome = run().execute(on_event=seen.append)
    assert (outcome.finished, outcome.explained) == (3, 0)
    assert seen == [events.Resumed(3, 3, {})]
    run(explainer=explainer(seed=1)).execute(on_event=seen.append)
    assert seen[1] == events.Resumed(3, 0, {("seed",): 3})
    assert run(explainer=explainer(seed=1), again=True).execute().explained == 3


def test_results_of_the_version_before_count(folder: Path) -> None:
    """A summary of 0.1.0: no method, no maps, and the score under its old name."""
    dark = explainer(infill="zeros")
    run(explainer=dark).execute()
    for path in (folder / "out").rglob("summary.json"):
        about = json.loads(path.read_text())
        del about["method"], about["maps"]
        about["settings"]["objective"] = about["settings"].pop("score")
        path.write_text(json.dumps(about))
    assert run(explainer=dark).execute().finished == 3
    assert ["alone" in row["sentence"] for row in rows_of(folder / "out").values()] == [True] * 3


def test_shares_in_any_order_give_what_one_run_gives(folder: Path) -> None:
    run("whole").execute()
    for share in (2, 0, 1):
        run("shared", slice(share, None, 3), batch=2).execute()
    assert names(folder / "whole") == names(folder / "shared")
    for name in "abc":
        one, other = (np.load(folder / out / name / "explanation.npz") for out in ("whole", "shared"))
        assert all(np.array_equal(one[array], other[array], equal_nan=True) for array in set(one.files) - {"about"})


def test_an_executor_may_make_the_explainer_anew_from_its_recipe(folder: Path) -> None:
    class Elsewhere:
        """Takes what a process on another machine would be sent."""

        def execute(self, explainer, items, batch, report):
            recipe, sent = pickle.loads(pickle.dumps((explainer.recipe, items)))
            told: list[events.Event] = []
            runs.Serial().execute(runs.PhotoExplainer(**recipe), sent, batch, told.append)
            for event in pickle.loads(pickle.dumps(told)):
                report(event)

    outcome = run("out", explainer=explainer(target="blue")).execute(Elsewhere())
    assert outcome.explained == 3
    assert {summary_of(folder / "out" / name)["target"] for name in "abc"} == {2}


def test_a_photo_at_fault_does_not_stop_the_others(folder: Path) -> None:
    (folder / "birds" / "d.png").write_bytes(b"no photo")
    seen: list[events.Event] = []
    blind = explainer("colour_models:blind", infill="zeros")
    outcome = run(explainer=blind, batch=4).execute(on_event=seen.append)
    assert (outcome.explained, outcome.failed) == (2, 2)
    failed = {event.name: event.message for event in seen if isinstance(event, events.Failed)}
    assert set(failed) == {"birds/c.png", "birds/d.png"}
    assert "no blue, please" in failed["birds/c.png"]
    assert any(isinstance(event, events.Retried) and event.photos == 3 for event in seen)


def test_wrong_arguments_raise(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"settings of method 'fido'.*got stepps"):
        runs.PhotoExplainer("colour_models:make", stepps=3)
    with pytest.raises(ValueError, match="method"):
        runs.PhotoExplainer("colour_models:make", method="nothing")
    with pytest.raises(ValueError, match="target"):
        runs.PhotoExplainer("colour_models:make", target="yellow")
    with pytest.raises(ValueError, match="batch"):
        run(batch=0)
    (folder / "file").touch()
    with pytest.raises(ValueError, match="out must be a folder"):
        run("file").execute()


def test_a_classifier_may_be_given_as_it_is(folder: Path) -> None:
    classifier = models.load("colour_models:make")
    assert run(explainer=explainer(classifier)).execute().explained == 3
    assert summary_of(folder / "out" / "a")["model_spec"] == "colours"


def test_what_an_interrupt_leaves_is_whole_and_indexed(folder: Path) -> None:
    def stop(event: events.Event) -> None:
        if isinstance(event, events.Explained) and event.name == "birds/b.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run().execute(on_event=stop)
    finished = [f"{name}/{file}" for name in "ab" for file in RESULTS]
    assert names(folder / "out") == sorted([*finished, *INDEX])
    assert run().execute().finished == 2


@pytest.mark.parametrize("kind", [events.Resumed, events.Started, events.Stepped, events.Explained])
def test_what_the_callback_raises_stops_the_run(folder: Path, kind: type[events.Event]) -> None:
    seen: list[events.Event] = []

    def fail(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, kind):
            raise LookupError("of the callback")

    with pytest.raises(LookupError, match="of the callback"):
        run().execute(on_event=fail)
    assert isinstance(seen[-1], kind)
    assert run().execute().finished == (kind is events.Explained)


def test_an_evaluation_from_python(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run().execute()
    seen: list[events.Event] = []
    evaluation = runs.Evaluation(["out"])
    evaluation.measure(seen.append)
    assert kinds(seen) == ["Started", "Measured", "Measured", "Measured"]
    (measured,) = evaluation.measured
    assert [result.photo for result in measured.results] == ["birds/a.png", "birds/b.png", "birds/c.png"]
    assert set(measured.numbers[0]["insertion"]) == {"ssr", "sdr", "joint"}
    assert measured.mean_curve("deletion", "sdr").values.shape[0] == 3
    evaluation.write()
    written = json.loads((folder / "out" / "evaluation.json").read_text())
    assert written == evaluation.record()
    assert written["areas"] == evaluate.AT | {"components": evaluate.TOP}
    assert capfd.readouterr() == ("", "")


def test_the_demos_photo_is_found_by_its_name(folder: Path) -> None:
    from sdfido.runs.results import Originals

    assert Originals().open(runs.Result(folder, Path(), {"photo": "coffee"})).size == (600, 400)
    assert Originals().open(runs.Result(folder, Path(), {"photo": "chelsea"})).size == (451, 300)  # of version 0.1


def test_the_noise_of_a_photo_comes_from_its_content(folder: Path) -> None:
    """The same file elsewhere gets the same bits, another photo other noise; results say so, and older ones differ."""
    (folder / "birds" / "z.png").write_bytes((folder / "birds" / "a.png").read_bytes())
    run(batch=4, explainer=explainer(infill="normal")).execute()
    streams = {name: summary_of(folder / "out" / name)["stream"] for name in "abcz"}
    digest = summary_of(folder / "out" / "b")["photo_sha256"]
    assert streams["b"] == int(digest, 16) >> (256 - 48)
    assert streams["a"] == streams["z"]
    assert len(set(streams.values())) == 3
    one, other = (np.load(folder / "out" / name / "explanation.npz") for name in "az")
    assert all(np.array_equal(one[array], other[array], equal_nan=True) for array in set(one.files) - {"about"})
    assert Explanation.load(folder / "out" / "b" / "explanation.npz").settings["noise"] == "sha256 of the photo"

    direct = explainer(infill="normal")
    opened = direct.open(runs.choose(["birds"], "out")[1])
    expected = direct.explainer.explain(opened.image, streams=[streams["b"]])
    np.testing.assert_array_equal(np.load(folder / "out" / "b" / "explanation.npz")["maps/ssr"], expected["ssr"])


def test_results_whose_noise_was_that_of_every_photo_are_replaced(folder: Path) -> None:
    run().execute()
    for path in (folder / "out").rglob("summary.json"):
        about = json.loads(path.read_text())
        del about["settings"]["noise"], about["stream"]
        path.write_text(json.dumps(about))
    seen: list[events.Event] = []
    assert run().execute(on_event=seen.append).explained == 3
    assert seen[0] == events.Resumed(3, 0, {("noise",): 3})


def test_results_without_pictures(folder: Path) -> None:
    plain = explainer(pictures=False)
    assert run(explainer=plain).execute().indexed
    assert names(folder / "out") == sorted(
        [*(f"{name}/{file}" for name in "abc" for file in RESULTS if file != "overview.png"), *INDEX]
    )
    assert run(explainer=plain).execute().finished == 3
    assert run().execute().explained == 3  # with pictures
    assert run(explainer=plain).execute().finished == 3
    run(explainer=explainer(pictures=False, seed=1)).execute()
    assert not (folder / "out" / "a" / "overview.png").exists()  # it showed other results
    with pytest.raises(TypeError, match="pictures"):
        explainer(pictures="no")
