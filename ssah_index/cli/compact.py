"""ssah-index compact: deleted rows dropped, small segments merged."""

from __future__ import annotations

from dataclasses import asdict

import click

from ssah_index.cli.console import print_json
from ssah_index.store import Store, compact


@click.command("compact")
@click.argument("store")
def command(store: str) -> None:
    """Rewrite what has deleted rows or small neighbours in STORE, in one commit.

    Answers stay as they are, but for row numbers. The old files go with gc.
    """
    print_json(asdict(compact(Store.open(store))))
