"""ssah-index export: codes and rows for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from ssah_index.cli.console import progress, say
from ssah_index.ingest import export
from ssah_index.store import Store
from ssah_index.types import MODALITIES, Modality


@click.command("export")
@click.argument("store")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--modality", type=click.Choice(MODALITIES), help="Of the rows.  [default: both]")
@click.option("--generation", help="An older state, by number or tag.  [default: the newest]")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    store: str, target: Path, modality: Modality | None, generation: str | None, quiet: bool
) -> None:
    """Write what STORE holds into TARGET, a .parquet, .arrow, .csv or .npy file.

    An .npy file has the codes alone, uint8 (n, nbytes); the others have every column.

    \b
    ssah-index export photos.ssah photos.parquet --modality image
    """
    wanted = int(generation) if generation and generation.isdecimal() else generation
    snapshot = Store.open(store).snapshot(wanted)
    with progress(quiet) as show:
        count = export(snapshot, target, modality=modality, progress=show)
    if not quiet:
        say(f"{target}: {count:,} rows")
