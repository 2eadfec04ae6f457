"""A directive that renders the help of a command of the command line: ```` ```{command-help} explain ````."""

import re
from typing import Any

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

        group: Any = typer.main.get_command(make_app())
        name = self.arguments[0]
        command = group.commands[name]
        usage = command.get_usage(command.make_context(f"sdfido {name}", [], resilient_parsing=True))
        about = "\n".join(map(marked, (command.help or "").splitlines()))
        text = f"```text\n{usage.removeprefix('Usage: ')}\n```\n\n{about}\n\n"
        text += "\n".join(map(described, command.params))
        lines = StringList(text.splitlines(), source=f"sdfido {name} --help")
        node = nodes.Element()
        self.state.nested_parse(lines, self.content_offset, node)
        return node.children


def marked(line: str) -> str:
    """A line of Markdown with its options as code; what is indented is code already."""
    return line if line.startswith("    ") else re.sub(r"(?<![\w-])--[a-z][a-z0-9-]*", r"`\g<0>`", line)


def described(parameter: Any) -> str:
    """A parameter of a command as an entry of a definition list."""
    about = marked(parameter.help or "–")
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name}`\n: {about}\n"
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    default = "" if parameter.default is None or parameter.is_flag else f" Default: `{parameter.default}`."
    return f"{names}\n: {about}{default}\n"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
