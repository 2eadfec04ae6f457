"""The page of results in a real browser, opened from the file system."""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed import page as pages
from sdfido import reports, runs
from sdfido.reports.view import as_script, view
from sdfido.runs import page_files

pytest.importorskip("playwright.sync_api", reason='needs pip install "sdfido[test]"')
if pages.chromium() is None:
    pytest.skip("no Chromium is installed: apt-get install chromium", allow_module_level=True)

HOSTILE = "</script><img src=x onerror='hacked=1'>&lt"
NAMES: list[str | bytes] = [
    *(f"plain{index}" for index in range(9)),
    f"{HOSTILE[10:24]} #1?%41&",
    b"r\xf6t",
    "=SUM(A1)",
]
LABELS = ("heron", "stork", HOSTILE)
AUDIT = {
    "schema": "sdfido-audit/1",
    "intervals": f"Intervals are over {HOSTILE}.",
    "flags": [{"class": "stork", "site": "south", "reason": f"Backgrounds of {HOSTILE} tell."}],
    "photos": [
        {"results": "plain6", "site": "north", "outside": 0.7, "flags": [HOSTILE, "strip"], "suspicion": 0.9},
        {"results": "plain7", "site": "south", "outside": 0.1, "suspicion": None},
    ],
}
DRAWN = list(pages.draw(4))
VIEWS = [as_script(view(*each)) for each in DRAWN]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with pages.browser() as started:
        yield started


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve results with hostile names and labels, of which the true classes and an audit are known."""
    out = tmp_path_factory.mktemp("results")
    (out / "labels.csv").write_text("photo,label\nplain0,heron\nplain1.jpg,heron\nphotos/plain3.jpg,heron\n")
    (out / "audit.json").write_text(json.dumps(AUDIT))
    pages.write(out, NAMES, VIEWS, LABELS)
    return out


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page, and afterwards makes sure that nothing went wrong on it and nothing was asked of a network."""
    wrong: list[str] = []
    contexts = []

    def opened(path: Path, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1200, "height": 2400}, accept_downloads=True, **options))
        contexts[-1].set_default_timeout(20_000)
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("requestfailed", lambda request: wrong.append(request.url))
        tab.on(
            "request", lambda each: None if each.url.startswith(("file:", "data:", "blob:")) else wrong.append(each.url)
        )
        tab.goto(path.resolve().as_uri())
        drawn(tab)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def drawn(tab: Any) -> None:
    """Waits until the cards have their pictures."""
    every = "[...document.querySelectorAll('.card')].every((card) => card.querySelector('canvas'))"
    soon(lambda: tab.evaluate(every), True)


def soon(read: Callable[[], Any], expected: Any) -> None:
    """Waits until what is read is as expected: events and layouts come when the browser gets to them.

    The page's policy keeps Playwright from waiting in the page itself.
    """
    deadline = time.monotonic() + 20
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found == expected


def photos(tab: Any) -> list[str]:
    """Names of the shown photos, in their order."""
    cards = tab.evaluate(
        "[...document.querySelectorAll('.card')].map((card) => "
        "[Number(card.getAttribute('aria-posinset')), card.querySelector('.file').textContent])"
    )
    return [name.removeprefix("photos/").removesuffix(".jpg") for _, name in sorted(cards)]


