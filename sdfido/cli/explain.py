"""`sdfido explain` and `sdfido demo`."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from .. import methods, models, runs
from ..execution import Execution
from ..files import printable
from ..methods.settings import FAST, Settings
from ..runs import layout
from ..runs.items import SUFFIXES
from .console import complain, fail, find_own_modules, interruptible, one_line, say
from .telling import Teller

_DTYPE = str(Execution.dtype).removeprefix("torch.")
_DTYPES = {None: Execution.dtype, False: torch.float32, True: torch.bfloat16}
_OPTIONS = {"steps": "--steps", "num_samples": "--samples", "mask_size": "--mask-size", "seed": "--seed"}
_DRAWN = 300  # photos whose overviews are drawn unless the user says otherwise
_FAST = f"of fido, {FAST['steps']} steps of one repeat, a fifth of the composites"

HELP = f"""Explain the classifier's decision on each photo: files, folders (with their sub-folders), or both.

Writes into OUT, for one file, or into OUT/NAME, for several or a folder, where sub-folders stay sub-folders:

* overview.png: photo, maps, composites and probabilities in one picture, unless there are more than {_DRAWN} photos

* explanation.npz: the maps and numbers, for sdfido.Explanation.load

* summary.json: the numbers

* {layout.VIEW}: what the page shows of the photo

and for several {layout.TABLE}, one row a photo, for spreadsheets, and {layout.PAGE}, a page to look at all of them.

Each photo's results are written as soon as it is done, all files or none. Run again, the command resumes where it
stopped: a photo with complete results, of the same content, model, method, target, infill and settings (--max-batch,
--channels-last, --batch and --device do not count), is left as it is; --again explains it anew.

A photo's maps depend on its content and the settings alone, not on who explains it: --workers, --shard, --ray and
several commands at a time on the same OUT give the same maps. Each photo is explained by one process; what a process
had in hand that was killed is explained by another, or by the next run.

In a folder, photos are the files that end in {", ".join(SUFFIXES)}. Hidden names, OUT,
and pictures that sdfido has drawn are left out; links to folders are not followed.

Models come with their own weights and preprocessing. NAME of hf may be a local folder, and of timm and open_clip
local-dir:FOLDER; these work offline. Files of torch.export (.pt2) and TorchScript (.pt) are programs, which run when
they are loaded: take them only from those whom you would take code from. Options follow after ?, separated by &:

* texts=a heron|a stork, template=a photo of a {{}}.: classes that are texts, of hf and open_clip

* pretrained=FILE: weights of timm, torchvision and open_clip

* size=224, mean=0.5,0.5,0.5, std=0.5,0.5,0.5, crop=0.875, crop_mode=squash, interpolation=bilinear: preprocessing

* labels=cat|dog or labels=@FILE: names of the classes, one a line; texts=@FILE likewise

* layout=channels-last: the model takes images [N, H, W, C]; output=NAME: which of its outputs are the logits

Examples:

    sdfido explain cat.jpg

    sdfido explain birds --out results

    sdfido explain birds --fast --out first-look

    sdfido explain birds --device cuda --batch 16 --model timm:resnet50 --out results

    sdfido explain birds --workers 4 --out results

    sdfido explain birds --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT --out results

    sdfido explain *.jpg --target "tiger cat" --infill local-mean:31 --steps 200

    sdfido explain cat.jpg --target tabby --rather-than "tiger cat" --seeds 2

    sdfido explain cat.jpg --method sag --set max_roots=3

    sdfido explain bird.jpg --model "hf:openai/clip-vit-base-patch32?texts=a heron|a stork"

    sdfido explain bird.jpg --model "net.pt2?labels=@names.txt"

    sdfido explain cat.jpg --model mypackage.nets:make --method mypackage.methods:Mine

