"""ssah-index build: a folder or table in, a store out."""

from __future__ import annotations

from pathlib import Path

import click

from ssah_index.cli.console import progress, say
from ssah_index.cli.source import read_source, source_options
from ssah_index.ingest import BuildSpec, SourceSpec, build
from ssah_index.plugins import load_encoder
from ssah_index.store import Store


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
    help="Rows a commit covers.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    store: str,
    encoder_folder: Path,
    spec: SourceSpec,
    share_rows: int,
    quiet: bool,
) -> int:
    """Build STORE from SOURCE, or go on with a build that was interrupted.

    SOURCE is a folder of images, with texts beside them or without, or a table of texts
    (.jsonl, .csv, .tsv, .parquet). Rows that fail are counted and kept with their reasons.
    """
    build_spec = BuildSpec(share_rows=share_rows)
    encoder = load_encoder(encoder_folder)
    reader = read_source(source, spec, quiet)
    with progress(quiet) as show:
        report = build(reader, store, encoder, spec=build_spec, progress=show)
    if not quiet:
        already = f", {report.skipped:,} were there already" if report.skipped else ""
        say(f"{store}: {report.written:,} rows written in {report.elapsed_s:.1f} s{already}")
        snapshot = Store.open(store).snapshot()
        say(f"{snapshot.count('image'):,} images and {snapshot.count('text'):,} texts")
    if report.failed:
        say(f"{report.failed:,} rows failed; see them with: ssah-index info {store} --failures")
    return 3 if report.failed else 0
