"""Snapshots: one committed state, pinned for the life of its reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.store.manifest import Manifest
from ssah_index.store.segment import Segment
from ssah_index.types import Failure, Modality


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
        If a file is missing or of another size than the manifest says.
    """

    def __init__(self, store: Path, manifest: Manifest, bits: int) -> None:
        self.manifest = manifest
        self.segments: list[Segment] = []
        first_row = 0
        for entry in manifest.segments:
            segment = Segment(store, entry, bits // 8, first_row)
            segment.check()
            self.segments.append(segment)
            first_row += entry.rows
        self._borders = np.array([s.first_row for s in self.segments] + [first_row], np.int64)

    def __len__(self) -> int:
        """Rows of all segments."""
        return int(self._borders[-1])

    @property
    def generation(self) -> int:
        """Its number."""
        return self.manifest.generation

    def select(self, modality: Modality | None) -> list[Segment]:
        """Segments of a modality (None: of any) that have codes, in order of insertion."""
        return [
            segment
            for segment in self.segments
            if len(segment) and modality in (None, segment.entry.modality)
        ]

    def count(self, modality: Modality) -> int:
        """Rows of a modality."""
        return sum(len(segment) for segment in self.select(modality))

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
