"""Snapshots: one committed state, pinned for the life of its reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.codes import as_bitmap, complement
from ssah_index.errors import CorruptError, QueryError
from ssah_index.store.columns import base_schema, decode_columns, ids_array
from ssah_index.store.deletions import read_deletions
from ssah_index.store.format import IdKind
from ssah_index.store.indexes import IndexFiles
from ssah_index.store.manifest import IndexEntry, Manifest, SegmentEntry, leave_aside
from ssah_index.store.place import Place
from ssah_index.store.rows import Ids
from ssah_index.store.segment import Segment, SegmentFiles
from ssah_index.types import Bitmap, Codes, Failure, Modality


class Snapshot:
    """The segments of one generation; later commits do not change it.

    Parameters
    ----------
    place : Place
        The store's.
    manifest : Manifest
        The generation to pin.
    ids : {"string", "int64"}
        What the store's keys are.
    nbytes : int
        Bytes of a code.
    open_files : callable
        From an entry to its files, opened and checked.
    open_index : callable
        The same for an index.

    Raises
    ------
    CorruptError
        If a file is missing or of another size than the manifest says, or a list of
        deleted rows is altered.
    """

    def __init__(
        self,
        place: Place,
        manifest: Manifest,
        ids: IdKind,
        nbytes: int,
        open_files: Callable[[SegmentEntry], SegmentFiles],
        open_index: Callable[[IndexEntry], IndexFiles],
    ) -> None:
        self.manifest = manifest
        self.segments: list[Segment] = []
        self.nbytes = nbytes
        self._ids = ids
        first_row = 0
        for entry in manifest.segments:
            gone = manifest.deletions.get(entry.folder)
            deleted = BitMap() if gone is None else read_deletions(place, gone, entry.rows)
            self.segments.append(Segment(open_files(entry), first_row, deleted))
            first_row += entry.rows
        self.indexes: list[IndexFiles] = []
        for index in manifest.indexes:
            try:
                self.indexes.append(open_index(index))
            except CorruptError as error:
                leave_aside(str(error))
        self._borders = np.array([s.first_row for s in self.segments] + [first_row], np.int64)

    def __len__(self) -> int:
        """Rows of all segments, deleted ones included: one more than the last position."""
        return int(self._borders[-1])

    @property
    def generation(self) -> int:
        """Its number."""
        return self.manifest.generation

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

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns: the store's own, then the users'."""
        return pa.schema([*base_schema(self._ids), *decode_columns(self.manifest.columns)])

    def find(
        self, ids: Sequence[Any] | pa.Array, modality: Modality | None = None
    ) -> NDArray[np.int64]:
        """Rows that have one of the ids and are not deleted, ascending."""
        wanted = Ids.of(ids_array(ids, self._ids))
        found = [
            segment.first_row + np.array(segment.find(wanted), np.int64)
            for segment in self.select(modality)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])

    def has(self, ids: Sequence[Any] | pa.Array, modality: Modality) -> NDArray[np.bool_]:
        """Bool (len(ids),), True where a row of the modality has the id and is not deleted."""
        wanted = Ids.of(ids_array(ids, self._ids))
        there = np.zeros(len(wanted.hashes), np.bool_)
        for segment in self.select(modality):
            positions, rows = wanted.meet(segment.rows.ids)
            there[positions[segment.keep()[rows]]] = True
        return there

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

    def take(self, rows: NDArray[np.int64], columns: Sequence[str] | None = None) -> pa.Table:
        """Rows by position in the snapshot, in the order asked for.

        Parameters
        ----------
        rows : int64 (m,)
            Deleted ones can be taken, too.
        columns : sequence of str, optional
            All when left out.

        Raises
        ------
        QueryError
            If a row or a column is not there.
        """
        fields = self._fields(columns)
        owners = self._owners(rows)
        order = np.argsort(owners, kind="stable")
        parts = [pa.schema(fields).empty_table()]
        for number in np.unique(owners):
            segment = self.segments[number]
            local = rows[owners == number] - segment.first_row
            parts.append(segment.rows.take(local, fields))
        table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        return table.take(pa.array(np.argsort(order, kind="stable")))

    def codes(self, rows: NDArray[np.int64]) -> Codes:
        """Codes by position in the snapshot, uint8 (m, nbytes), in the order asked for.

        Raises
        ------
        QueryError
            If a row is not there.
        """
        owners = self._owners(rows)
        found = np.empty((len(rows), self.nbytes), np.uint8)
        for number in np.unique(owners):
            segment, own = self.segments[number], owners == number
            found[own] = segment.files.look_up(rows[own] - segment.first_row)
        return found

    def local_rows(self, rows: NDArray[np.int64]) -> dict[str, BitMap]:
        """Rows as positions in their segments, by the segment's folder.

        Raises
        ------
        QueryError
            If a row is not there.
        """
        owners = self._owners(rows)
        found = {}
        for number in np.unique(owners):
            segment = self.segments[number]
            found[segment.entry.folder] = BitMap(rows[owners == number] - segment.first_row)
        return found

    def _owners(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each row's segment."""
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise QueryError(
                f"rows from {rows.min()} to {rows.max()} are asked for",
                f"rows of a snapshot of {len(self)}",
                "Take row numbers from a search of this very snapshot.",
            )
        return np.searchsorted(self._borders, rows, side="right") - 1

    def _fields(self, columns: Sequence[str] | None) -> list[pa.Field]:
        missing = [name for name in columns or () if name not in self.schema.names]
        if missing:
            raise QueryError(
                f"there is no column {', '.join(map(repr, missing))}",
                f"one of {', '.join(self.schema.names)}",
                "Correct the spelling.",
            )
        return [self.schema.field(name) for name in columns or self.schema.names]

    def failures(self) -> list[Failure]:
        """The whole ledger, in order of insertion."""
        return [failure for segment in self.segments for failure in segment.files.failures()]
