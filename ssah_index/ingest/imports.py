"""Import: codes that other tools made, into a store.

Pieces are committed one by one, under names made of the source's hash, so that an import
that was cut off goes on where it was. Rows of it that were deleted since are brought back.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.codes import check_modality
from ssah_index.errors import RowsError, SpecError, StoreMissingError
from ssah_index.ingest.code_files import CodeFile, read_code_file
from ssah_index.ingest.files import hash_file
from ssah_index.store import Policy, Store, check_policy
from ssah_index.types import BitOrder, Modality, Progress, no_progress

BATCH_ROWS = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import did."""

    written: int
    """Rows that are there now and were not before."""
    skipped: int
    """Rows that were left out: their ids were there, or an earlier run had brought them."""
    replaced: int
    """Rows that new ones of their ids took the place of."""
    restored: int
    """Of the rows written, those that an earlier run had brought and that were deleted since."""


def import_codes(
    source: Path,
    path: str | os.PathLike[str],
    *,
    modality: Modality = "image",
    ids: Path | None = None,
    on_duplicate: Policy = "error",
    bitorder: BitOrder = "little",
    progress: Progress = no_progress,
) -> ImportReport:
    r"""Bring codes that another tool made into a store, which is made if there is none.

    Parameters
    ----------
    source : Path
        ``.npy``: uint8 (n, nbytes), or bool (n, bits). ``.arrow`` or ``.parquet``: columns
        ``code`` (fixed_size_binary) and ``id``; others come along, as `Store.append` takes
        them. Anything else: a Faiss IndexBinaryFlat, plain or in an IndexBinaryIDMap.
    path : path or URL
        The store.
    modality : {"image", "text"}
        What the codes were made from.
    ids : Path, optional
        For npy and plain Faiss files: ids, one a line, or int64 in a ``.npy`` file. Lines are
        UTF-8 and end in ``\n`` alone. Without it, ids are row numbers from 0.
    on_duplicate : {"error", "skip", "replace"}
        As `Store.append` takes it.
    bitorder : {"little", "big"}
        Of packed codes: "big" for what np.packbits packs unless told otherwise. Faiss has no
        order: it is that of whoever packed them.
    progress : Progress, optional
        Told of rows.

    Raises
    ------
    SourceError
        If the source or the file of ids cannot be read, or ids do not fit it.
    SpecError
        If there is no such modality or policy.
    CodeError, RowsError, DuplicateIdError, ConflictError, WriteFailedError
        As `Store.append` does; pieces that were committed before stay.

    Notes
    -----
    What was imported before is not imported again, but for rows whose ids no row of the
    modality has any more: those were deleted since, and are appended again in the order of
    the file.
    """
    check_modality(modality, SpecError)
    check_policy(on_duplicate)
    found = read_code_file(source, ids, bitorder)
    store = _open_or_create(path, found)
    if store.format.ids != found.kind:
        raise RowsError(
            f"{store.place} has {store.format.ids} ids, and those of {ids or source} are "
            f"{found.kind}" + " (row numbers, since it has none)" * found.numbered,
            f"{store.format.ids} ids: none is converted",
            "Bring ids of that type in a file of ids or a column, or import into another store.",
        )
    digest = hash_file(source) + (hash_file(ids) if ids else "")
    digest += "-big" * (found.bitorder == "big")
    before, n = store.snapshot(), len(found.codes)
    present = {name for entry in before.manifest.segments for name in entry.names}
    written = skipped = replaced = restored = 0
    for number, start in enumerate(range(0, n, BATCH_ROWS)):
        codes = found.codes[start : start + BATCH_ROWS]
        piece = replace(found, codes=codes, rows=found.rows.slice(start, BATCH_ROWS))
        name = f"import-{digest}-{number:06d}-{modality}"
        again = name in present
        if again:
            gone = before.lost(name, piece.rows.column("id"), modality)
            piece, name = _chosen(piece, gone), f"{name}-{uuid.uuid4().hex[:8]}"
            skipped += min(BATCH_ROWS, n - start) - len(piece.codes)
        if len(piece.codes) or not again:
            report = store.append(
                piece.codes, piece.rows, modality,
                on_duplicate=on_duplicate, name=name, bitorder=piece.bitorder,
            )  # fmt: skip
            written += report.written
            restored += report.written if again else 0
            skipped += report.skipped + report.deleted
            replaced += report.replaced
        progress(min(start + BATCH_ROWS, n), n, "rows")
    return ImportReport(written=written, skipped=skipped, replaced=replaced, restored=restored)


def _chosen(piece: CodeFile, rows: NDArray[np.bool_]) -> CodeFile:
    return replace(piece, codes=piece.codes[rows], rows=piece.rows.filter(pa.array(rows)))


def _open_or_create(path: str | os.PathLike[str], found: CodeFile) -> Store:
    try:
        return Store.open(path)
    except StoreMissingError:
        return Store.create(path, bits=8 * found.codes.shape[1], ids=found.kind)
