"""Staging: a segment written durably under a name of its own attempt, and not yet published.

Two writers, or a killed one and the next, never meet in a folder; a segment exists for
readers only once a manifest names it.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssah_index.codes import check_modality
from ssah_index.errors import CodeError, SpecError, SsahError
from ssah_index.store.files import Seal, seal_file, sync_tree, write_file, writing
from ssah_index.store.ledger import LEDGER_SCHEMA
from ssah_index.store.manifest import LEDGER, ORIGIN, SUMMARY, SegmentEntry
from ssah_index.store.names import plain_name
from ssah_index.store.place import Place
from ssah_index.store.rows import write_rows
from ssah_index.store.segment import SEGMENTS
from ssah_index.store.shard import write_codes
from ssah_index.types import Codes, Failure, Modality


def stage_segment(  # noqa: PLR0913 (all that a segment has)
    place: Place,
    name: str,
    modality: Modality,
    codes: Codes,
    table: pa.Table,
    failures: Sequence[Failure] = (),
    *,
    origins: NDArray[np.uint64] | None = None,
    fingerprint: str | None = None,
    elapsed_s: float = 0.0,
    stands_for: tuple[str, ...] = (),
) -> SegmentEntry:
    """Write a segment durably, without publishing it.

    Parameters
    ----------
    place : Place
        The store's.
    name : str
        Logical name; a commit skips names that are already there.
    modality : {"image", "text"}
    codes : uint8 (n, nbytes), C-contiguous
    table : pyarrow.Table
        A row a code, in the same order; `items_table` and `rows_table` make it.
    failures : sequence of Failure
        Records for the ledger: rows that got no code, and rows that fail no more.
    origins : uint64 (n, ORIGIN_FIELDS), optional
        What each row was made of, as `SegmentFiles.origins` gives it back.
    fingerprint : str or None
        Of the encoder.
    elapsed_s : float
        Seconds spent reading and encoding, for segment.json.
    stands_for : tuple of str
        Logical names of the segments whose rows it has, if it replaces them.

    Returns
    -------
    SegmentEntry
        For `Store.commit`.

    Raises
    ------
    CodeError
        If there is not one code a row.
    SpecError
        If there is no such modality, or no folder can have the name.
    StoreMissingError, StoreReplacedError
        If the store was removed since it was opened.
    WriteFailedError
        If the disk is full or cannot be written.
    """
    check_modality(modality, SpecError)
    if len(codes) != table.num_rows:
        raise CodeError(
            f"{len(codes)} codes for {table.num_rows} rows",
            "one code a row, failed items left out",
            "Correct the encoder.",
        )
    _check_name(name)
    place.confirm()
    folder = place.root / SEGMENTS / f"{name}.{uuid.uuid4().hex[:8]}"
    below = f"{SEGMENTS}/{folder.name}"
    try:
        with writing(folder):
            folder.mkdir(parents=True)
            seals, checksums = _write_data(folder, modality, codes, table, failures, origins)
            facts = {"elapsed_s": round(elapsed_s, 3), "encoder": fingerprint}
            about = {**_counts(modality, len(codes), len(failures)), **facts}
            seals[SUMMARY] = _write_summary(folder, about, seals, checksums)
            sync_tree(folder)
        place.keep([f"{below}/{path}" for path in sorted(seals)])
    except BaseException:
        # No manifest names the folder, so no reader can have met it.
        with contextlib.suppress(SsahError):
            place.remove_folder(below)
        raise
    return SegmentEntry(
        name=name,
        folder=folder.name,
        modality=modality,
        rows=len(codes),
        failed=len(failures),
        sizes={path: s.size for path, s in sorted(seals.items())},
        xxh3=seals[SUMMARY].xxh3,
        stands_for=stands_for,
    )


def _counts(modality: Modality, written: int, failed: int) -> dict[str, Any]:
    """What segment.json says of the rows, for a person."""
    return {
        "modality": modality,
        "rows_read": written + failed,
        "rows_written": written,
        "rows_failed": failed,
    }


def _check_name(name: str) -> None:
    """Refuse a name that the folder, or a list of its deleted rows, could not have."""
    if not plain_name(f"{name}.{'0' * 8}.{'0' * 8}.roaring"):
        raise SpecError(
            f"a segment is to be called {name!r}"[:400],
            "a name of at most 229 bytes that does not begin with '.' and has no '/'",
            "Choose another name.",
        )


def _write_data(
    folder: Path,
    modality: Modality,
    codes: Codes,
    table: pa.Table,
    failures: Sequence[Failure],
    origins: NDArray[np.uint64] | None,
) -> tuple[dict[str, Seal], list[int]]:
    """Write all but segment.json; seals by path, and the CRC-32C of each chunk of codes."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"modality": modality}}
    seals, checksums = write_codes(folder, codes)
    seals["zarr.json"] = write_file(folder / "zarr.json", [json.dumps(group).encode()])
    seals |= write_rows(folder, table)
    if origins is not None and len(origins):
        content = origins.astype("<u8").tobytes()
        seals[ORIGIN] = write_file(folder / ORIGIN, [content])
    if failures:
        ledger = pa.Table.from_pylist([asdict(f) for f in failures], LEDGER_SCHEMA)
        pq.write_table(ledger, folder / LEDGER)
        seals[LEDGER] = seal_file(folder / LEDGER)
    return seals, checksums


def _write_summary(
    folder: Path, about: Mapping[str, object], seals: Mapping[str, Seal], checksums: Sequence[int]
) -> Seal:
    """Write segment.json, which has the hashes of all other files."""
    files = {path: asdict(seal) for path, seal in sorted(seals.items())}
    document = {**about, "files": files, "chunk_crc32c": checksums}
    return write_file(folder / SUMMARY, [json.dumps(document, indent=1).encode()])
