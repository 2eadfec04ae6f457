"""`sdfido explain` on folders: what it takes, how it goes on where it was stopped, batches, and the table of all."""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from sdfido import reports
from sdfido.cli import console
from sdfido.runs import Store, executors, writer
from tests.cli.support import FAST, INDEX, RESULTS, calls, draw, explain, names, prepare, rows_of, stamps, summary_of

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        reports, "overview", lambda *arguments, **settings: Figure((1, 1))
    )  # drawing takes the time here
    monkeypatch.setattr(console, "_A_MINUTE", float("inf"))
    yield from prepare(tmp_path, monkeypatch)


@pytest.fixture
def birds(folder):
    """Three photos, one of them in a sub-folder."""
    for name, colour in (("birds/b.JPG", BLUE), ("birds/a.png", RED), ("birds/sub/c.webp", RED)):
        draw(folder / name, colour)
    return folder / "birds"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of red.png, as many tests begin with, made once."""
    place = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "overview", lambda *arguments, **settings: Figure((1, 1)))
        for _ in prepare(place, patch):
            assert explain("red.png").exit_code == 0
    return place / "out"


@pytest.fixture
def explained(results: Path, folder: Path) -> Path:
    """The folder with a copy of these in OUT."""
    shutil.copytree(results, folder / "out")
    return folder


def order(output: str) -> list[str]:
    """The photos that a command has explained, in its order."""
    return [line.split(": ")[0] for line in output.splitlines() if "; see " in line]


def test_a_folder_means_the_photos_in_it_sorted(folder: Path, birds: Path) -> None:
    (birds / "notes.txt").write_text("none")
    for hidden in (".d.png", ".cache/e.png"):
        draw(birds / hidden, RED)
    result = explain("birds")
    assert result.exit_code == 0, result.output
    assert order(result.stdout) == ["birds/a.png", "birds/b.JPG", "birds/sub/c.webp"]
    written = [f"{name}/{file}" for name in ("a", "b", "sub/c") for file in RESULTS]
    assert names(folder / "out") == sorted([*written, *INDEX])


def test_files_and_folders_mix_and_each_photo_counts_once(folder: Path, birds: Path) -> None:
    result = explain("birds/b.JPG", "red.png", "birds")
    assert order(result.stdout) == ["birds/b.JPG", "red.png", "birds/a.png", "birds/sub/c.webp"]
    assert {summary_of(path.parent)["photo"] for path in (folder / "out").rglob("summary.json")} == set(
        order(result.stdout)
    )


def test_overviews_of_many_photos_are_drawn_on_request(
    folder: Path, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> int:
        return len(list((folder / "out").rglob("overview.png")))

    monkeypatch.setattr("sdfido.cli.explain._DRAWN", 2)
    assert explain("birds", "--shard", "1/3").exit_code == 0, "a part counts as the whole"
    assert drawn() == 0
    explain("birds")
    assert drawn() == 0
    explain("birds", "--pictures")
    assert drawn() == 3


def test_what_sdfido_wrote_is_no_photo(folder: Path) -> None:
    assert order(explain(".").stdout) == ["blue.png", "red.png"]
    assert explain("red.png", "--out", "other").exit_code == 0
    draw(folder / "third" / "overview.png", RED)
    again = explain(".")
    assert "2 of 3 photos are explained already" in again.stdout
    assert order(again.stdout) == ["third/overview.png"]


def test_results_may_lie_among_the_photos(folder: Path, birds: Path) -> None:
    assert explain("birds", "--out", "birds").exit_code == 0
    assert "3 of 3 photos are explained already" in explain("birds", "--out", "birds").stdout


def test_a_folder_without_photos(folder: Path) -> None:
    (folder / "empty").mkdir()
    result = explain("red.png", "empty")
    assert result.exit_code == 2
    assert "Error: photos must be in folder 'empty', got none that ends in .avif, .bmp" in result.stderr
    assert not (folder / "out").exists()


def test_what_is_finished_is_not_done_again(folder: Path, birds: Path) -> None:
    assert explain("birds").exit_code == 0
    before, called = stamps(folder / "out"), calls()
    result = explain("birds")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "3 of 3 photos are explained already (--again explains them anew)",
        "See out/index.html and out/summary.csv",
    ]
    assert calls() == called
    after = stamps(folder / "out")
    assert {name: after[name] for name in after if name not in INDEX} == {
        name: before[name] for name in before if name not in INDEX
    }
    assert order(explain("birds", "--again").stdout) == ["birds/a.png", "birds/b.JPG", "birds/sub/c.webp"]


def test_one_photo_alone_is_not_done_again_either(explained: Path) -> None:
    assert "the photo is explained already" in explain("red.png").stdout
    assert order(explain("blue.png").stdout) == ["blue.png"]  # takes its place
    assert summary_of(explained / "out")["photo"] == "blue.png"


def test_a_changed_photo_is_done_again(folder: Path, birds: Path) -> None:
    explain("birds")
    draw(birds / "a.png", BLUE)
    (birds / "b.JPG").touch()
    result = explain("birds")
    assert order(result.stdout) == ["birds/a.png"]
    assert "1 of 3 photos have older results (other photo), which are replaced" in result.stdout
    assert summary_of(folder / "out" / "a")["label"] == "blue"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--seed", "1"], "seed"),
        (["--steps", "4"], "steps"),
        (["--samples", "1"], "samples"),
        (["--mask-size", "5"], "mask size"),
        (["--infill", "zeros"], "infill"),
        (["--bfloat16"], "precision"),
        (["--target", "blue"], "target"),
    ],
)
def test_other_settings_do_it_again(explained: Path, options: list[str], what: str) -> None:
    result = explain("red.png", *options)
    assert f"1 of 1 photos have older results (other {what}), which are replaced" in result.stdout
    assert order(result.stdout) == ["red.png"]


@pytest.mark.parametrize("options", [["--max-batch", "1"], ["--channels-last"], ["--batch", "2"], ["--target", "red"]])
def test_what_does_not_change_the_result_does_not(explained: Path, options: list[str]) -> None:
    assert order(explain("red.png", *options).stdout) == []


def test_a_chosen_target_is_not_the_predicted_one(folder: Path) -> None:
    explain("red.png", "--target", "blue")
    assert order(explain("red.png").stdout) == ["red.png"]
    assert summary_of(folder / "out")["target"] == 0


def test_other_weights_do_it_again(folder: Path) -> None:
    (folder / "weight.txt").write_text("1")
    explain("red.png", model="colour_models:weighted")
    assert order(explain("red.png", model="colour_models:weighted").stdout) == []
    (folder / "weight.txt").write_text("1.5")
    result = explain("red.png", model="colour_models:weighted")
    assert "(other model)" in result.stdout
    assert order(result.stdout) == ["red.png"]


@pytest.mark.parametrize("name", RESULTS)
def test_incomplete_results_are_done_again(explained: Path, name: str) -> None:
    (explained / "out" / name).unlink()
    assert order(explain("red.png").stdout) == ["red.png"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": 3}'])
def test_a_summary_that_says_nothing_does_not_count(explained: Path, text: str) -> None:
    (explained / "out" / "summary.json").write_text(text)
    assert order(explain("red.png").stdout) == ["red.png"]


def command(*arguments: str, before: str = "") -> list[str]:
    """A command in a process of its own that depends neither on how fast this machine is nor on what it runs beside.

    Where the tests run in the background, their children ignore an interrupt. Drawing takes the time here, too. A line
    a minute is for those who wait; tests wait that long on a machine that has much else to do.
    """
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from matplotlib.figure import Figure\nfrom sdfido import reports\nfrom sdfido.cli import console, main\n"
        "reports.overview = lambda *arguments, **settings: Figure((1, 1))\nconsole._A_MINUTE = float('inf')\n"
    )
    code = f"{code}{before}main()"
    return [sys.executable, "-c", code, "explain", *FAST, "--model", "colour_models:stuck", *arguments]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_where_it_was(folder: Path, kind: signal.Signals) -> None:
    for name, colour in (("a", RED), ("b", BLUE), ("c", GREEN), ("d", RED)):
        draw(folder / "birds" / f"{name}.png", colour)
    with subprocess.Popen(command("birds"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (folder / "reached").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(kind)
        output, errors = process.communicate()
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL), errors
    assert order(output) == ["birds/a.png", "birds/b.png"]
    finished = [f"{name}/{file}" for name in "ab" for file in RESULTS]
    if kind == signal.SIGINT:
        assert "Interrupted: 2 of 4 photos are explained, and their results complete; run it again" in errors
        assert names(folder / "out") == sorted([*finished, *INDEX])
    else:
        # The lock locks nothing any more; the table is there if the run took long enough.
        assert [name for name in names(folder / "out") if name not in INDEX] == [*finished, "c/.lock"]
    before = stamps(folder / "out")

    (folder / "go").touch()
    result = explain("birds", model="colour_models:stuck")
    assert result.exit_code == 0, result.output
    assert "2 of 4 photos are explained already" in result.stdout
    assert order(result.stdout) == ["birds/c.png", "birds/d.png"]
    after = stamps(folder / "out")
    assert {name: after[name] for name in finished} == {name: before[name] for name in finished}
    assert names(folder / "out") == sorted([*(f"{name}/{file}" for name in "abcd" for file in RESULTS), *INDEX])


@pytest.mark.slow
def test_a_run_killed_while_writing_leaves_nothing_half(folder: Path, birds: Path) -> None:
    (folder / "go").touch()
    dying = (
        "import os\noriginal, calls = reports.save, []\n"
        "def save(figure, path):\n    original(figure, path)\n    calls.append(path)\n"
        "    if len(calls) == 2:\n        os.kill(os.getpid(), signal.SIGKILL)\nreports.save = save\n"
    )
    process = subprocess.run(command("birds", before=dying), capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    left = [name for name in names(folder / "out") if name not in INDEX]
    assert [name for name in left if not name.endswith((".part", ".lock"))] == [f"a/{file}" for file in RESULTS]
    assert any(name.startswith("b/.overview.png.") for name in left)

    result = explain("birds", model="colour_models:stuck")
    assert order(result.stdout) == ["birds/b.JPG", "birds/sub/c.webp"]
    assert [name for name in names(folder / "out") if name.endswith((".part", ".lock"))] == []


def test_an_interrupt_while_writing_leaves_nothing_half(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reports, "save", interrupt)
    assert explain("red.png").exit_code == 130
    assert names(folder / "out") == []


def test_a_write_that_fails_leaves_the_older_results(explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stamps(explained / "out")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports, "save", fail)
    result = explain("red.png", "--seed", "1")
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert stamps(explained / "out") == before


@pytest.mark.parametrize("options", [[], ["--max-batch", "5"], ["--target", "blue", "--bfloat16"]])
def test_batches_give_what_each_photo_gets_alone(folder: Path, birds: Path, options: list[str]) -> None:
    assert explain("birds", "--infill", "normal", *options, "--out", "alone").exit_code == 0
    assert explain("birds", "--infill", "normal", *options, "--out", "three", "--batch", "3").exit_code == 0
    assert explain("birds", "--infill", "normal", *options, "--out", "two", "--batch", "2").exit_code == 0
    for name in ("a", "b", "sub/c"):
        for many in ("two", "three"):
            one, other = (np.load(folder / out / name / "explanation.npz") for out in ("alone", many))
            assert one.files == other.files
            for array in set(one.files) - {"about"}:  # which has the seconds
                assert np.array_equal(one[array], other[array], equal_nan=True), (name, many, array)


def test_what_fails_in_a_batch_does_not_stop_the_others(folder: Path, birds: Path) -> None:
    (birds / "aa.png").write_bytes((birds / "a.png").read_bytes()[:60])
    result = explain("birds", "--batch", "4", "--infill", "zeros", model="colour_models:blind")
    assert result.exit_code == 1
    assert "Error: photo 'birds/aa.png' cannot be read" in result.stderr
    assert "Note: 3 photos together failed, and are tried in halves: RuntimeError: no blue, please" in result.stderr
    assert "Error: photo 'birds/b.JPG' could not be explained: RuntimeError: no blue, please" in result.stderr
    assert "2 of 4 photos could not be explained" in result.stderr
    assert order(result.stdout) == ["birds/a.png", "birds/sub/c.webp"]


@pytest.mark.slow
def test_a_process_writes_the_same_files(folder: Path, birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain("birds", "--out", "here").exit_code == 0
    monkeypatch.setattr(executors, "processes_that_pay", lambda device, photos: 1)
    monkeypatch.setattr(Store, "check", lambda self, items, *files: None)
    (folder / "there").mkdir()
    (folder / "there" / "b").touch()  # as if it had come there after the check
    result = explain("birds", "--out", "there")
    assert result.exit_code == 1
    assert "Error: photo 'birds/b.JPG' could not be explained: [Errno 17] File exists" in result.stderr
    assert order(result.stdout) == ["birds/a.png", "birds/sub/c.webp"]
    for name in ("a", "sub/c"):
        assert names(folder / "there" / name) == RESULTS
        here, there = (summary_of(folder / out / name) for out in ("here", "there"))
        assert {**there, "seconds": 0} == {**here, "seconds": 0}
        one, other = (np.load(folder / out / name / "explanation.npz") for out in ("here", "there"))
        assert all(np.array_equal(one[array], other[array]) for array in set(one.files) - {"about"})


class Deadly:
    """Ends the process that it is unpickled in."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_what_a_dead_process_leaves_is_written_without_it(
    folder: Path, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "processes_that_pay", lambda device, photos: 1)
    monkeypatch.setattr(writer, "pickle", SimpleNamespace(dumps=lambda results: pickle.dumps(Deadly())))
    result = explain("birds")
    assert result.exit_code == 0, result.output
    assert sorted(order(result.stdout)) == ["birds/a.png", "birds/b.JPG", "birds/sub/c.webp"]
    written = [f"{name}/{file}" for name in ("a", "b", "sub/c") for file in RESULTS]
    assert names(folder / "out") == sorted([*written, *INDEX])
    assert result.stderr.count("a process that writes results has ended before its time") == 1


