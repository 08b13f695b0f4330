"""ssah-index repair: what is whole of a damaged store."""

from __future__ import annotations

from dataclasses import asdict

import click

from ssah_index.cli.console import print_json, progress
from ssah_index.store import Store, repair


@click.command("repair")
@click.argument("store")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
def command(store: str, quiet: bool) -> None:
    """Publish a generation of STORE that has all that is whole, and say what is lost.

    Broken files, and generations that need them, are moved to quarantine/ in the store. Rows
    of segments that are gone as a whole come back with the build or append that brought
    them: run it again. Rows that are lost out of a segment are in the ledger
    (info --failures). Look at the damage first, with verify.
    """
    opened = Store.open(store)
    with progress(quiet) as show:
        report = repair(opened, show)
    print_json(asdict(report))