Exit code: 0 if every photo is explained; 1 if one could not be read or explained, or its results not be written (the
others are explained); 2 if an argument is wrong, a package is missing, the model cannot be made or the results have no
place (nothing is explained, nothing written); 130 if interrupted, 143 if ended by SIGTERM (what is finished stays).
"""

Steps = Annotated[
    int | None, typer.Option(min=1, help=f"Optimisation steps. [default of fido: {Settings.steps}]", show_default=False)
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1, help=f"Samples of each mask in a step. [default of fido: {Settings.num_samples}]", show_default=False
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help=f"Seed of everything random: the same seed, the same maps. [default of fido: {Settings.seed}]",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")]
Out = Annotated[Path, typer.Option(help="Folder for the results, made if it is not there.")]


def explain(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Image files and folders.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            help="efficientnet-lite0 (-lite1, -lite2), timm:NAME, torchvision:NAME, hf:NAME, open_clip:NAME, "
            "speciesnet:NAME, a FILE.pt2 or FILE.pt, or package.module:callable; with options, see above. A program in "
            "a file, a model of SpeciesNet and a module are code, which runs: take them only from whom you trust."
        ),
    ] = models.DEMO,
    method: Annotated[
        str,
        typer.Option(help=f"How to explain: {', '.join(methods.METHODS)}, or package.module:Class, whose code runs."),
    ] = "fido",
    target: Annotated[
        str | None, typer.Option(help="Class to explain, an id or a name; if not given, the one predicted.")
    ] = None,
    rather_than: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Explain what tells the target from this class, an id or a name; rival: from the strongest other one.",
            show_default=False,
        ),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(
            metavar="up|down",
            help="For models that predict values: explain what drives the target, an output, up or down.",
            show_default=False,
        ),
    ] = None,
    infill: Annotated[
        str,
        typer.Option(
            help="What replaces pixels: blur, blur:SIGMA, mean, local-mean, local-mean:SIZE, zeros, uniform, normal, "
            "shuffle, shuffle:PATCH (in pixels)."
        ),
    ] = "blur",
    steps: Steps = None,
    samples: Samples = None,
    mask_size: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Cells along each side of a mask. [default of fido: {Settings.mask_size}]", show_default=False
        ),
    ] = None,
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
    seed: Seed = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Seeds that explain each photo; of several, the results say how far they agree."),
    ] = 1,
    device: Device = "cpu",
    channels_last: Annotated[
        bool | None,
        typer.Option("--channels-last/--channels-first", help="Memory format of images; if not given, the faster one."),
    ] = Execution.channels_last,
    fold_batch_norm: Annotated[
        bool,
        typer.Option(
            "--fold/--no-fold",
            help="Whether to fold batch normalisation into the layers before it: faster, the same but for rounding.",
        ),
    ] = Execution.fold_batch_norm,
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help=f"What the classifier computes in; if not given, {_DTYPE}."),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting of the method, such as kept_share=0.99, or variant=delete of extremal; repeatable.",
            show_default=False,
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help=f"For a first look: {_FAST}. Maps depend more on chance.")
    ] = False,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help=f"Whether to draw {layout.OVERVIEW}; that takes most of the time with a fast model. "
            f"[default: only of at most {_DRAWN} photos]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that share the photos and the cores: one a GPU with --device cuda. With --ray: its actors. "
            "[default: none but this one; with --ray, as many as fit]",
            show_default=False,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only the I-th of N parts of the photos, from 1, so that N jobs share them with one OUT.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Share the photos out on a Ray cluster: auto (the one this machine belongs to), ray://HOST:10001, or "
            "local (a new one on this machine).",
            show_default=False,
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Explain anew what is explained already.")] = False,
    out: Out = Path("out"),
) -> None:
    """The command `sdfido explain`."""
    settings: dict[str, Any] = {"steps": steps, "num_samples": samples, "mask_size": mask_size, "seed": seed}
    settings |= {"max_batch": max_batch, "channels_last": channels_last, "dtype": _DTYPES[bfloat16]}
    settings |= {"fold_batch_norm": fold_batch_norm}
    find_own_modules()
    teller = Teller()
    with interruptible(teller.state):
        try:
            items, store = runs.choose(photos, out), runs.Store(out)
            if pictures is None:
                pictures = len(items) <= _DRAWN
            items = runs.shard(items, shard) if shard else items
            executor, device = _executor(workers, ray, device)
            teller.photos = len(items)
            run = _run(
                items,
                store,
                _all_settings(method, fast, others or [], settings),
                batch,
                again,
                model=model,
                method=method,
                target=target,
                rather_than=rather_than,
                value=value,
                infill=infill,
                device=device,
                seeds=seeds,
                pictures=pictures,
            )
        except Exception as error:  # a user's own model can raise anything
            fail(error)
        outcome = teller.follow(run, executor)
    several, done = store.has_index(items), outcome.photos - outcome.failed
    if outcome.explained and several:
        minutes = outcome.seconds / 60
        number = f"{outcome.explained} photo{'s' if outcome.explained > 1 else ''}"
        say(f"{number} explained in {minutes:.1f} minutes, {outcome.explained / minutes:.1f} a minute")
    if done and outcome.indexed:
        names = [layout.PAGE, layout.TABLE] if several else [layout.OVERVIEW]
        written = [name for name in names if (out / name).exists()] or [layout.SUMMARY]
        say(f"See {one_line(' and '.join(printable(out / name) for name in written))}")
    if not items:
        say(f"Part {shard} has none of the photos: there are fewer photos than parts")
    if outcome.failed:
        complain(f"{outcome.failed} of {outcome.photos} photos could not be explained")
    if outcome.failed or not outcome.indexed:
        raise typer.Exit(1)


def demo(
    out: Out = Path("out"), steps: Steps = None, samples: Samples = None, seed: Seed = None, device: Device = "cpu"
) -> None:
    """Explain what EfficientNet-Lite0 sees in scikit-image's photo of a cup of coffee."""
    teller = Teller()
    with interruptible(lambda: "nothing is explained"):
        settings = {"steps": steps, "num_samples": samples, "seed": seed}
        try:
            run = _run([runs.Item(None, out)], runs.Store(out), settings, 1, True, device=device)
        except Exception as error:
            fail(error)
        outcome = teller.follow(run)
    if outcome.failed:
        raise typer.Exit(1)


