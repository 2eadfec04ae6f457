"""Explain a folder of photos in a pipeline of Ray Data, and collect the numbers as a table.

python examples/explain_with_ray_data.py [FOLDER] --out out/ray

It needs Ray: pip install "sdfido[ray,demo]"
"""

import argparse
from pathlib import Path

import numpy as np
import ray
import torch

from sdfido import models, runs
from sdfido.runs.events import Event, Explained, Failed, Taken


class Explain:
    """Loads the model once, and explains batches of paths; the results go to their folders, and small rows back."""

    def __init__(self, threads: int, **recipe: object) -> None:
        torch.set_num_threads(threads)
        self.explainer = runs.PhotoExplainer(**recipe)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pairs = zip(batch["photo"], batch["folder"], strict=True)
        items = [runs.Item(Path(photo), Path(folder)) for photo, folder in pairs]
        rows: dict[str, tuple[str, float, str]] = {}

        def note(event: Event) -> None:
            if isinstance(event, Explained | Taken) and event.summary is not None:
                rows[str(event.folder)] = event.summary["label"], event.summary["prob_image"], ""
            elif isinstance(event, Failed):
                rows[str(event.folder)] = "", float("nan"), event.message

        runs.Serial().execute(self.explainer, items, 1, note)
        nothing = "", float("nan"), "another process has it"
        label, probability, problem = zip(*(rows.get(str(item.folder), nothing) for item in items), strict=True)
        about = {"label": np.array(label), "probability": np.array(probability), "problem": np.array(problem)}
        return {"photo": batch["photo"], **about}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of photos; if not given, two views of a cup")
    parser.add_argument("--steps", type=int, default=26)
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="cores of each actor")
    parser.add_argument("--out", type=Path, default=Path("out/ray"))
    arguments = parser.parse_args()

    out = arguments.out.absolute()  # actors have working folders of their own
    folder = arguments.folder.absolute() if arguments.folder else out / "photos"
    if arguments.folder is None:
        folder.mkdir(parents=True, exist_ok=True)
        cup = models.demo_photo()
        cup.save(folder / "cup.png")
        cup.transpose(0).save(folder / "mirrored.png")

    ray.init(include_dashboard=False, log_to_driver=False)
    items = runs.choose([folder], out / "results")
    rows = ray.data.from_items([{"photo": str(item.path), "folder": str(item.folder)} for item in items])
    explained = rows.map_batches(
        Explain,
        batch_size=4,  # photos that are lost if an actor is: a small number
        num_cpus=arguments.threads,
        compute=ray.data.ActorPoolStrategy(size=arguments.actors),
        fn_constructor_kwargs={
            "threads": arguments.threads,
            "model": "efficientnet-lite0",
            "steps": arguments.steps,
        },
    )
    for row in explained.iter_rows():
        print(f"{Path(row['photo']).name}: {row['problem'] or row['label']} {row['probability']:.0%}")
    runs.Store(out / "results").write_index()
    print(f"See {out / 'results' / 'index.html'}")


if __name__ == "__main__":
    main()
