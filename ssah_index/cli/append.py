"""ssah-index append: more items into a store."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from ssah_index.cli.console import progress, say
from ssah_index.ingest import BuildSpec, append, open_reader
from ssah_index.store import Policy, Store


@click.command("append")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--table", help="Table of path and text; default: the one in SOURCE, or .txt files.")
@click.option(
    "--on-duplicate", type=click.Choice(["error", "skip", "replace"]), default="error",
    show_default=True, help="What becomes of an item whose id is there already.",
)  # fmt: skip
@click.option(
    "--share-rows", default=BuildSpec().share_rows, show_default=True,
    help="Rows a commit covers.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path, store: str, table: str | None, on_duplicate: str, share_rows: int, quiet: bool
) -> int:
    """Add the items of SOURCE to STORE, or go on with an append that was interrupted.

    SOURCE is what build reads; the encoder is the store's own. With --on-duplicate skip,
    only items that are new are encoded; with replace, new rows take the place of old ones.

    \b
    ssah-index append photos/ photos.ssah --on-duplicate skip
    """
    opened = Store.open(store)
    encoder = opened.load_encoder()
    reader = open_reader(source, table)
    with progress(quiet) as show:
        report = append(
            reader,
            opened,
            encoder,
            on_duplicate=cast(Policy, on_duplicate),
            spec=BuildSpec(share_rows=share_rows),
            progress=show,
        )
    if not quiet:
        say(
            f"{store}: {report.written:,} rows written in {report.elapsed_s:.1f} s, "
            f"{report.skipped:,} were there already, {report.replaced:,} replaced"
        )
    if report.failed:
        say(f"{report.failed:,} rows failed; see them with: ssah-index info {store} --failures")
    return 3 if report.failed else 0
