"""ssah-index import: codes that another tool made."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from ssah_index.cli.console import progress, say
from ssah_index.ingest import import_codes
from ssah_index.store import Policy
from ssah_index.types import MODALITIES, Modality


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--modality", type=click.Choice(MODALITIES), default="image", show_default=True)
@click.option(
    "--ids", type=click.Path(path_type=Path),
    help="Ids, one a line, or int64 in an .npy file.  [default: those of the file, or 0, 1, ...]",
)  # fmt: skip
@click.option(
    "--on-duplicate", type=click.Choice(["error", "skip", "replace"]), default="error",
    show_default=True, help="What becomes of a row whose id is there already.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    store: str,
    modality: Modality,
    ids: Path | None,
    on_duplicate: str,
    quiet: bool,
) -> None:
    """Bring the codes of SOURCE into STORE, which is made if there is none.

    SOURCE is an .npy file of packed codes, uint8 (n, nbytes); an .arrow or .parquet file with
    the columns code and id, and any others; or a Faiss file of an IndexBinaryFlat. An import
    that was interrupted goes on where it was.

    \b
    ssah-index import codes.npy codes.ssah --ids names.txt
    """
    with progress(quiet) as show:
        report = import_codes(
            source,
            store,
            modality=modality,
            ids=ids,
            on_duplicate=cast(Policy, on_duplicate),
            progress=show,
        )
    if not quiet:
        say(
            f"{store}: {report.written:,} rows written, {report.skipped:,} were there already, "
            f"{report.replaced:,} replaced"
        )
