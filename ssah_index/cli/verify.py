"""ssah-index verify: every byte of a store against its hashes."""

from __future__ import annotations

from dataclasses import asdict

import click

from ssah_index.cli.console import print_lines, progress, say
from ssah_index.index.stored import verify_indexes
from ssah_index.store import Store, verify


@click.command("verify")
@click.argument("store")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(store: str, quiet: bool) -> int:
    """Read all of STORE and compare it with the hashes taken when it was written.

    Damage is printed as JSONL, with the file, the segment and, among codes, the rows that
    are touched; then the exit code is 4.
    """
    with progress(quiet) as told:
        opened = Store.open(store)
        damages = verify(opened, told)
    if not damages:  # an index is worth a look only where all else is whole
        damages = list(verify_indexes(opened))
    print_lines(asdict(damage) for damage in damages)
    say(f"{len(damages)} damages found" if damages else "all is as it was written")
    return 4 if damages else 0
