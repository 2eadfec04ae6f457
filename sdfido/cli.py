"""The command line: `sdfido explain`, `sdfido demo`, `sdfido info`."""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import torch
from torch import Tensor

from . import infill as infills
from . import models
from .fido import FIDO, Settings
from .files import replacing
from .ops import build_info

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Table

    _MISSING: str | None = None
except ModuleNotFoundError as error:
    _MISSING = error.name

_MASK_SIZE = Settings.mask_size if isinstance(Settings.mask_size, int) else None

_HELP = """Explain what an image classifier looks at.

SSR, the smallest sufficient region, is the part of a photo that is enough for the class on its own.
SDR, the smallest destroying region, is the part without which the class is lost.
"""

_EXPLAIN_HELP = """Explain the classifier's decision on each PHOTO.

Writes into OUT, for one photo, or into OUT/NAME, for several:

* overview.png: photo, maps, composites and probabilities in one picture

* explanation.npz: the maps and numbers, for sdfido.Explanation.load

* summary.json: the numbers

Examples:

    sdfido explain cat.jpg

    sdfido explain *.jpg --model timm:resnet50 --target "tiger cat" --out results

    sdfido explain cat.jpg --model mypackage.nets:make --infill local-mean:31 --steps 200

Exit code: 0 if every photo was explained; 1 if one could not be read (the others are explained); 2 if an argument is
wrong or a package is missing (nothing is explained).
"""


def main() -> None:
    """The `sdfido` command; where its packages are missing, it says how to install them and exits with code 2."""
    if _MISSING is not None:
        print(f'sdfido: the command line needs {_MISSING}; install it with: pip install "sdfido[cli]"', file=sys.stderr)
        sys.exit(2)
    make_app()()


def make_app() -> typer.Typer:
    """The typer application, with the commands explain, demo and info."""
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.command(help=_EXPLAIN_HELP)(explain)
    app.command()(demo)
    app.command()(info)
    return app


