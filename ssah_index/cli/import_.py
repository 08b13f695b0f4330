"""ssah-index import: codes that another tool made."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from ssah_index.cli.console import progress, say
from ssah_index.ingest import import_codes
from ssah_index.store import Policy
from ssah_index.types import MODALITIES, BitOrder, Modality


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--modality", type=click.Choice(MODALITIES), default="image", show_default=True)
@click.option(
    "--ids", type=click.Path(path_type=Path),
    help="Ids, one a line in UTF-8, where a line ends in \\n alone; or int64 in an .npy file.  "
    "[default: those of the file, or 0, 1, ...]",
)  # fmt: skip
@click.option(
    "--on-duplicate", type=click.Choice(["error", "skip", "replace"]), default="error",
    show_default=True, help="What becomes of a row whose id is there already.",
)  # fmt: skip
@click.option(
    "--bitorder", type=click.Choice(["little", "big"]), default="little", show_default=True,
    help="Of packed codes: little has bit 0 at the low end of byte 0, as our codes; big at its "
    "high end, as numpy.packbits packs unless told otherwise.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    store: str,
    modality: Modality,
    ids: Path | None,
    on_duplicate: str,
    bitorder: str,
    quiet: bool,
) -> None:
    """Bring the codes of SOURCE into STORE, which is made if there is none.

    SOURCE is an .npy file of packed codes, uint8 (n, nbytes), or of bits, bool (n, bits); an
    .arrow or .parquet file with the columns code and id, and any others; or a Faiss file of an
    IndexBinaryFlat. Ids are taken as they are, never converted. Codes from numpy.packbits are
    of --bitorder big, unless it was called with bitorder="little".

    An import that was interrupted goes on where it was. A file that was imported before is not
    imported again, but for rows that were deleted since: they come back, and are counted.

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
            bitorder=cast(BitOrder, bitorder),
            progress=show,
        )
    if not quiet:
        back = f" ({report.restored:,} of them had been deleted)" if report.restored else ""
        say(
            f"{store}: {report.written:,} rows written{back}, {report.skipped:,} were there "
            f"already, {report.replaced:,} replaced"
        )
