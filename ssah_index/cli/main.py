"""The command group: loads a command's module only when that command runs."""

from __future__ import annotations

import sys
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from ssah_index import __version__
from ssah_index.cli.console import OutputClosed, say
from ssah_index.errors import (
    EncoderError,
    MissingExtraError,
    SsahError,
    StoreError,
    WriteFailedError,
)

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

EXIT_CODES = """\b
Exit codes:
  0    done
  1    query --exit-status: some query had no hit
  2    wrong usage or input
  3    done, but some rows failed; each is named and counted
       eval: or the codes have collapsed
  4    store or encoder missing, damaged or not matching; verify: damage was found
  5    disk full, read-only or not permitted
  130  interrupted
"""


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
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
)
@click.version_option(__version__, "--version", prog_name="ssah-index")
def group() -> None:
    r"""Turn images and texts into binary codes and search them by Hamming distance.

    \b
    ssah-index train photos/ encoder/
    ssah-index build photos/ photos.ssah --encoder encoder/
    echo "dog on a beach" | ssah-index query photos.ssah -k 5
    """


def exit_code(error: SsahError) -> int:
    """The exit code that tells a script what kind of error it was."""
    if isinstance(error, WriteFailedError):
        return 5
    if isinstance(error, (StoreError, EncoderError, MissingExtraError)):
        return 4
    return 2


def main(args: list[str] | None = None) -> Any:
    """Run the command line; the console script ``ssah-index``."""
    try:
        status = group.main(args, prog_name="ssah-index", standalone_mode=False)
    except click.exceptions.Abort:
        say("Interrupted.")
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except OutputClosed:
        status = 0
    except SsahError as error:
        say(f"Error: {error}")
        status = exit_code(error)
    sys.exit(status or 0)
