"""The command line: `sdfido explain`, `sdfido demo`, `sdfido info`."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import torch

from . import infill as infills
from . import models
from .fido import FIDO, Settings
from .files import replacing
from .ops import build_info

if TYPE_CHECKING:
    from PIL.Image import Image

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

Exit code: 0 if every photo was explained; 1 if one could not be read or explained, or its results not be written (the
others are explained); 2 if an argument is wrong, a package is missing, the model cannot be made or the results have no
place (nothing is explained, nothing written); 130 if interrupted (what is finished stays).
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
    folders = _folders(photos, out)
    done = 0
    with _interruptible(lambda: f"{done} of {len(photos)} photos are explained, and their results complete"):
        run = _prepare(model, target, infill, device, out, list(zip(photos, folders, strict=True)), settings | layout)
        for path, folder in zip(photos, folders, strict=True):
            try:
                photo = models.read_photo(path)
            except ImportError as error:
                _fail(error)
            except ValueError as error:  # names the photo
                _say(f"Error: {error}")
                continue
            try:
                _explain(run, _printable(path), photo, folder)
            except Exception as error:
                _say(f"Error: photo {_printable(path)!r} could not be explained: {_reason(error)}")
            else:
                done += 1
    if done < len(photos):
        _say(f"{len(photos) - done} of {len(photos)} photos could not be explained")
        raise typer.Exit(1)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results, made if it is not there.")] = Path("out"),
    steps: Annotated[int, typer.Option(min=1, help="Optimisation steps.")] = Settings.steps,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each mask in a step.")] = Settings.num_samples,
    seed: Annotated[int, typer.Option(help="Seed of everything random: the same seed, the same maps.")] = Settings.seed,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Explain what EfficientNet-Lite0 sees in scikit-image's photo of a cat."""
    settings = {"steps": steps, "num_samples": samples, "seed": seed}
    with _interruptible(lambda: "nothing is explained"):
        run = _prepare(models.DEMO, None, "blur", device, out, [(None, out)], settings)
        try:
            photo = models.demo_photo()
        except ImportError as error:
            _fail(error)
        try:
            _explain(run, "chelsea", photo, out)
        except Exception as error:
            _say(f"Error: the photo could not be explained: {_reason(error)}")
            raise typer.Exit(1) from error


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


def _prepare(
    model: str,
    target: str | None,
    infill: str,
    device: str,
    out: Path,
    places: Sequence[tuple[Path | None, Path]],
    settings: dict[str, Any],
) -> _Run:
    """Find all that is wrong with the arguments before the classifier is run; places: photos and their folders."""
    try:
        infills.from_spec(infill, models.IMAGENET)  # a misspelt name should not wait for a model to load
        _check_places(out, places)
        importlib.import_module("sdfido.plot")
        classifier = models.load(model, device)
        index = None if target is None else classifier.find(target)
        function = infills.from_spec(infill, classifier.normalization, seed=settings["seed"])
        explainer = FIDO(classifier.model, infill=function, normalization=classifier.normalization, **settings)
    except Exception as error:  # a user's own model can raise anything
        _fail(error)
    return _Run(classifier, index, infill, explainer, device)


def _explain(run: _Run, photo: str, opened: Image, folder: Path) -> None:
    """Explain one photo and write the results, all or none; the summary last, so that it stands for all."""
    from . import plot

    classifier, images = run.classifier, run.classifier.preprocess(opened)[None].to(run.device)
    targets = None if run.target is None else [run.target]
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed:.0f}/{task.total:.0f}"))
    more = (TextColumn("objective {task.fields[objective]:.2f}"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *more, console=console) as bar:
        task = bar.add_task(escape(Path(photo).name), total=run.explainer.settings.steps, objective=math.nan)
        explanation = run.explainer.explain(
            images, targets, callback=lambda now: bar.update(task, completed=now.step, objective=now.objective)
        )
    target = int(explanation.targets[0])
    label = classifier.label(target)
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
    figure = plot.overview(explanation, pixels, replacement, label=label)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:  # renames in reverse
        summary_part, maps_part, picture_part = (stack.enter_context(replacing(folder / name)) for name in _RESULTS)
        plot.save(figure, picture_part)
        explanation.save(maps_part)
        summary_part.write_text(text, encoding="utf-8")
    typer.echo(
        f"{photo}: {label} ({target}) {summary['prob_image']:.1%}; "
        f"SSR keeps {summary['kept_ssr']:.0%} of the photo: {summary['prob_ssr']:.1%}; "
        f"SDR removes {summary['removed_sdr']:.0%}: {summary['prob_sdr']:.1%}; see {folder / 'overview.png'}"
    )


_RESULTS = ("summary.json", "explanation.npz", "overview.png")
_NUMBERS = (
    *("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "kept_ssr", "removed_sdr"),
    *("prob_ssr_binary", "prob_sdr_binary", "area_ssr", "area_sdr"),
)


def _folders(photos: Sequence[Path], out: Path) -> list[Path]:
    """OUT itself for one photo; for several a folder each, named like the photo, with a number where that is taken."""
    if len(photos) == 1:
        return [out]
    taken: set[str] = set()
    folders = []
    for photo in photos:
        stem = photo.stem if photo.stem.strip(".") else "photo"  # "..": the folder above
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _check_places(out: Path, places: Sequence[tuple[Path | None, Path]]) -> None:
    """Raise ValueError unless every result can be written, and none would replace a photo."""
    photos = {(s.st_dev, s.st_ino): path for path, _ in places if path is not None and (s := _stat(path))}
    for _, folder in places:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
        if not there.is_dir():
            raise ValueError(f"out must be a folder, got {str(out)!r}, where {there} is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ValueError(f"out must be a folder to write to, got {str(out)!r}, where {there} is not writable")
        for path in (folder / name for name in _RESULTS):
            status = _stat(path)
            if status is None:
                continue
            photo = photos.get((status.st_dev, status.st_ino))
            if photo is not None:
                raise ValueError(f"out must not be where a result replaces a photo, got {str(out)!r}, with {photo}")
            if not path.is_file() or not os.access(path, os.W_OK):
                raise ValueError(f"out must take the results, got {str(out)!r}, where {path} cannot be replaced")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


@contextlib.contextmanager
def _interruptible(state: Callable[[], str]) -> Iterator[None]:
    """Ends the command with a line and exit code 130 where the user interrupts it; state: what is done by then."""
    try:
        yield
    except KeyboardInterrupt:
        _say(f"Interrupted: {state()}")
        raise typer.Exit(130) from None


def _printable(path: Path) -> str:
    """The path as text that can be printed and written as UTF-8, whatever bytes it consists of."""
    return os.fsencode(path).decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    """What an error says; with its type where that was not raised for the user to read."""
    readable = isinstance(error, ValueError | TypeError | ImportError | OSError) and str(error)
    return str(error) if readable else f"{type(error).__name__}: {error}".removesuffix(": ")


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _fail(error: Exception) -> NoReturn:
    _say(f"Error: {_reason(error)}")
    raise typer.Exit(2) from error
