"""Explain every photo of a folder; stopped and started again, resume.

python examples/explain_folder.py [FOLDER] --out out/folder
"""

import argparse
from pathlib import Path

from sdfido import models, runs
from sdfido.runs.events import Explained, Failed

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", type=Path, help="a folder of photos; if not given, two views of a cup")
parser.add_argument("--steps", type=int, default=26)
parser.add_argument("--out", type=Path, default=Path("out/folder"))
arguments = parser.parse_args()

folder = arguments.folder
if folder is None:
    folder = arguments.out / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    cup = models.demo_photo()
    cup.save(folder / "cup.png")
    cup.transpose(0).save(folder / "mirrored.png")


def show(event: object) -> None:
    """Print what happens to each photo."""
    if isinstance(event, Explained):
        print(f"{event.name}: {event.summary['label']} {event.summary['prob_image']:.0%}")
    elif isinstance(event, Failed):
        print(event.message)


store = runs.Store(arguments.out / "results")
explainer = runs.PhotoExplainer("efficientnet-lite0", steps=arguments.steps)
run = runs.Run(explainer, runs.choose([folder], store.out), store)
outcome = run.execute(on_event=show)
print(f"{outcome.explained} explained, {outcome.finished} finished before, {outcome.failed} failed")

print(
    f"\n{'photo':14} {'class':16} {'probability':>11} {'SSR: area':>10} {'alone':>6} {'SDR: area':>10} {'without':>8}"
)
for _, summary in store.find():
    print(
        f"{Path(summary['photo']).name:14} {summary['label']:16} {summary['prob_image']:11.0%} "
        f"{summary['area_ssr']:10.0%} {summary['prob_ssr_binary']:6.0%} "
        f"{summary['area_sdr']:10.0%} {summary['prob_sdr_binary']:8.0%}"
    )
print(f"See {store.out / 'index.html'}; “sdfido evaluate {store.out}” measures how good the maps are")
