"""Snapshots: one committed state, pinned for the life of its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.codes import as_bitmap, as_int64, check_modality, complement
from ssah_index.errors import QueryError, StoreError
from ssah_index.store.columns import base_schema, decode_columns
from ssah_index.store.deletions import read_deletions
from ssah_index.store.format import IdKind
from ssah_index.store.ids import ids_array
from ssah_index.store.indexes import IndexFiles
from ssah_index.store.ledger import standing_failures
from ssah_index.store.manifest import IndexEntry, Manifest, SegmentEntry, leave_aside
from ssah_index.store.place import Place
from ssah_index.store.rows import Ids
from ssah_index.store.segment import ORIGIN_FIELDS, Segment, SegmentFiles
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
    pin : callable
        From a generation's number to its snapshot, in whatever process this one is unpickled.

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
        pin: Callable[[int], Snapshot],
    ) -> None:
        self.manifest = manifest
        self._pin = pin
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
            except StoreError as error:
                leave_aside(str(error))
        self._borders = np.array([s.first_row for s in self.segments] + [first_row], np.int64)

    def __reduce__(self) -> tuple[Callable[[int], Snapshot], tuple[int]]:
        # Maps are of this process: another opens the files itself, of the same generation.
        return self._pin, (self.generation,)

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

    def find(self, ids: Any, modality: Modality | None = None) -> NDArray[np.int64]:
        """Rows that have one of the ids and are not deleted, ascending.

        Parameters
        ----------
        ids : str or int, or a sequence of them
            As `Store.delete` takes them.
        modality : {"image", "text"}, optional
            Of the rows; both when left out.

        Raises
        ------
        QueryError
            If an id is null or of another type than the store's: none is converted.
        """
        wanted = Ids.of(ids_array(ids, self._ids))
        found = [
            segment.first_row + np.array(segment.find(wanted), np.int64)
            for segment in self.select(modality)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])

    def has(self, ids: Any, modality: Modality) -> NDArray[np.bool_]:
        """Bool (len(ids),), True where a row of the modality has the id and is not deleted.

        ``ids`` and errors as `find` has them.
        """
        return self.locate(ids, modality) >= 0

    def locate(self, ids: Any, modality: Modality) -> NDArray[np.int64]:
        """Int64 (len(ids),): the row of the modality that has the id, -1 where none has.

        ``ids`` and errors as `find` has them.
        """
        return _locate(ids_array(ids, self._ids), self.select(modality))

    def lost(self, name: str, ids: pa.ChunkedArray, modality: Modality) -> NDArray[np.bool_]:
        """Of a batch that was appended under a name: True where no row has the id any more.

        Parameters
        ----------
        name : str
            As `Store.append` took it.
        ids : Arrow column (n,)
            Of all of the batch.
        modality : {"image", "text"}

        Returns
        -------
        bool (n,)

        Notes
        -----
        Most rows are where they were written: other segments are searched for the rest alone,
        and none if nothing was deleted from those that the batch went into.
        """
        parts = re.compile(f"{re.escape(name)}(-[0-9]{{6}})?")
        own = [
            segment
            for segment in self.segments
            if segment.entry.modality == modality
            and any(parts.fullmatch(one) for one in segment.entry.names)
        ]
        untouched = not any(segment.deleted or segment.entry.stands_for for segment in own)
        if untouched and sum(map(len, own)) == len(ids):
            return np.zeros(len(ids), np.bool_)
        wanted = ids_array(ids, self._ids)
        gone = _locate(wanted, own) < 0
        rest = wanted.filter(pa.array(gone))
        gone[gone] = _locate(rest, self.select(modality)) < 0
        return gone

    def select(self, modality: Modality | None) -> list[Segment]:
        """Segments of a modality (None: of any) with rows left, in order of insertion.

        Raises
        ------
        QueryError
            If there is no such modality.
        """
        check_modality(modality, any_of_them=True)
        return [
            segment
            for segment in self.segments
            if segment.live and modality in (None, segment.entry.modality)
        ]

    def count(self, modality: Modality) -> int:
        """Rows of a modality that are not deleted."""
        return sum(segment.live for segment in self.select(modality))

    def take(self, rows: Any, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows by position in the snapshot, in the order asked for.

        Parameters
        ----------
        rows : sequence of m integers
            Of any integer type; deleted ones can be taken, too.
        columns : sequence of str, optional
            All when left out.

        Raises
        ------
        QueryError
            If a row or a column is not there, or rows are no whole numbers.
        """
        fields = self._fields(columns)
        rows = as_int64(rows, "row")
        owners = self._owners(rows)
        order = np.argsort(owners, kind="stable")
        parts = [pa.schema(fields).empty_table()]
        for number in np.unique(owners):
            segment = self.segments[number]
            local = rows[owners == number] - segment.first_row
            parts.append(segment.rows.take(local, fields))
        table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        return table.take(pa.array(np.argsort(order, kind="stable")))

    def codes(self, rows: Any) -> Codes:
        """Codes by position in the snapshot, uint8 (m, nbytes), in the order asked for.

        Raises
        ------
        QueryError
            If a row is not there, or rows are no whole numbers.
        """
        rows = as_int64(rows, "row")
        owners = self._owners(rows)
        found = np.empty((len(rows), self.nbytes), np.uint8)
        for number in np.unique(owners):
            segment, own = self.segments[number], owners == number
            found[own] = segment.files.look_up(rows[own] - segment.first_row)
        return found

    def origins(self, rows: Any) -> NDArray[np.uint64]:
        """What rows were made of, uint64 (m, ORIGIN_FIELDS), zeros where it is unknown.

        Raises
        ------
        QueryError
            If a row is not there, or rows are no whole numbers.
        """
        rows = as_int64(rows, "row")
        owners = self._owners(rows)
        origins = np.zeros((len(rows), ORIGIN_FIELDS), np.uint64)
        for number in np.unique(owners):
            segment, own = self.segments[number], owners == number
            known = segment.files.origins
            if known is not None:
                origins[own] = known[rows[own] - segment.first_row]
        return origins

    def local_rows(self, rows: Any) -> dict[str, BitMap]:
        """Rows as positions in their segments, by the segment's folder.

        Raises
        ------
        QueryError
            If a row is not there, or rows are no whole numbers.
        """
        rows = as_int64(rows, "row")
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
        if isinstance(columns, str):
            columns = [columns]
        missing = [name for name in columns or () if name not in self.schema.names]
        if missing:
            raise QueryError(
                f"there is no column {', '.join(map(repr, missing))}",
                f"one of {', '.join(self.schema.names)}",
                "Correct the spelling.",
            )
        return [self.schema.field(name) for name in columns or self.schema.names]

    def failures(self) -> list[Failure]:
        """Rows that failed, by the last record of each; taken back ones are left out."""
        return standing_failures(
            record for segment in self.segments for record in segment.files.failures()
        )


def _locate(ids: pa.Array, segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Int64 (len(ids),): the row of the snapshot that has the id and is not deleted, or -1."""
    wanted = Ids.of(ids)
    located = np.full(len(ids), -1, np.int64)
    for segment in segments:
        positions, rows = wanted.meet(segment.rows.ids)
        live = segment.keep()[rows]
        located[positions[live]] = segment.first_row + rows[live]
    return located
