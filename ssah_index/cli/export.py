"""ssah-index export: codes and rows for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from ssah_index.cli.console import progress, say
from ssah_index.ingest import export
from ssah_index.store import Store, parse_generation
from ssah_index.types import MODALITIES, BitOrder, Modality


@click.command("export")
@click.argument("store")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--modality", type=click.Choice(MODALITIES), help="Of the rows.  [default: both]")
@click.option("--generation", help="An older state, by number or tag.  [default: the newest]")
@click.option(
    "--bitorder", type=click.Choice(["little", "big"]), default="little", show_default=True,
    help="Of the codes; big for tools that unpack them as numpy.unpackbits does.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    store: str,
    target: Path,
    modality: Modality | None,
    generation: str | None,
    bitorder: str,
    quiet: bool,
) -> None:
    """Write what STORE holds into TARGET, a .parquet, .arrow, .csv or .npy file.

    An .npy file has the codes alone, uint8 (n, nbytes); the others have every column. It
    appears once it is whole, in the place of a file of that name.

    \b
    ssah-index export photos.ssah photos.parquet --modality image
    """
    wanted = None if generation is None else parse_generation(generation)
    snapshot = Store.open(store).snapshot(wanted)
    with progress(quiet) as show:
        count = export(
            snapshot, target, modality=modality, bitorder=cast(BitOrder, bitorder), progress=show
        )
    if not quiet:
        say(f"{target}: {count:,} rows")
