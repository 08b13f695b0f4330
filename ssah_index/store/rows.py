"""Rows beside the codes: an Arrow IPC file that is mapped, and the way from id to row.

Rows are read under MADV_RANDOM: a search asks for a few out of very many, and read-ahead
would fetch a hundred times what is wanted. Batches are taken from one by one: taking from
a chunked string column of a whole table overflows its 32-bit offsets.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError
from ssah_index.store.files import Seal, map_file, seal_file, write_file
from ssah_index.store.place import RESTORE

BATCH_ROWS = 1 << 20
ROWS = "rows.arrow"
ID_HASH = "idhash.u64"
ID_ROW = "idrow.u32"


def hash_ids(ids: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each id: XXH3-64 of UTF-8 bytes, or of int64 the last step of SplitMix64.

    Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014,
    with Stafford's variant 13 of the constants.
    """
    if not pa.types.is_integer(ids.type):
        keys = ids.cast(pa.binary()).to_pylist()
        return np.fromiter(map(xxhash.xxh3_64_intdigest, keys), np.uint64, len(keys))
    x: NDArray[np.uint64] = ids.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def write_rows(folder: Path, table: pa.Table) -> dict[str, Seal]:
    """Write rows.arrow, idhash.u64 and idrow.u32 into a new segment folder."""
    path = folder / ROWS
    table = table.unify_dictionaries()  # an IPC file holds one dictionary a column
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start in range(0, table.num_rows, BATCH_ROWS):
            # Readers find a row's batch by division, so each but the last must be full.
            writer.write_table(table.slice(start, BATCH_ROWS).combine_chunks())
    hashes = hash_ids(combined(table.column("id")))
    order = np.argsort(hashes, kind="stable").astype("<u4")
    return {
        ROWS: seal_file(path),
        ID_HASH: write_file(folder / ID_HASH, [hashes[order].astype("<u8").tobytes()]),
        ID_ROW: write_file(folder / ID_ROW, [order.tobytes()]),
    }


def combined(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


class Ids:
    """The sorted hashes of some ids, and the ids by position: one side of a meeting.

    Parameters
    ----------
    hashes : uint64 (n,)
        Ascending.
    order : integer (n,)
        The position that each hash belongs to.
    take : callable
        From positions to their ids, as an Arrow array.
    """

    def __init__(
        self,
        hashes: NDArray[np.uint64],
        order: NDArray[Any],
        take: Callable[[NDArray[np.int64]], pa.Array],
    ) -> None:
        self.hashes = hashes
        self.order = order
        self.take = take

    @classmethod
    def of(cls, ids: pa.Array) -> Ids:
        """The side of an array of ids."""
        hashes = hash_ids(ids)
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order, lambda positions: ids.take(pa.array(positions)))

    def meet(self, other: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of positions, here and there, that have one id; in no order.

        The shorter side is looked up in the longer one: b ids among n cost b searches of
        log n steps, and a segment of few rows costs little whatever is looked for. The hash
        narrows the search and the id itself decides.
        """
        if len(self.hashes) > len(other.hashes):
            there, here = other.meet(self)
            return here, there
        first = np.searchsorted(other.hashes, self.hashes, "left")
        inside = first < len(other.hashes)
        inside[inside] = other.hashes[first[inside]] == self.hashes[inside]
        if not inside.any():
            return np.empty(0, np.int64), np.empty(0, np.int64)
        own, first = np.flatnonzero(inside), first[inside]
        counts = np.searchsorted(other.hashes, self.hashes[own], "right") - first
        owner = np.repeat(np.arange(len(own)), counts)
        within = np.arange(len(owner)) - np.repeat(counts.cumsum() - counts, counts)
        here = self.order[own[owner]].astype(np.int64)
        there = other.order[first[owner] + within].astype(np.int64)
        same = pc.equal(self.take(here), other.take(there)).to_numpy(zero_copy_only=False)
        keep = same.astype(np.bool_)
        return here[keep], there[keep]


class Rows:
    """The rows of one segment, mapped.

    Parameters
    ----------
    folder : Path
        A segment folder whose file sizes have been checked.
    """

    def __init__(self, folder: Path) -> None:
        mapped = map_file(folder / ROWS, mmap.MADV_RANDOM)
        try:
            self._reader = pa.ipc.open_file(pa.py_buffer(mapped))
        except pa.ArrowInvalid as error:
            raise CorruptError(
                f"{folder / ROWS} cannot be read ({error})",
                "an Arrow IPC file",
                RESTORE,
            ) from error
        self._folder = folder

    @property
    def schema(self) -> pa.Schema:
        """Column names and types."""
        return self._reader.schema

    def take(self, rows: NDArray[np.int64], columns: Sequence[pa.Field]) -> pa.Table:
        """Rows by position, in the order asked for.

        Parameters
        ----------
        rows : int64 (m,)
            Positions in this segment.
        columns : sequence of Field
            Those that this segment does not have are null.

        Returns
        -------
        pyarrow.Table
            m rows.
        """
        schema = pa.schema(list(columns))
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        batches = ordered // BATCH_ROWS
        taken = []
        for number in np.unique(batches):
            batch = _conformed(self._reader.get_batch(int(number)), schema)
            taken.append(batch.take(pa.array(ordered[batches == number] % BATCH_ROWS)))
        table = pa.Table.from_batches(taken, schema=schema).unify_dictionaries()
        return table.combine_chunks().take(pa.array(np.argsort(order, kind="stable")))

    def filter(self, keep: NDArray[np.bool_], columns: Sequence[pa.Field]) -> pa.Table:
        """Rows where ``keep``, bool (n,), is True; the rest as `take`."""
        schema = pa.schema(list(columns))
        parts = [
            _conformed(batch, schema).filter(pa.array(keep[start : start + batch.num_rows]))
            for start, batch in self.batches()
        ]
        return pa.Table.from_batches(parts, schema=schema).unify_dictionaries()

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows, mapped, batch by batch, with the position of a batch's first row."""
        for number in range(self._reader.num_record_batches):
            yield number * BATCH_ROWS, self._reader.get_batch(number)

    @cached_property
    def ids(self) -> Ids:
        """The ids, for look-ups; their hashes are mapped."""
        if not len(self):
            return Ids(np.empty(0, np.uint64), np.empty(0, np.uint32), self._take_ids)
        hashes = np.frombuffer(map_file(self._folder / ID_HASH, mmap.MADV_RANDOM), "<u8")
        order = np.frombuffer(map_file(self._folder / ID_ROW, mmap.MADV_RANDOM), "<u4")
        return Ids(hashes, order, self._take_ids)

    def _take_ids(self, rows: NDArray[np.int64]) -> pa.Array:
        return combined(self.take(rows, [self.schema.field("id")]).column("id"))

    def __len__(self) -> int:
        if not self._reader.num_record_batches:
            return 0
        last: int = self._reader.num_record_batches - 1
        return last * BATCH_ROWS + int(self._reader.get_batch(last).num_rows)


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns of a schema, those it does not have null."""
    return pa.RecordBatch.from_arrays(
        [
            batch.column(field.name)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
