"""ssah-index build: a folder or table in, a store out."""

from __future__ import annotations

from pathlib import Path

import click

from ssah_index.cli.console import progress
from ssah_index.cli.outcome import tell_done, tell_interrupted, terminable
from ssah_index.cli.source import read_source, source_options
from ssah_index.ingest import BuildSpec, SourceSpec, build, open_target
from ssah_index.plugins import load_encoder


@click.command("build")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("store")
@click.option(
    "--encoder", "encoder_folder", required=True, type=click.Path(path_type=Path),
    help="Encoder folder, as train writes it.",
)  # fmt: skip
@source_options
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
    encoder_folder: Path,
    spec: SourceSpec,
    share_rows: int,
    share_s: float,
    quiet: bool,
) -> int:
    """Build STORE from SOURCE, or bring one up to date: what has no row in STORE is encoded.

    SOURCE is a folder of images, with texts beside them or without, or a table of texts
    (.jsonl, .csv, .tsv, .parquet). Rows that fail are counted and kept with their reasons. The
    same command again goes on where it was interrupted, takes up what is new in SOURCE, and
    tries again what failed.
    """
    cut = BuildSpec(share_rows=share_rows, share_s=share_s)
    encoder = load_encoder(encoder_folder)
    open_target(store, encoder)  # what cannot be written is told before SOURCE is read
    reader = read_source(source, spec, quiet)
    try:
        with terminable(), progress(quiet) as show:
            report = build(reader, store, encoder, spec=cut, progress=show)
    except KeyboardInterrupt:
        return tell_interrupted(store)
    return tell_done(store, report, quiet)
