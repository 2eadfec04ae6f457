"""The page of many results: its size, and how long Chromium takes to show it and to scroll through it.

    python -m benchmarks.speed.page [--photos 2000] [--drawn 2000] [--json FILE]
    python -m benchmarks.speed.page --picture RESULTS   # the documentation's picture of the page of these results

Photos are parts of scikit-image's, 224 x 224 pixels, each another up to --drawn; maps and regions are drawn. The
first view is the time from opening the file to the first picture drawn in the list. Needs Chromium and
``pip install "sdfido[test]"``.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common import paths, records
from benchmarks.common.measuring import machine
from sdfido import Explanation, infills, runs
from sdfido.explanation import SSR_AND_SDR
from sdfido.files import printable, replacing
from sdfido.models import IMAGENET
from sdfido.reports.view import as_script, view

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLASSES = ("heron", "stork", "little egret", "crane", "bittern", "spoonbill", "ibis", "cormorant")
_SIDE, _CELLS = 224, 28


def chromium() -> str | None:
    """Path of a Chromium that runs; the variable SDFIDO_CHROMIUM chooses another. None where there is none."""
    for name in [os.environ.get("SDFIDO_CHROMIUM"), *BROWSERS]:
        if (path := name and shutil.which(name)) and not subprocess.run(
            [path, "--version"], capture_output=True
        ).returncode:
            return path
    return None


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def pictures() -> Iterator[Tensor]:
    """Parts of photos [1, 3, H, W], 0..1, each another, without an end."""
    from skimage import data

    photos = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]
    random = np.random.default_rng(0)
    while True:
        photo = photos[random.integers(len(photos))]
        top, left = (int(random.integers(length - _SIDE + 1)) for length in photo.shape[:2])
        part = photo[top : top + _SIDE, left : left + _SIDE]
        yield torch.from_numpy(part.copy()).permute(2, 0, 1)[None] / 255


def draw(count: int) -> Iterator[tuple[Explanation, Tensor, Tensor]]:
    """Explanations with the pixels and the infill of each: maps that are drawn, as smooth as those that are learned."""
    generator = torch.Generator().manual_seed(0)
    for _, pixels in zip(range(count), pictures(), strict=False):
        coarse = torch.randn(1, 2, 7, 7, generator=generator)
        logits = 4 * torch.nn.functional.interpolate(coarse, (_CELLS, _CELLS), mode="bilinear") - 4
        maps = torch.nn.functional.interpolate(logits.sigmoid(), (_SIDE, _SIDE), mode="bilinear")
        logits[:, 1] *= -1
        explanation = Explanation(
            "fido",
            {"ssr": maps[:, 0], "sdr": maps[:, 1]},
            {"prob_image": torch.ones(1), "prob_infill": torch.zeros(1)},
            torch.zeros(1, dtype=torch.int64),
            {"mask_logits": logits},
            legend=SSR_AND_SDR,
        )
        infill = infills.apply(infills.from_spec("blur", IMAGENET), pixels)
        yield explanation, pixels, infill


def write(out: Path, names: Sequence[str | bytes], views: Sequence[str], labels: Sequence[str] = CLASSES) -> None:
    """Results in a folder, and their page; of the explanations only what the page shows."""
    random = np.random.default_rng(0)
    for index, name in enumerate(names):
        folder = out / os.fsdecode(name)
        folder.mkdir(parents=True)
        ssr, sdr, image = (float(value) for value in random.uniform(0.02, (0.4, 0.4, 1.0)))
        about = {
            "photo": f"photos/{printable(name)}.jpg",
            "model": "drawn",
            "model_spec": "drawn",
            "model_sha256": "0" * 64,
            "method": "fido",
            "target": index % len(labels),
            "label": labels[index % len(labels)],
            "target_is_predicted": True,
            "infill": "blur",
            "prob_image": image,
            "prob_infill": 0.01,
            "kept_ssr": ssr,
            "removed_sdr": sdr,
            "prob_ssr_binary": 0.9 * image,
            "prob_sdr_binary": 0.1 * image,
            "area_ssr": ssr,
            "area_sdr": sdr,
            "agreement_ssr": float(random.uniform(0.3, 1)),
            "notes": ["SSR: repeats overlap by only 40.0%; do not rely on details."] if index % 10 == 3 else [],
            "maps": {name: {"title": info.title, "note": info.note} for name, info in SSR_AND_SDR.items()},
            "settings": {"steps": 26, "seed": 0},
            "build": {"version": "0"},
        }
        (folder / "summary.json").write_text(json.dumps(about))
        (folder / "view.js").write_text(views[index % len(views)])
        (folder / "explanation.npz").touch()
    runs.Store(out).write_index()


def size(out: Path) -> int:
    """Bytes of the page and of all that it loads."""
    return (out / "index.html").stat().st_size + sum(path.stat().st_size for path in out.rglob("view.js"))


def first_view(started: Any, page: Path) -> float:
    """Seconds from opening a page in a new tab until the first picture of its list is drawn."""
    tab = started.new_page(viewport={"width": 1280, "height": 900})
    begin = time.perf_counter()
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector(".card canvas:not([hidden])", state="visible")
    seconds = time.perf_counter() - begin
    tab.close()
    return seconds


def scrolled(started: Any, page: Path) -> float:
    """Longest time between two frames in milliseconds while the list is scrolled through in 4 seconds."""
    tab = started.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector(".card canvas:not([hidden])", state="visible")
    longest: float = tab.evaluate(
        """async () => {
            const height = document.documentElement.scrollHeight, begin = performance.now();
            let last = begin, longest = 0;
            while (last < begin + 4000) {
                scrollTo(0, height * (last - begin) / 4000);
                await new Promise(requestAnimationFrame);
                const now = performance.now();
                longest = Math.max(longest, now - last);
                last = now;
            }
            return longest;
        }"""
    )
    tab.close()
    return longest


CHOICES = (("class", "stork"), ("search", "1234"), ("sort", "photo"), ("sort", "label"), ("sort", "area_ssr"))


def chosen(started: Any, page: Path) -> dict[str, float]:
    """Milliseconds that filters and orders take, until the list has changed; every other choice is as it was."""
    tab = started.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector(".card canvas:not([hidden])", state="visible")
    found = {}
    for control, value in CHOICES:
        found[f"{control}: {value}"] = tab.evaluate(
            """([control, value]) => {
                const field = document.getElementById(control);
                const choose = (text) => { field.value = text; field.dispatchEvent(new Event("input")); };
                const begin = performance.now();
                choose(value);
                const taken = performance.now() - begin;
                choose("");
                return taken;
            }""",
            [control, value],
        )
    tab.close()
    return found


def picture(started: Any, page: Path, file: Path) -> None:
    """A picture of a page with SSRs, for the documentation."""
    tab = started.new_page(viewport={"width": 1120, "height": 740})
    tab.goto(page.resolve().as_uri())
    tab.click("#reading summary")
    tab.wait_for_selector(".card canvas:not([hidden])", state="visible")
    tab.wait_for_timeout(1000)
    with Image.open(io.BytesIO(tab.screenshot())) as shown, replacing(file) as part:
        shown.resize((840, 555), Image.Resampling.LANCZOS).save(part, format="WEBP", quality=33, method=6)
    tab.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument(
        "--drawn", type=int, default=2000, help="pictures that are drawn; further photos show them again"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=paths.OUT / "page.json")
    parser.add_argument("--picture", type=Path, metavar="RESULTS")
    arguments = parser.parse_args()
    if arguments.picture:
        with browser() as started:
            picture(started, arguments.picture / "index.html", paths.IMAGES / "page.webp")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, browser() as started:
        out = Path(place, "results")
        write(
            out,
            [f"{index:05}" for index in range(arguments.photos)],
            [as_script(view(*drawn)) for drawn in draw(min(arguments.photos, arguments.drawn))],
        )
        seconds = [first_view(started, out / "index.html") for _ in range(arguments.repeats)]
        results = {
            "machine": machine(),
            "photos": arguments.photos,
            "megabytes": size(out) / 1e6,
            "megabytes_of_page_alone": (out / "index.html").stat().st_size / 1e6,
            "first_view_seconds": {"median": statistics.median(seconds), "most": max(seconds)},
            "longest_frame_milliseconds": scrolled(started, out / "index.html"),
            "choice_milliseconds": chosen(started, out / "index.html"),
        }
    print(records.dump(records.write(arguments.json, results)))


if __name__ == "__main__":
    main()