def test_it_shows_every_photo_and_the_worst_first(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    assert tab.title() == "12 photos explained"
    found = photos(tab)
    assert len(found) == 12
    assert found[0] == "plain1"  # wrong: it says stork
    assert found[1] == "plain6"  # flagged
    assert found[2] == "plain7"  # outside
    assert found[3] == "plain3"  # with a note
    card = tab.locator(".card", has_text="plain1.jpg")
    assert card.locator(".wrong").inner_text() == "✗ is heron"
    assert "alone gives" in card.locator(".told").inner_text()
    assert tab.locator(".card img").first.get_attribute("alt").startswith("Photo of photos/plain")
    assert "0" * 64 in tab.locator("#made").inner_text()


def test_names_and_labels_are_shown_as_they_are(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    assert tab.evaluate("typeof hacked") == "undefined"
    assert tab.locator("img[src=x]").count() == 0
    assert {"photos/r\ufffdt.jpg", f"photos/{NAMES[9]}.jpg"} <= set(tab.locator(".file").all_inner_texts())
    assert HOSTILE in tab.locator(".card b span:first-child").all_inner_texts()
    tab.locator(".card", has_text="#1?%41&").click()
    soon(tab.locator("#detail-name").inner_text, f"photos/{NAMES[9]}.jpg")
    tab.keyboard.press("Escape")
    soon(tab.locator("#detail").is_visible, False)
    tab.locator(".card", has_text="plain6").click()
    soon(lambda: tab.locator("#detail-notes li").all_inner_texts()[:2], [HOSTILE, "strip"])
    assert tab.evaluate("typeof hacked") == "undefined"


def test_the_policy_lets_nothing_out(results: Path, browser: Any) -> None:
    """Not even if somebody managed to run or insert something."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = browser.new_page()
        tab.goto((results / "index.html").as_uri())
        refused, hacked = tab.evaluate(
            """async (place) => {
                const refused = [];
                addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
                await fetch(place + "fetched").catch(() => 0);
                new Image().src = place + "seen";
                document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='hacked=1'>");
                await new Promise((resolve) => setTimeout(resolve, 200));
                return [refused, typeof hacked];
            }""",
            f"http://127.0.0.1:{server.server_port}/",
        )
        tab.close()
        server.shutdown()
    assert {"connect-src", "img-src", "script-src-attr"} <= set(refused)
    assert (asked, hacked) == ([], "undefined")


def test_filters_and_sorts(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    rows = {row["results"]: row for row in json.loads((results / "index.json").read_text())["photos"]}
    tab.select_option("#class", "stork")
    assert set(photos(tab)) == {name for name, row in rows.items() if row["label"] == "stork"}
    assert tab.locator("#count").inner_text() == "4 of 12 photos"
    tab.click("#reset-all")
    tab.select_option("#verdict", "true")
    assert set(photos(tab)) == {"plain0", "plain3"}
    tab.select_option("#verdict", "false")
    assert photos(tab) == ["plain1"]
    tab.click("#reset-all")
    tab.select_option("#site", "north")
    assert photos(tab) == ["plain6"]
    tab.click("#reset-all")
    tab.check("#look")
    assert photos(tab) == ["plain6", "plain3"]
    tab.click("#reset-all")
    tab.select_option("#sort", "label")
    by_class = sorted(
        rows.values(), key=lambda row: (list(sorted(LABELS, key=str.casefold)).index(row["label"]), row["rank"])
    )
    assert photos(tab) == [row["results"] for row in by_class]
    tab.select_option("#sort", "photo")
    assert [name for name in photos(tab) if name.startswith("plain")] == [f"plain{index}" for index in range(9)]
    for key in ("area_ssr", "prob_ssr_binary", "agreement_ssr"):
        tab.select_option("#sort", key)
        ordered = sorted(rows.values(), key=lambda row: row["numbers"][key])
        assert photos(tab) == [row["results"] for row in ordered]
        tab.check("#reverse")
        assert photos(tab) == [row["results"] for row in reversed(ordered)]
        tab.uncheck("#reverse")
    tab.select_option("#sort", "outside")
    assert photos(tab)[:2] == ["plain7", "plain6"]  # those without it come last
    tab.click("#more summary")
    tab.fill("[data-key=outside] >> nth=0", "50")
    assert photos(tab) == ["plain6"]
    tab.click("#reset-all")
    tab.fill("#search", "PLAIN1")
    assert photos(tab) == ["plain1"]
    tab.fill("#search", "no such photo")
    assert "No photo is like that" in tab.locator("#list").inner_text()


def test_classes_are_summed_up_and_chosen(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    tab.click("#classes summary")
    assert tab.locator("#classes tbody tr").count() == 3
    titles = tab.locator("#classes th").all_inner_texts()
    line = tab.locator("#classes tr", has_text="heron").locator("td").all_inner_texts()
    known = dict(zip(titles, line, strict=True))
    rows = [
        row["numbers"] for row in json.loads((results / "index.json").read_text())["photos"] if row["label"] == "heron"
    ]
    assert (known["Photos"], known["Right"]) == ("4", "100.0%")
    assert known["SSR area"] == f"{np.mean([row['area_ssr'] for row in rows]):.1%}"
    tab.click("#classes button >> text=heron")
    assert len(photos(tab)) == 4
    tab.click("#classes button >> text=heron")
    assert len(photos(tab)) == 12


def test_what_an_audit_found(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    assert tab.locator("#findings p").inner_text() == f"Intervals are over {HOSTILE}."
    assert f"Backgrounds of {HOSTILE} tell." in tab.locator("#findings li").inner_text()
    tab.click("#findings button")
    assert photos(tab) == ["plain7"]
    assert (tab.input_value("#class"), tab.input_value("#site")) == ("stork", "south")


def test_the_keyboard(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    press = tab.keyboard.press

    def focused() -> int:
        return int(tab.evaluate("document.activeElement.parentElement?.getAttribute('aria-posinset') ?? 0"))

    press("ArrowRight")
    press("ArrowRight")
    soon(focused, 2)
    press("ArrowDown")
    soon(lambda: focused() > 3, True)
    press("ArrowUp")
    soon(focused, 2)
    press("Enter")
    soon(tab.locator("#place").inner_text, "2 of 12")
    press("ArrowRight")
    soon(tab.locator("#place").inner_text, "3 of 12")
    press("3")
    soon(lambda: tab.input_value("#right"), "cut:ssr")
    tab.keyboard.down(" ")
    soon(tab.locator("#over").is_visible, False)
    tab.keyboard.up(" ")
    soon(tab.locator("#over").is_visible, True)
    press("Escape")
    soon(tab.locator("#detail").is_visible, False)
    soon(lambda: tab.evaluate("location.hash"), "")
    press("/")
    soon(lambda: tab.evaluate("document.activeElement.id"), "search")
    tab.keyboard.type("plain2")
    press("Enter")
    soon(lambda: photos(tab), ["plain2"])
    press("1")
    soon(tab.locator("#show [aria-pressed=true]").inner_text, "Photo")
    press("?")
    soon(tab.locator("#help").is_visible, True)
    press("Escape")
    soon(tab.locator("#help").is_visible, False)


def test_comparing(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    picture = tab.locator(".card .pic").first
    cut = "(each) => each.style.getPropertyValue('--cut')"
    clip = "(each) => getComputedStyle(each).clipPath"
    box = picture.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    soon(lambda: picture.evaluate(cut), "25%")
    assert "25%" in picture.locator("canvas").evaluate(clip)
    tab.mouse.move(1, 1)
    soon(lambda: picture.evaluate(cut), "")
    tab.goto(f"{(results / 'index.html').as_uri()}#photo=plain4")  # a link to one photo
    tab.reload()
    soon(tab.locator("#detail-name").inner_text, "photos/plain4.jpg")
    tab.wait_for_selector("#strip canvas")
    tab.select_option("#left", "infill")
    tab.locator("#slider").fill("10")
    soon(lambda: "10%" in tab.locator("#over").evaluate(clip), True)
    tab.click("#strip button >> text=Without SDR")
    soon(lambda: tab.input_value("#right"), "cut:sdr")
    box = tab.locator("#compare").bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    soon(lambda: float(tab.input_value("#slider")), pytest.approx(50, abs=1))


def test_pictures_are_those_of_the_explanation(results: Path, open_page: Callable[..., Any]) -> None:
    """Up to what WebP loses; a map that lay elsewhere, or another region, would be off by far more."""
    explanation, pixels, infill = DRAWN[0]
    composites = dict(zip(explanation.regions, explanation.composites(pixels, infill), strict=True))
    colours = {"photo": pixels, "infill": infill.expand_as(pixels)}
    colours |= {f"cut:{name}": composite for name, composite in composites.items()}
    expected = {key: np.asarray(picture[0].permute(1, 2, 0)) for key, picture in colours.items()}
    expected |= {f"map:{name}": reports.heatmap(explanation[name][0], pixels[0]) for name in ("ssr", "sdr", "joint")}
    tab = open_page(results / "index.html")
    tab.locator(".card", has_text="plain0").click()
    tab.wait_for_selector("#strip canvas")
    for key in expected:
        tab.select_option("#right", key)
        soon(lambda: tab.locator("#over").get_attribute("data-shown"), key)
        picture = tab.evaluate("document.getElementById('over').toDataURL()").partition(",")[2]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")) / 255
        difference = np.abs(shown - expected[key])
        assert difference.mean() < 0.02, key
        assert np.quantile(difference, 0.99) < 0.12, key


def test_the_shown_rows_are_saved(results: Path, open_page: Callable[..., Any]) -> None:
    tab = open_page(results / "index.html")
    tab.select_option("#sort", "photo")
    with tab.expect_download() as download:
        tab.click("#save")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    by_results = {row["results"]: row for row in rows}
    assert len(rows) == 12
    assert by_results["plain6"]["flags"] == f"{HOSTILE} strip"
    assert (by_results["plain1"]["truth"], by_results["plain1"]["right"]) == ("heron", "false")
    assert "'=SUM(A1)" in by_results  # no spreadsheet computes it


def test_dark_narrow_and_on_paper(results: Path, open_page: Callable[..., Any]) -> None:
    def paper(tab: Any) -> float:
        return sum(map(float, tab.evaluate("getComputedStyle(document.body).backgroundColor")[4:-1].split(",")))

    assert paper(open_page(results / "index.html", color_scheme="light")) > 700
    tab = open_page(results / "index.html", color_scheme="dark")
    assert paper(tab) < 100
    tab.set_viewport_size({"width": 380, "height": 800})
    soon(lambda: tab.evaluate("document.documentElement.scrollWidth") <= 380, True)
    tab.evaluate("window.print = () => { window.printed = document.querySelectorAll('.card canvas').length; }")
    tab.click("#print")
    soon(lambda: tab.evaluate("window.printed"), 12)
    tab.evaluate("window.printed = undefined; dispatchEvent(new Event('afterprint'))")
    tab.keyboard.press("Control+p")
    soon(lambda: tab.evaluate("window.printed"), 12)
    assert "drawn" not in tab.locator("#paper").text_content()
    tab.emulate_media(media="print")
    soon(lambda: paper(tab) > 700, True)
    soon(tab.locator("#controls").is_visible, False)
    assert tab.pdf()[:4] == b"%PDF"


def test_many_photos_open_at_once_and_are_loaded_as_they_are_scrolled_to(
    tmp_path: Path, browser: Any, open_page: Callable[..., Any]
) -> None:
    pages.write(tmp_path, [f"{index:04}" for index in range(2000)], VIEWS)
    page = tmp_path / "index.html"
    assert min(pages.first_view(browser, page) for _ in range(2)) < 3
    assert pages.size(tmp_path) < 40e6
    tab = open_page(page)
    assert tab.locator("#count").inner_text() == "2,000 photos"
    assert tab.locator(".card").count() < 60
    there = tab.evaluate(  # the event of the browser's menu, which does not wait
        "(() => { const there = document.querySelectorAll('.card canvas').length; "
        "dispatchEvent(new Event('beforeprint')); return there; })()"
    )
    late = f"the first 400 of them. {400 - there} pictures had not been drawn when this was printed"
    assert late in tab.locator("#paper").text_content()
    assert tab.locator(".card").count() == 400
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert "drawn" not in tab.locator("#paper").text_content()
    drawn(tab)
    tab.keyboard.press("ArrowRight")
    tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    tab.wait_for_selector(".card[aria-posinset='2000'] canvas")
    soon(lambda: tab.locator(".card").count() < 60, True)
    drawn(tab)


def test_a_copy_needs_nothing_else(
    results: Path, tmp_path: Path, open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs.Report(results).write(tmp_path / "one")
    assert sorted(path.name for path in before.parent.iterdir() if path.suffix != ".parquet") == [
        "index.html",
        "index.json",
        "summary.csv",
    ]
    monkeypatch.setattr(page_files, "EMBEDDED", 11)
    page = runs.Report(results).write(tmp_path / "many")
    assert len(list((tmp_path / "many" / "index_files").iterdir())) == 12
    assert b"sdfidoView({" not in page.read_bytes()
    for copy in (before, page):
        moved = copy.parent.rename(tmp_path / f"sent {copy.parent.name}")
        tab = open_page(moved / "index.html")
        assert len(photos(tab)) == 12
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#strip canvas")
        assert tab.locator("#detail-links a").count() == 0


def test_results_without_pictures_are_told(results: Path, tmp_path: Path, browser: Any) -> None:
    pages.write(tmp_path, ["one", "two"], ["sdfidoView(null);", "other words"])
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector(".none >> nth=1")
    assert tab.locator(".card").count() == 2
    tab.close()
