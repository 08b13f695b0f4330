"""Segments: immutable shards of rows of one modality, each a Zarr v3 group.

A segment is staged under a name of its own attempt, so that two writers or a killed one
never meet in a folder, and it exists for readers only once a manifest names it.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pyroaring import BitMap

from ssah_index.codes import to_words
from ssah_index.errors import CodeError, CorruptError
from ssah_index.store.files import Seal, fsync_folder, make_folder, seal_file, write_file, writing
from ssah_index.store.manifest import SegmentEntry
from ssah_index.store.rows import Rows, rows_table, write_rows
from ssah_index.store.shard import prefetch_codes, read_codes, write_codes
from ssah_index.types import Codes, Failure, Item, Modality, Words

LEDGER = "failed.parquet"
LEDGER_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "source", "modality", "reason")])


def stage_segment(
    store: Path,
    name: str,
    modality: Modality,
    codes: Codes,
    items: Sequence[Item],
    failures: Sequence[Failure],
    *,
    fingerprint: str | None,
    elapsed_s: float,
) -> SegmentEntry:
    """Write a segment durably, without publishing it.

    Parameters
    ----------
    store : Path
        The store's folder.
    name : str
        Logical name; a commit skips names that are already there.
    modality : {"image", "text"}
    codes : uint8 (n, nbytes), C-contiguous
    items : sequence of Item
        One a code, in the same order.
    failures : sequence of Failure
        Rows of this share that got no code; kept in failed.parquet.
    fingerprint : str or None
        Of the encoder.
    elapsed_s : float
        Seconds spent reading and encoding, for segment.json.

    Returns
    -------
    SegmentEntry
        For `Store.commit`.

    Raises
    ------
    CodeError
        If there is not one code an item.
    WriteFailedError
        If the disk is full or cannot be written.
    """
    if len(codes) != len(items):
        raise CodeError(
            f"{len(codes)} codes for {len(items)} items",
            "one code an item, failed items left out",
            "Correct the encoder.",
        )
    table = rows_table(items, modality)
    return stage_rows(
        store, name, modality, codes, table, failures, fingerprint=fingerprint, elapsed_s=elapsed_s
    )


def stage_rows(
    store: Path,
    name: str,
    modality: Modality,
    codes: Codes,
    table: pa.Table,
    failures: Sequence[Failure],
    *,
    fingerprint: str | None,
    elapsed_s: float,
    stands_for: tuple[str, ...] = (),
) -> SegmentEntry:
    """Write a segment of rows that are a table already; the rest as `stage_segment`.

    Parameters
    ----------
    table : pyarrow.Table
        A row a code, in the same order.
    stands_for : tuple of str
        Logical names of the segments whose rows it has.
    """
    folder = store / "segments" / f"{name}.{uuid.uuid4().hex[:8]}"
    try:
        with writing(folder):
            make_folder(folder)
            seals, checksums = _write_data(folder, modality, codes, table, failures)
            summary = {
                "modality": modality,
                "rows_read": len(codes) + len(failures),
                "rows_written": len(codes),
                "rows_failed": len(failures),
                "elapsed_s": round(elapsed_s, 3),
                "encoder": fingerprint,
                "files": {path: asdict(seal) for path, seal in sorted(seals.items())},
                "chunk_crc32c": checksums,
            }
            seal = write_file(folder / "segment.json", [json.dumps(summary, indent=1).encode()])
            for path in (folder, folder.parent):
                fsync_folder(path)
    except BaseException:
        # No manifest names the folder, so no reader can have met it.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    seals["segment.json"] = seal
    return SegmentEntry(
        name=name,
        folder=folder.name,
        modality=modality,
        rows=len(codes),
        failed=len(failures),
        sizes={path: s.size for path, s in sorted(seals.items())},
        xxh3=seal.xxh3,
        stands_for=stands_for,
    )


def _write_data(
    folder: Path,
    modality: Modality,
    codes: Codes,
    table: pa.Table,
    failures: Sequence[Failure],
) -> tuple[dict[str, Seal], list[int]]:
    """Write all but segment.json; seals by path, and the CRC-32C of each chunk of codes."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"modality": modality}}
    seals, checksums = write_codes(folder, codes)
    seals["zarr.json"] = write_file(folder / "zarr.json", [json.dumps(group).encode()])
    seals |= write_rows(folder, table)
    if failures:
        ledger = pa.Table.from_pylist([asdict(f) for f in failures], LEDGER_SCHEMA)
        pq.write_table(ledger, folder / LEDGER)
        seals[LEDGER] = seal_file(folder / LEDGER)
    return seals, checksums


class Segment:
    """One segment, opened for reading; files are mapped when first used.

    Parameters
    ----------
    store : Path
        The store's folder.
    entry : SegmentEntry
        As the manifest names it.
    nbytes : int
        Bytes of a code.
    first_row : int
        Position of its first row in the snapshot.
    deleted : BitMap
        Positions in the segment that are deleted in the snapshot.
    """

    def __init__(
        self, store: Path, entry: SegmentEntry, nbytes: int, first_row: int, deleted: BitMap
    ) -> None:
        self.entry = entry
        self.deleted = deleted
        self.first_row = first_row
        self._folder = store / "segments" / entry.folder
        self._nbytes = nbytes

    def __len__(self) -> int:
        """Rows, deleted ones included: positions stay."""
        return self.entry.rows

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.entry.rows - len(self.deleted)

    def check(self) -> None:
        """Compare every file's existence and size, and segment.json's hash, with the manifest.

        Cheap enough for every open: no code and no row is read, so an altered byte among
        them is not noticed here.

        Raises
        ------
        CorruptError
            Naming the first file that is missing or not as it was written.
        """
        for name, size in self.entry.sizes.items():
            path = self._folder / name
            try:
                actual = path.stat().st_size
            except FileNotFoundError:
                raise CorruptError(
                    f"{path} is missing", f"{size} bytes", "Restore it, or build the store again."
                ) from None
            if actual != size:
                raise CorruptError(
                    f"{path} has {actual} bytes",
                    f"{size} bytes",
                    "Restore it, or build the store again.",
                )

        path = self._folder / "segment.json"
        if xxhash.xxh3_64_hexdigest(path.read_bytes()) != self.entry.xxh3:
            raise CorruptError(
                f"{path} is altered",
                f"content of hash {self.entry.xxh3}",
                "Restore it, or build the store again.",
            )

    @cached_property
    def codes(self) -> Codes:
        """uint8 (n, nbytes), mapped read-only."""
        return read_codes(self._folder, self.entry.rows, self._nbytes)

    @cached_property
    def words(self) -> Words:
        """uint64 (n, words); a view of the map when nbytes is a multiple of 8."""
        return to_words(self.codes)

    def prefetch(self) -> None:
        """Have the codes read ahead, before a scan comes to them."""
        prefetch_codes(self._folder)

    @cached_property
    def rows(self) -> Rows:
        """Ids, sources, texts and labels."""
        return Rows(self._folder)

    def failures(self) -> list[Failure]:
        """The ledger of this segment."""
        if not self.entry.failed:
            return []
        records: list[dict[str, Any]] = pq.read_table(self._folder / LEDGER).to_pylist()
        return [Failure(**record) for record in records]
