"""Import: codes that other tools made, from npy, Arrow, Parquet and Faiss files.

Pieces are committed one by one, under names made of the source's hash, so that an import
that was cut off goes on where it was. Files are mapped; Parquet and Faiss are read whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssah_index.codes import as_codes
from ssah_index.errors import MissingExtraError, SourceError, SsahError, StoreMissingError
from ssah_index.ingest.files import hash_file
from ssah_index.store import IdKind, Policy, Store
from ssah_index.types import Codes, Modality, Progress, no_progress

BATCH_ROWS = 1 << 20
TABLES = (".parquet", ".arrow")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import did."""

    written: int
    """Rows that are there now and were not before."""
    skipped: int
    """Rows that were left out: their ids were there, or an earlier run had brought them."""
    replaced: int
    """Rows that new ones of their ids took the place of."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Codes to import: all of them, and rows by range."""

    codes: Codes
    rows: pa.Table


def import_codes(
    source: Path,
    path: str | os.PathLike[str],
    *,
    modality: Modality = "image",
    ids: Path | None = None,
    on_duplicate: Policy = "error",
    progress: Progress = no_progress,
) -> ImportReport:
    """Bring codes that another tool made into a store, which is made if there is none.

    Parameters
    ----------
    source : Path
        ``.npy``: uint8 (n, nbytes). ``.arrow`` or ``.parquet``: columns ``code``
        (fixed_size_binary) and ``id``; others come along, as `Store.append` takes them.
        Anything else: a Faiss IndexBinaryFlat, plain or in an IndexBinaryIDMap.
    path : path or URL
        The store.
    modality : {"image", "text"}
        What the codes were made from.
    ids : Path, optional
        For npy and plain Faiss files: ids, one a line, or int64 in a ``.npy`` file. Without
        it, ids are row numbers from 0.
    on_duplicate : {"error", "skip", "replace"}
        As `Store.append` takes it.
    progress : Progress, optional
        Told of rows.

    Raises
    ------
    SourceError
        If the source cannot be read, or ids do not fit it.
    CodeError, RowsError, DuplicateIdError, ConflictError, WriteFailedError
        As `Store.append` does; pieces that were committed before stay.
    """
    read = _read_table if source.suffix.lower() in TABLES else _read_codes
    try:
        found = read(source, ids)
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        if isinstance(error, SsahError):
            raise
        raise SourceError(
            f"{source} cannot be read ({error})",
            "a .npy, .arrow or .parquet file, or a Faiss IndexBinaryFlat",
            "Look at the file.",
        ) from error
    store = _open_or_create(path, found)
    digest = hash_file(source) + (hash_file(ids) if ids else "")
    written = skipped = replaced = 0
    for number, start in enumerate(range(0, len(found.codes), BATCH_ROWS)):
        report = store.append(
            found.codes[start : start + BATCH_ROWS],
            found.rows.slice(start, BATCH_ROWS),
            modality,
            on_duplicate=on_duplicate,
            name=f"import-{digest}-{number:06d}-{modality}",
        )
        written += report.written
        skipped += report.skipped
        replaced += report.replaced
        progress(min(start + BATCH_ROWS, len(found.codes)), len(found.codes), "rows")
    return ImportReport(written=written, skipped=skipped, replaced=replaced)


def _open_or_create(path: str | os.PathLike[str], found: _Source) -> Store:
    try:
        return Store.open(path)
    except StoreMissingError:
        kind = "int64" if pa.types.is_integer(found.rows.schema.field("id").type) else "string"
        return Store.create(path, bits=8 * found.codes.shape[1], ids=cast(IdKind, kind))


def _read_table(source: Path, ids: Path | None) -> _Source:
    if ids is not None:
        raise SourceError(f"{ids} beside {source}", "ids in the column id", "Leave out the ids.")
    if source.suffix.lower() == ".parquet":
        table = pq.read_table(source, memory_map=True)
    else:
        with pa.memory_map(str(source)) as mapped:
            try:
                table = pa.ipc.open_file(mapped).read_all()
            except pa.ArrowInvalid:
                mapped.seek(0)
                table = pa.ipc.open_stream(mapped).read_all()
    missing = {"code", "id"} - set(table.column_names)
    if missing:
        raise SourceError(
            f"{source} has no column {' and '.join(sorted(missing))} but "
            f"{', '.join(table.column_names)}",
            "columns code and id",
            "Rename columns.",
        )
    return _Source(as_codes(table.column("code")), table.drop_columns(["code"]))


def _read_codes(source: Path, ids: Path | None) -> _Source:
    if source.suffix.lower() == ".npy":
        codes, keys = as_codes(np.load(source, mmap_mode="r")), None
    else:
        codes, keys = _read_faiss(source)
    if ids is not None:
        if keys is not None:
            raise SourceError(f"{source} has ids of its own", "no other ids", "Leave them out.")
        lines = ids.suffix.lower() != ".npy"
        keys = pa.array(ids.read_text("utf-8").splitlines() if lines else np.load(ids))
        if len(keys) != len(codes):
            raise SourceError(f"{len(keys)} ids in {ids}", f"{len(codes)}, as codes", "Correct it.")
    if keys is None:
        keys = pa.array(np.arange(len(codes)))
    return _Source(codes, pa.table({"id": keys}))


def _read_faiss(source: Path) -> tuple[Codes, pa.Array | None]:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            f"{source} is read by Faiss, which is not installed",
            "faiss-cpu, or a file that ends in .npy, .arrow or .parquet",
            "Run: pip install 'ssah-index[faiss]'",
        ) from error
    try:
        index = faiss.read_index_binary(str(source))
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    keys, inner = None, index
    if isinstance(index, (faiss.IndexBinaryIDMap, faiss.IndexBinaryIDMap2)):
        keys = pa.array(faiss.vector_to_array(index.id_map))
        inner = faiss.downcast_IndexBinary(index.index)  # lives as long as its owner
    if not isinstance(inner, faiss.IndexBinaryFlat):
        raise ValueError(f"a Faiss {type(inner).__name__}, not an IndexBinaryFlat")
    flat: Any = inner  # its stubs leave out xb
    return faiss.vector_to_array(flat.xb).reshape(-1, flat.code_size), keys
