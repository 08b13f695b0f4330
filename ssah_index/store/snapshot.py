"""Snapshots: one committed state, pinned for the life of its reader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.codes import as_bitmap, complement
from ssah_index.store.deletions import read_deletions
from ssah_index.store.manifest import Manifest
from ssah_index.store.segment import Segment
from ssah_index.types import Bitmap, Failure, Modality


class Snapshot:
    """The segments of one generation; later commits do not change it.

    Parameters
    ----------
    store : Path
        The store's folder.
    manifest : Manifest
        The generation to pin.
    bits : int
        Code width.

    Raises
    ------
    CorruptError
        If a file is missing or of another size than the manifest says, or a list of
        deleted rows is altered.
    """

    def __init__(self, store: Path, manifest: Manifest, bits: int) -> None:
        self.manifest = manifest
        self.segments: list[Segment] = []
        first_row = 0
        for entry in manifest.segments:
            gone = manifest.deletions.get(entry.folder)
            deleted = BitMap() if gone is None else read_deletions(store, gone)
            segment = Segment(store, entry, bits // 8, first_row, deleted)
            segment.check()
            self.segments.append(segment)
            first_row += entry.rows
        self._borders = np.array([s.first_row for s in self.segments] + [first_row], np.int64)

    def __len__(self) -> int:
        """Rows of all segments, deleted ones included: one more than the last position."""
        return int(self._borders[-1])

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return sum(segment.live for segment in self.segments)

    @cached_property
    def live_rows(self) -> Bitmap | None:
        """Rows that are not deleted, as a bitmap of all rows; None if none is deleted."""
        if self.live == len(self):
            return None
        rows = [s.first_row + np.array(s.deleted, np.int64) for s in self.segments]
        return complement(as_bitmap(np.concatenate(rows), len(self)), len(self))

    def find(self, ids: Sequence[Any], modality: Modality | None = None) -> NDArray[np.int64]:
        """Rows that have one of the ids and are not deleted, ascending."""
        found = [np.empty(0, np.int64)]
        for segment in self.select(modality):
            rows = BitMap(segment.rows.find(ids)) - segment.deleted
            found.append(segment.first_row + np.array(rows, np.int64))
        return np.concatenate(found)

    @property
    def generation(self) -> int:
        """Its number."""
        return self.manifest.generation

    def select(self, modality: Modality | None) -> list[Segment]:
        """Segments of a modality (None: of any) with rows left, in order of insertion."""
        return [
            segment
            for segment in self.segments
            if segment.live and modality in (None, segment.entry.modality)
        ]

    def count(self, modality: Modality) -> int:
        """Rows of a modality that are not deleted."""
        return sum(segment.live for segment in self.select(modality))

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Rows by position in the snapshot, in the order asked for."""
        owners = np.searchsorted(self._borders, rows, side="right") - 1
        order = np.argsort(owners, kind="stable")
        parts = []
        for number in np.unique(owners):
            segment = self.segments[number]
            local = rows[owners == number] - segment.first_row
            parts.append(segment.rows.take(local, columns))
        if not parts:
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        return table.take(pa.array(np.argsort(order, kind="stable")))

    def failures(self) -> list[Failure]:
        """The whole ledger, in order of insertion."""
        return [failure for segment in self.segments for failure in segment.failures()]
