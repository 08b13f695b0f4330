"""ssah-index delete: rows out of a store, by id."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ssah_index.cli.console import print_json
from ssah_index.errors import QueryError
from ssah_index.store import Store, parse_ids, read_ids
from ssah_index.types import MODALITIES, Modality


@click.command("delete")
@click.argument("store")
@click.argument("ids", nargs=-1)
@click.option("--modality", type=click.Choice(MODALITIES), help="Of the rows.  [default: both]")
@click.option(
    "-0", "--null", is_flag=True,
    help="Ids on standard input end in NUL, not in a newline: the only way to pass one there "
    "that has a newline, ends in \\r, or begins with a byte order mark.",
)  # fmt: skip
def command(store: str, ids: Sequence[str], modality: Modality | None, null: bool) -> None:
    """Delete the rows of STORE that have one of the IDS, in one commit.

    IDS are the arguments, or else the lines of standard input: each line is one id, byte for
    byte, in UTF-8, and ends in \\n alone. Lines that end in \\r\\n are refused. Ids that are
    numbers are plain digits, such as 42 or -7 (behind -- as an argument). Ids that are not
    there are no error: the count that is printed says how many rows were deleted. Searches
    that are under way, and older generations, still have the rows.

    \b
    ssah-index delete photos.ssah a.jpg b.jpg
    ssah-index query photos.ssah --text "rain" --format ids | ssah-index delete photos.ssah
    """
    opened = Store.open(store)
    if not ids:
        if sys.stdin is None or sys.stdin.isatty():
            raise QueryError(
                "there is no id",
                "ids as arguments, or on the lines of standard input",
                "Try: ssah-index delete STORE ID",
            )
        ids = read_ids(sys.stdin.buffer.read(), "standard input", null=null)
    deleted = opened.delete(parse_ids(ids, opened.format.ids), modality)
    print_json({"deleted": deleted, "generation": opened.newest().generation})