def _run(
    items: list[runs.Item], store: runs.Store, settings: Mapping[str, Any], batch: int, again: bool, **recipe: Any
) -> runs.Run:
    """The run, with everything checked that can be before a photo is explained."""
    given = {name: value for name, value in settings.items() if value is not None}
    method = recipe.get("method", "fido")
    known = methods.load(method).setting_names()
    if unknown := [option for name, option in _OPTIONS.items() if name in given and name not in known]:
        raise ValueError(
            f"method {method!r} does not take {', '.join(unknown)}; its settings are {', '.join(sorted(known))}"
        )
    store.check(items)  # before the model is loaded; the run then checks the files of the method, too
    return runs.Run(runs.PhotoExplainer(**recipe, **given), items, store, batch=batch, again=again)


def _executor(workers: int | None, ray: str | None, device: str) -> tuple[runs.Executor | None, str]:
    """Who explains the photos, and the device of this process: workers leave it no work for a GPU."""
    if ray:
        return runs.RayExecutor(ray, workers=workers, device=device), "cpu"
    if workers is None or workers == 1:
        return None, device
    return runs.Processes(workers, device=device), "cpu"


def _all_settings(method: str, fast: bool, others: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of --fast, those of --set, with values as Python writes them or as text, and those with an option."""
    found = dict(methods.load(method).fast) if fast else {}
    if fast and not found:
        raise ValueError(f"method {method!r} has no settings for --fast; a smaller --steps takes less time")
    for one in others:
        name, equals, text = one.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set must be NAME=VALUE, such as --set kept_share=0.99, got {one!r}")
        try:
            found[name] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            found[name] = text
    return found | {name: value for name, value in settings.items() if value is not None}