@pytest.mark.slow
def test_nobody_reading_does_not_stop_the_work(folder: Path, birds: Path) -> None:
    (folder / "go").touch()
    with subprocess.Popen(command("birds"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    written = [f"{name}/{file}" for name in ("a", "b", "sub/c") for file in RESULTS]
    assert names(folder / "out") == sorted([*written, *INDEX])


NUMBERS = [
    *("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr"),
    *("prob_ssr_binary", "prob_sdr_binary", "area_ssr", "area_sdr"),
    *("agreement_ssr", "agreement_sdr", "agreement_joint"),
]
COLUMNS = ["photo", "target", "label", *NUMBERS, "steps_done", "seconds", "model", "infill", "seed", "notes", "results"]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_every_photo_explained_in_out(folder: Path, birds: Path) -> None:
    result = explain("birds")
    assert re.search(r"3 photos explained in [\d.]+ minutes, [\d.]+ a minute\nSee out/index.html", result.stdout)
    assert explain("red.png", "blue.png").exit_code == 0
    rows = table(folder / "out")
    assert [row["results"] for row in rows] == ["a", "b", "blue", "red", "sub/c"]
    assert list(rows[0]) == COLUMNS
    for row in rows:
        numbers = summary_of(folder / "out" / row["results"])
        assert row["photo"] == numbers["photo"]
        assert int(row["steps_done"]) == 3
        for name in NUMBERS:
            assert float(row[name]) == pytest.approx(numbers[name], abs=1e-5)


def test_shards_share_one_folder(folder: Path, birds: Path) -> None:
    assert order(explain("birds", "--shard", "2/2").stdout) == ["birds/b.JPG"]
    assert order(explain("birds", "--shard", "1/2").stdout) == ["birds/a.png", "birds/sub/c.webp"]
    assert [row["results"] for row in table(folder / "out")] == ["a", "b", "sub/c"]
    assert "3 of 3 photos are explained already" in explain("birds").stdout
    result = explain("birds", "--shard", "4/4", "--out", "other")
    said = "Part 4/4 has none of the photos: there are fewer photos than parts\n"
    assert (result.exit_code, result.stdout) == (0, said)
    result = explain("birds", "--shard", "0/2", "--out", "other")
    assert result.exit_code == 2
    assert "Error: shard must be i/n with i from 1 to n" in result.stderr
    assert not (folder / "other").exists()


def test_workers_do_what_one_process_does(folder: Path, birds: Path) -> None:
    (birds / "aa.png").write_bytes(b"no photo")
    result = explain("birds", "--workers", "2", "--infill", "zeros", model="colour_models:blind")
    assert result.exit_code == 1
    assert sorted(order(result.stdout)) == ["birds/a.png", "birds/sub/c.webp"]
    assert "Error: photo 'birds/aa.png' is not an image" in result.stderr
    assert "Error: photo 'birds/b.JPG' could not be explained: RuntimeError: no blue, please" in result.stderr
    assert [row["results"] for row in table(folder / "out")] == ["a", "sub/c"]


def test_a_log_says_how_far_it_is(folder: Path, birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_A_MINUTE", 0.0)
    lines = explain("birds").stderr.splitlines()
    assert len(lines) == 2  # when all are done, the command says so itself
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(rf"{number} of 3 photos, [\d.]+/min, \d+:\d\d:\d\d left", line)


def test_the_table_is_whole_after_failures(folder: Path, birds: Path) -> None:
    explain("birds", "--infill", "zeros", model="colour_models:blind")
    assert [row["results"] for row in table(folder / "out")] == ["a", "sub/c"]


def test_the_page_shows_every_picture(folder: Path) -> None:
    (folder / "red.png").rename(folder / "<b> & #1.png")
    explain("<b> & #1.png", "blue.png")
    rows = rows_of(folder / "out")
    assert rows["<b> & #1"]["photo"] == "<b> & #1.png"
    assert rows["<b> & #1"]["picture"] == "%3Cb%3E%20%26%20%231/overview.png"
    assert rows["blue"]["view"] == "blue/view.js"
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert "<title>2 photos explained</title>" in page
    assert "<b> & #1" not in page


@pytest.mark.parametrize(
    "change", [{"prob_image": None}, {"prob_image": "high"}, {"label": ...}, {"prob_ssr_binary": ..., "photo": ...}]
)
def test_the_index_leaves_out_summaries_that_do_not_say_enough(
    folder: Path, birds: Path, results: Path, change: dict[str, object]
) -> None:
    shutil.copytree(results, folder / "out" / "older")
    about = {name: value for name, value in (summary_of(folder / "out" / "older") | change).items() if value != ...}
    (folder / "out" / "older" / "summary.json").write_text(json.dumps(about))
    result = explain("birds")
    assert result.exit_code == 0, result.output
    assert [row["results"] for row in table(folder / "out")] == ["a", "b", "sub/c"]
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert "<title>3 photos explained</title>" in page


def test_a_number_that_is_missing_leaves_its_cell_empty(folder: Path) -> None:
    explain("red.png", "blue.png", "--infill", "zeros")
    about = summary_of(folder / "out" / "red") | {"area_ssr": None}
    (folder / "out" / "red" / "summary.json").write_text(json.dumps(about))
    assert explain("blue.png", "red.png", "--infill", "zeros").exit_code == 0
    assert [row["area_ssr"] == "" for row in table(folder / "out")] == [False, True]
    told = [row["sentence"] for row in rows_of(folder / "out").values()]
    assert ["alone" in sentence for sentence in told] == [True, False]
    assert ["is left" in sentence for sentence in told] == [True, True]


def test_a_summary_that_cannot_be_told_as_text_is_reported(folder: Path) -> None:
    explain("red.png", "--out", "out/older")
    about = summary_of(folder / "out" / "older") | {"label": "\ud800"}
    (folder / "out" / "older" / "summary.json").write_text(json.dumps(about))
    result = explain("red.png", "blue.png")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(r"Note: results 'out/older/summary.json' cannot be read: it must have text that UTF-8 has")
    assert [row["results"] for row in table(folder / "out")] == ["blue", "red"]


@pytest.mark.parametrize("name", INDEX)
def test_a_file_of_the_users_is_not_replaced_by_the_index(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    result = explain("red.png", "blue.png", "--out", ".")
    assert result.exit_code == 2
    assert f"Error: out must be a folder for results, got '.', where {name} cannot be replaced" in result.stderr
    assert (folder / name).read_text() == "mine"
    assert calls() == 0


def test_an_index_that_cannot_be_written_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: Store, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_index", fail)
    result = explain("red.png", "blue.png")
    assert result.exit_code == 1
    assert "Error: out/summary.csv and out/index.html could not be written" in result.stderr
    assert order(result.stdout) == ["red.png", "blue.png"]


def test_odd_names(folder: Path, birds: Path) -> None:
    (birds / "a.png").rename(birds / os.fsdecode(b"r\xf6t.png"))  # Latin-1
    result = explain("birds")
    assert result.exit_code == 0, result.output
    assert order(result.stdout)[1] == "birds/r\ufffdt.png"
    assert table(folder / "out")[1]["photo"] == "birds/r\ufffdt.png"
    assert rows_of(folder / "out")["r\ufffdt"]["picture"] == "r%F6t/overview.png"


def test_links_to_photos_count_and_links_to_folders_do_not(folder: Path, birds: Path) -> None:
    (birds / "z.png").symlink_to(folder / "red.png")
    (birds / "round").symlink_to(birds)
    assert order(explain("birds").stdout) == ["birds/a.png", "birds/b.JPG", "birds/z.png", "birds/sub/c.webp"]


def test_nothing_is_shown_where_nobody_looks(folder: Path) -> None:
    assert explain("red.png").stderr == ""


@pytest.mark.slow
def test_the_bar_on_a_terminal(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    (folder / "go").touch()
    main, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command("red.png", "blue.png"), stdout=subprocess.PIPE, stderr=end, env=environment)
    os.close(end)
    shown = b""
    while True:
        try:
            block = os.read(main, 65536)
        except OSError:  # all is read
            break
        shown += block
        if not block:
            break
    output = process.communicate()[0].decode()
    assert process.returncode == 0
    assert order(output) == ["red.png", "blue.png"]  # on its own stream, not above the bar
    assert "2/2 photos" in shown.decode()
    assert "step 3/3" in shown.decode()
    os.close(main)
