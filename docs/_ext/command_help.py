"""A directive that renders the help of a command of the command line: ```` ```{command-help} explain ````."""

from typing import Any

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandHelp(SphinxDirective):
    """Usage, description and options of the command that the argument names, as the program itself has them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        import typer.main

        from sdfido.cli import make_app

        group = typer.main.get_command(make_app())
        name = self.arguments[0]
        command = group.commands[name]  # type: ignore[attr-defined]
        context = click.Context(command, info_name=f"sdfido {name}")
        text = f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n\n{command.help or ''}\n\n"
        text += "\n".join(described(parameter, context) for parameter in command.params)
        lines = StringList(text.splitlines(), source=f"sdfido {name} --help")
        node = nodes.Element()
        self.state.nested_parse(lines, self.content_offset, node)
        return node.children


def described(parameter: click.Parameter, context: click.Context) -> str:
    """One entry of a definition list."""
    about = getattr(parameter, "help", None) or ""
    if isinstance(parameter, click.Option):
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
        default = parameter.get_default(context)
        if default is not None and not parameter.is_flag:
            about += f" Default: {default}."
    else:
        names = f"`{parameter.make_metavar(context)}`"
    return f"{names}\n: {about or '–'}\n"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
