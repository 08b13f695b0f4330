"""The command group: loads a command's module only when that command runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click

from ssah_index import __version__
from ssah_index.cli.console import say
from ssah_index.cli.faults import exit_codes_help, report
from ssah_index.cli.streams import OutputClosed, guarded

PROGRAM = "ssah-index"
COMPLETION = "_SSAH_INDEX_COMPLETE"
"""Set by a shell that asks click for completions."""
COMMANDS = {
    "train": "Train an encoder on pairs of images and texts.",
    "build": "Build a store from a folder of images or a table of texts.",
    "append": "Add the items of another source to a store.",
    "import": "Bring codes of other tools into a store.",
    "export": "Write the codes and rows of a store for other tools.",
    "index": "Build an index of a store, so that a search looks at few codes.",
    "query": "Find the nearest items to texts, images or codes.",
    "eval": "Judge a store by labelled items that it does not hold.",
    "delete": "Delete rows of a store by id.",
    "compact": "Drop deleted rows and merge small segments.",
    "gc": "Remove files that no state worth keeping needs.",
    "history": "List the states a store has been in.",
    "repair": "Publish what is whole of a damaged store, and say what is lost.",
    "verify": "Check every byte of a store against its hashes.",
    "info": "Show what a store holds, and which rows failed.",
    "demo": "Train, build and query on real icons, start to end.",
}
"""Commands and their short help; each lives in the module of its name (import_ for import)."""


def load_command(name: str) -> click.Command:
    """Import one command."""
    module = import_module(f"ssah_index.cli.{name}{'_' if iskeyword(name) else ''}")
    command: click.Command = module.command
    return command


class LazyGroup(click.Group):
    """A group that imports a command only to run it, so that --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return load_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    epilog=exit_codes_help(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
)
@click.version_option(__version__, "--version", prog_name=PROGRAM)
def group() -> None:
    """Turn images and texts into binary codes and search them by Hamming distance.

    \b
    ssah-index train photos/ encoder/
    ssah-index build photos/ photos.ssah --encoder encoder/
    echo "dog on a beach" | ssah-index query photos.ssah -k 5
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of `faults.EXIT_CODES`."""
    with guarded():
        status = _status(sys.argv[1:] if args is None else args)
    sys.exit(status)


def _status(args: list[str]) -> int:
    try:
        return _run(args)
    except (KeyboardInterrupt, click.exceptions.Abort):
        say("Interrupted.")
        return 130
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OutputClosed:
        return 0
    except Exception as error:  # the one place that tells users from bugs
        return report(error)


def _run(args: list[str]) -> int:
    """What click's own main does, which would call an EOFError an interrupt."""
    if COMPLETION in os.environ:
        group.main(args, prog_name=PROGRAM)
    with group.make_context(PROGRAM, args) as context:
        return group.invoke(context) or 0
