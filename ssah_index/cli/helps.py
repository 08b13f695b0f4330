"""The help of every command as one page: ``python -m ssah_index.cli.helps > docs/cli.md``."""

from __future__ import annotations

import click

from ssah_index.cli.console import print_text
from ssah_index.cli.main import COMMANDS, group, load_command

WIDTH = 90
"""Characters of a line, as the commands have them on a wide terminal."""


def page() -> str:
    """docs/cli.md: the group's help, then each command's."""
    whole = group.make_context("ssah-index", [], resilient_parsing=True)
    parts = ["# Commands", _block(group, whole)]
    for name in COMMANDS:
        command = load_command(name)
        own = command.make_context(name, [], parent=whole, resilient_parsing=True)
        parts += [f"## {name}", _block(command, own)]
    return "\n\n".join(parts) + "\n"


def _block(command: click.Command, context: click.Context) -> str:
    context.terminal_width = WIDTH
    return f"```text\n{command.get_help(context).rstrip()}\n```"


if __name__ == "__main__":
    print_text(page())
