"""`sdfido explain` and `sdfido demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from .. import models
from ..execution import Execution
from ..methods.settings import Settings
from . import photos as places
from . import results
from .common import complain, fail, find_own_modules, interruptible, printable, reason, say
from .work import Work, prepare, unfinished

_DTYPE = str(Execution.dtype).removeprefix("torch.")
_DTYPES = {None: Execution.dtype, False: torch.float32, True: torch.bfloat16}
_MASK_SIZE = Settings.mask_size if isinstance(Settings.mask_size, int) else None

HELP = f"""Explain the classifier's decision on each photo: files, folders (with their sub-folders), or both.

Writes into OUT, for one file, or into OUT/NAME, for several or a folder, where sub-folders stay sub-folders:

* overview.png: photo, maps, composites and probabilities in one picture

* explanation.npz: the maps and numbers, for sdfido.Explanation.load

* summary.json: the numbers

and for several {results.TABLE}, one row a photo, for spreadsheets, and {results.PAGE}, which shows all pictures.

Each photo's results are written as soon as it is done, whole or not at all. Run again, the command goes on where it was
stopped: a photo with complete results, of the same content, model, target, infill and settings (--max-batch,
--channels-last, --batch and --device do not count), is left as it is; --again explains it anew.

In a folder, photos are what ends in {", ".join(places.SUFFIXES)}. Hidden names, OUT,
and what sdfido itself has drawn are left out; links to folders are not followed.

Examples:

    sdfido explain cat.jpg

    sdfido explain birds --out results

    sdfido explain birds --device cuda --batch 16 --model timm:resnet50 --out results

    sdfido explain *.jpg --target "tiger cat" --infill local-mean:31 --steps 200

    sdfido explain cat.jpg --model mypackage.nets:make

Exit code: 0 if every photo is explained; 1 if one could not be read or explained, or its results not be written (the
others are explained); 2 if an argument is wrong, a package is missing, the model cannot be made or the results have no
place (nothing is explained, nothing written); 130 if interrupted (what is finished stays).
"""

Steps = Annotated[int, typer.Option(min=1, help="Optimisation steps.")]
Samples = Annotated[int, typer.Option(min=1, help="Samples of each mask in a step.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random: the same seed, the same maps.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")]
Out = Annotated[Path, typer.Option(help="Folder for the results, made if it is not there.")]


def explain(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Image files and folders.", show_default=False)],
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
    steps: Steps = Settings.steps,
    samples: Samples = Settings.num_samples,
    mask_size: Annotated[int | None, typer.Option(min=1, help="Cells along each side of a mask.")] = _MASK_SIZE,
    batch: Annotated[
        int,
        typer.Option(min=1, help="Photos explained at once: faster on GPUs, and the maps stay the same."),
    ] = 1,
    max_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most images given to the classifier at once; fewer need less memory. If not given: one photo's on "
            "CPUs, 64 elsewhere.",
        ),
    ] = Execution.max_batch,
    seed: Seed = Settings.seed,
    device: Device = "cpu",
    channels_last: Annotated[
        bool | None,
        typer.Option("--channels-last/--channels-first", help="Memory format of images; if not given, the faster one."),
    ] = Execution.channels_last,
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help=f"What the classifier computes in; if not given, {_DTYPE}."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Explain anew what is explained already.")] = False,
    out: Out = Path("out"),
) -> None:
    """The command `sdfido explain`."""
    settings: dict[str, Any] = {"steps": steps, "num_samples": samples, "mask_size": mask_size, "seed": seed}
    settings |= {"max_batch": max_batch, "channels_last": channels_last, "dtype": _DTYPES[bfloat16]}
    find_own_modules()
    count = already = 0
    work: Work | None = None

    def state() -> str:
        explained = already + (work.explained if work else 0)
        return f"{explained} of {count} photos are explained, and their results complete; run it again to go on"

    with interruptible(state):
        try:
            chosen = places.choose(photos, out)
            alone = chosen[0].folder == out
            if not alone:
                results.check_index(out)
        except ValueError as error:
            fail(error)
        count = len(chosen)
        run = prepare(model, target, infill, device, out, chosen, settings)
        left = chosen if again else unfinished(run, chosen)
        already = count - len(left)
        work = Work(run)
        begin = time.monotonic()
        try:
            work.explain(left, batch)
        finally:
            indexed = alone or _write_index(out)
        if work.explained and not alone:
            minutes = (time.monotonic() - begin) / 60
            number = f"{work.explained} photo{'s' if work.explained > 1 else ''}"
            say(f"{number} explained in {minutes:.1f} minutes, {work.explained / minutes:.1f} a minute")
    if already + work.explained and indexed:
        written = ["overview.png"] if alone else [results.PAGE, results.TABLE]
        say(f"See {' and '.join(printable(out / name) for name in written)}")
    if already + work.explained < count:
        complain(f"{count - already - work.explained} of {count} photos could not be explained")
    if already + work.explained < count or not indexed:
        raise typer.Exit(1)


def _write_index(out: Path) -> bool:
    """Write the table and the page of all results in OUT, if there are any; whether that went well."""
    try:
        results.write_index(out)
    except (OSError, ValueError) as error:  # ValueError: a foreign summary's text that UTF-8 does not have
        complain(f"Error: {out / results.TABLE} and {out / results.PAGE} could not be written: {reason(error)}")
        return False
    return True


def demo(
    out: Out = Path("out"),
    steps: Steps = Settings.steps,
    samples: Samples = Settings.num_samples,
    seed: Seed = Settings.seed,
    device: Device = "cpu",
) -> None:
    """Explain what EfficientNet-Lite0 sees in scikit-image's photo of a cat."""
    settings = {"steps": steps, "num_samples": samples, "seed": seed}
    with interruptible(lambda: "nothing is explained"):
        photos = [places.Photo(None, out)]
        work = Work(prepare(models.DEMO, None, "blur", device, out, photos, settings))
        work.explain(photos, 1)
    if not work.explained:
        raise typer.Exit(1)
