"""ssah-index append: more items into a store."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from ssah_index.cli.console import progress
from ssah_index.cli.outcome import tell_done, tell_interrupted, terminable
from ssah_index.cli.source import read_source, source_options
from ssah_index.ingest import BuildSpec, SourceSpec, append, check_target
from ssah_index.store import Policy, Store


@click.command("append")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("store")
@source_options
@click.option(
    "--on-duplicate", type=click.Choice(["error", "skip", "replace"]), default="error",
    show_default=True, help="What becomes of an item whose id is there with other content.",
)  # fmt: skip
@click.option(
    "--share-rows", default=BuildSpec().share_rows, show_default=True,
    help="Rows of SOURCE after which what is encoded is committed.",
)  # fmt: skip
@click.option(
    "--share-s", default=BuildSpec().share_s, show_default=True,
    help="Seconds after which what is encoded is committed.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    store: str,
    spec: SourceSpec,
    on_duplicate: str,
    share_rows: int,
    share_s: float,
    quiet: bool,
) -> int:
    """Add the items of SOURCE to STORE, or go on with an append that was interrupted.

    SOURCE is what build reads; the encoder is the store's own. Items that are there as they
    are now are left alone. Of those that differ from what is there, --on-duplicate error
    stops before anything is encoded, skip leaves them out, and replace puts new rows in the
    place of old ones.

    \b
    ssah-index append photos/ photos.ssah --on-duplicate skip
    """
    cut = BuildSpec(share_rows=share_rows, share_s=share_s)
    opened = Store.open(store)
    encoder = opened.load_encoder()
    check_target(opened, encoder)  # what does not fit is told before SOURCE is read
    reader = read_source(source, spec, quiet)
    policy = cast(Policy, on_duplicate)
    try:
        with terminable(), progress(quiet) as show:
            report = append(reader, opened, encoder, on_duplicate=policy, spec=cut, progress=show)
    except KeyboardInterrupt:
        return tell_interrupted(store)
    return tell_done(store, report, quiet)
