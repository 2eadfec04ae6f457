"""The command line: `sdfido explain`, `evaluate`, `audit`, `report`, `export`, `gallery`, `demo` and `info`."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING

from ..interrupts import Ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer import Typer

_HELP = """Explain what an image classifier looks at.

SSR, the smallest sufficient region, is the part of a photo that is enough for the class on its own.
SDR, the smallest destroying region, is the part without which the class is lost.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The `sdfido` command; where its packages are missing, it says how to install them and exits with code 2.

    Args:
        arguments: those of the command line by default.
    """
    with Ending():
        try:
            _run(arguments)
        except (KeyboardInterrupt, SystemExit):  # click makes an exit of an interrupt, with another code
            if Ending.asked:
                sys.exit(128 + Ending.asked)
            raise


def _run(arguments: Sequence[str] | None) -> None:
    try:
        app = make_app()
    except ModuleNotFoundError as error:
        print(
            f'sdfido: the command line needs {error.name}; install it with: pip install "sdfido[cli]"', file=sys.stderr
        )
        sys.exit(2)
    # What Pillow says of photos is without their names; what matters is told as an error.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    app(arguments)


def make_app() -> Typer:
    """The typer application, with a command for each module here."""
    import typer

    from . import audit, evaluate, explain, export, gallery, info, report

    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.command(help=explain.HELP)(explain.explain)
    app.command(help=evaluate.HELP)(evaluate.evaluate)
    app.command(help=audit.HELP)(audit.audit)
    app.command(help=report.HELP)(report.report)
    app.command(help=export.HELP)(export.export)
    app.command(help=gallery.HELP)(gallery.gallery)
    app.command()(explain.demo)
    app.command()(info.info)
    return app