def explain(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Image files.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="efficientnet-lite0, timm:NAME, torchvision:NAME, or package.module:callable.")
    ] = models.DEMO,
    target: Annotated[
        str | None, typer.Option(help="Class to explain, an id or a name; if not given, the one predicted.")
    ] = None,
    infill: Annotated[
        str,
        typer.Option(
            help="What replaces pixels: blur, blur:SIGMA, mean, local-mean, local-mean:SIZE, zeros, uniform, normal, "
            "shuffle, shuffle:PATCH (in pixels)."
        ),
    ] = "blur",
    steps: Annotated[int, typer.Option(min=1, help="Optimisation steps.")] = Settings.steps,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each mask in a step.")] = Settings.num_samples,
    mask_size: Annotated[int | None, typer.Option(min=1, help="Cells along each side of a mask.")] = _MASK_SIZE,
    max_batch: Annotated[int, typer.Option(min=1, help="Most images classified at once.")] = Settings.max_batch,
    seed: Annotated[int, typer.Option(help="Seed of everything random: the same seed, the same maps.")] = Settings.seed,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Use the channels-last memory format; often faster.")
    ] = False,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Run the classifier in bfloat16; often faster.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results, made if it is not there.")] = Path("out"),
) -> None:
    """The command `sdfido explain`."""
    settings = {"steps": steps, "num_samples": samples, "mask_size": mask_size, "max_batch": max_batch, "seed": seed}
    layout = {"channels_last": channels_last, "dtype": torch.bfloat16 if bfloat16 else torch.float32}
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's package.module may lie here; what is installed comes first
    run = _prepare(model, target, infill, device, out, settings | layout)
    failed = 0
    for path, folder in zip(photos, _folders(photos, out), strict=True):
        try:
            image = run.classifier.preprocess(models.read_photo(path))
        except ValueError as error:
            _say(f"Error: {error}")
            failed += 1
        else:
            _explain(run, str(path), image, folder)
    if failed:
        _say(f"{failed} of {len(photos)} photos could not be read")
        raise typer.Exit(1)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results, made if it is not there.")] = Path("out"),
    steps: Annotated[int, typer.Option(min=1, help="Optimisation steps.")] = Settings.steps,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each mask in a step.")] = Settings.num_samples,
    seed: Annotated[int, typer.Option(help="Seed of everything random: the same seed, the same maps.")] = Settings.seed,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Explain what EfficientNet-Lite0 sees in scikit-image's photo of a cat."""
    run = _prepare(models.DEMO, None, "blur", device, out, {"steps": steps, "num_samples": samples, "seed": seed})
    try:
        photo = models.demo_photo()
    except ImportError as error:
        _fail(error)
    _explain(run, "chelsea", run.classifier.preprocess(photo), out)


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what this installation is and computes with."""
    facts = build_info()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    table = Table("", "sdfido", show_header=False)
    for name, value in facts.items():
        table.add_row(name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    Console().print(table)


@dataclass(frozen=True)
class _Run:
    """What all photos of a command share."""

    classifier: models.Classifier
    target: int | None
    infill: str
    explainer: FIDO
    device: str


def _prepare(model: str, target: str | None, infill: str, device: str, out: Path, settings: dict[str, Any]) -> _Run:
    """Find all that is wrong with the arguments before the classifier is run."""
    try:
        infills.from_spec(infill, models.IMAGENET)  # a misspelt name should not wait for a model to load
        _check_folder(out)
        importlib.import_module("sdfido.plot")
        classifier = models.load(model, device)
        index = None if target is None else classifier.find(target)
        function = infills.from_spec(infill, classifier.normalization, seed=settings["seed"])
        explainer = FIDO(classifier.model, infill=function, normalization=classifier.normalization, **settings)
    except (ValueError, TypeError, ImportError, OSError) as error:
        _fail(error)
    return _Run(classifier, index, infill, explainer, device)


def _explain(run: _Run, photo: str, image: Tensor, folder: Path) -> None:
    """Explain one preprocessed photo [3,H,W] and write the results; the summary last, so that it stands for all."""
    from . import plot

    classifier, images = run.classifier, image[None].to(run.device)
    targets = None if run.target is None else [run.target]
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed:.0f}/{task.total:.0f}"))
    more = (TextColumn("objective {task.fields[objective]:.2f}"), TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, *more, console=console) as bar:
            task = bar.add_task(escape(Path(photo).name), total=run.explainer.settings.steps, objective=math.nan)
            explanation = run.explainer.explain(
                images, targets, callback=lambda now: bar.update(task, completed=now.step, objective=now.objective)
            )
        target = int(explanation.targets[0])
        label = classifier.label(target)
    except (ValueError, TypeError) as error:
        _fail(error)
    summary = {
        "photo": photo,
        "model": classifier.name,
        "target": target,
        "label": label,
        "infill": run.infill,
        "device": run.device,
        "seed": run.explainer.settings.seed,
        "steps": run.explainer.settings.steps,
        "num_samples": run.explainer.settings.num_samples,
        "seconds": round(explanation.seconds, 3),
        **{name: float(getattr(explanation, name)[0]) for name in _NUMBERS},
        "settings": explanation.settings,
        "build": build_info(),
    }
    pixels = classifier.normalization.pixels(images)
    replacement = classifier.normalization.pixels(infills.apply(run.explainer.infill, images))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plot.save(plot.overview(explanation, pixels, replacement, label=label), folder / "overview.png")
        explanation.save(folder / "explanation.npz")
        with replacing(folder / "summary.json") as part:
            part.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        _fail(error)
    typer.echo(
        f"{photo}: {label} ({target}) {summary['prob_image']:.1%}; "
        f"SSR keeps {summary['kept_ssr']:.0%} of the photo: {summary['prob_ssr']:.1%}; "
        f"SDR removes {summary['removed_sdr']:.0%}: {summary['prob_sdr']:.1%}; see {folder / 'overview.png'}"
    )


_NUMBERS = ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr")


def _folders(photos: Sequence[Path], out: Path) -> list[Path]:
    """OUT itself for one photo; for several a folder each, named like the photo, with a number where that is taken."""
    if len(photos) == 1:
        return [out]
    taken: set[str] = set()
    folders = []
    for photo in photos:
        name, number = photo.stem, 2
        while name.casefold() in taken:
            name, number = f"{photo.stem}-{number}", number + 1
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _check_folder(folder: Path) -> None:
    """Raise ValueError unless files can be written into the folder, or into one that can be made there."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"out must be a folder, got {str(folder)!r}, where {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"out must be a folder to write to, got {str(folder)!r}, where {there} is not writable")


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _fail(error: Exception) -> NoReturn:
    _say(f"Error: {error}")
    raise typer.Exit(2) from error
