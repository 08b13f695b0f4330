"""Rows beside the codes: an Arrow IPC file that is mapped, and the way from id to row.

Rows are read under MADV_RANDOM: a search asks for a few out of very many, and read-ahead
would fetch a hundred times what is wanted. Batches are taken from one by one: taking from
a chunked string column of a whole table overflows its 32-bit offsets.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError, SsahError
from ssah_index.store.arrow import FEW, check_batch, check_values
from ssah_index.store.column_types import conform
from ssah_index.store.columns import base_schema
from ssah_index.store.files import THREADS, Seal, at_once, map_file, seal_file, write_file
from ssah_index.store.format import IdKind
from ssah_index.store.place import RESTORE

BATCH_ROWS = 1 << 20
SPARSE = 1024
"""Rows for each id that is looked up, from which interpolation pays."""
MANY = 64
"""Ids there for each that is looked up, up to which all of them may be read."""
TAKE_ROWS = 32
"""Rows that a thread takes at a time."""
CHECK_ROWS = 128
"""Rows that a thread checks at a time, at least: it costs 0.15 ms, however few they are."""
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
    ids = Ids.of(combined(table.column("id")))
    return {
        ROWS: seal_file(path),
        ID_HASH: write_file(folder / ID_HASH, [ids.hashes.astype("<u8").tobytes()]),
        ID_ROW: write_file(folder / ID_ROW, [ids.order.astype("<u4").tobytes()]),
    }


def combined(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def search_uniform(hashes: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """What np.searchsorted gives, by interpolation where few are wanted out of very many.

    Hashes are spread evenly, so that a guess is some pages off and the next one lies in the
    right page: two or three pages of a mapped file are read for each, where halving would
    read one at almost every step.
    """
    n = len(hashes)
    if n < SPARSE * len(wanted) or n < SPARSE:
        return np.searchsorted(hashes, wanted)
    density = n / 2.0**64
    place = wanted.astype(np.float64) * density
    for _ in range(2):
        at = np.clip(place, 0, n - 1).astype(np.int64)
        place = at + (wanted.astype(np.float64) - hashes[at].astype(np.float64)) * density
    at = np.clip(place, 0, n - 1).astype(np.int64)
    low, high, width = at.copy(), at.copy(), 32
    # Widen until low lies before the place and high at it or behind.
    while True:
        early = (low > 0) & (hashes[low] >= wanted)
        late = (high < n) & (hashes[np.minimum(high, n - 1)] < wanted)
        if not (early.any() or late.any()):
            break
        low = np.where(early, np.maximum(low - width, 0), low)
        high = np.where(late, np.minimum(high + width, n), high)
        width *= 2
    while (low < high).any():
        middle = (low + high) // 2
        less = (low < high) & (hashes[np.minimum(middle, n - 1)] < wanted)
        low, high = np.where(less, middle + 1, low), np.where(less, high, np.minimum(high, middle))
    return low


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
    pieces : callable
        All ids, in Arrow arrays.
    """

    def __init__(
        self,
        hashes: NDArray[np.uint64],
        order: NDArray[Any],
        take: Callable[[NDArray[np.int64]], pa.Array],
        pieces: Callable[[], Iterable[pa.Array]],
    ) -> None:
        self.hashes = hashes
        self.order = order
        self.take = take
        self._pieces = pieces

    @classmethod
    def of(cls, ids: pa.Array) -> Ids:
        """The side of an array of ids."""
        hashes = hash_ids(ids)
        order = np.argsort(hashes)
        return cls(
            hashes[order], order, lambda positions: ids.take(pa.array(positions)), lambda: [ids]
        )

    @cached_property
    def ends(self) -> tuple[int, int] | None:
        """The least and the greatest id, where ids are numbers."""
        if not len(self.hashes) or not all(pa.types.is_integer(p.type) for p in self._pieces()):
            return None
        found = [pc.min_max(piece).as_py() for piece in self._pieces() if len(piece)]
        return min(ends["min"] for ends in found), max(ends["max"] for ends in found)

    def _apart(self, other: Ids) -> bool:
        """Whether all ids here are less than all there, or greater: so are running numbers."""
        if len(other.hashes) > MANY * len(self.hashes):  # finding its ends would cost more
            return False
        here, there = self.ends, other.ends
        if here is None or there is None:
            return False
        return here[1] < there[0] or there[1] < here[0]

    def meet(self, other: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs of positions, here and there, that have one id; in no order.

        The shorter side is looked up in the longer one: b ids among n cost b searches of
        log n steps, and a segment of few rows costs little whatever is looked for. The hash
        narrows the search and the id itself decides.
        """
        if len(self.hashes) > len(other.hashes):
            there, here = other.meet(self)
            return here, there
        if self._apart(other):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        first = search_uniform(other.hashes, self.hashes)
        inside = first < len(other.hashes)
        inside[inside] = other.hashes[first[inside]] == self.hashes[inside]
        if not inside.any():
            return np.empty(0, np.int64), np.empty(0, np.int64)
        own, first = np.flatnonzero(inside), first[inside]
        counts = np.searchsorted(other.hashes, self.hashes[own], "right") - first
        if (counts < 0).any():
            raise CorruptError(
                "hashes of ids do not ascend", "a segment as it was written", RESTORE
            )
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
    n : int
        Rows that it has.
    ids : {"string", "int64"}
        What the store's keys are.

    Raises
    ------
    CorruptError
        If there is no Arrow file of so many rows with the columns of a store; every method, if
        what it reads is not sound.
    """

    def __init__(self, folder: Path, n: int, ids: IdKind) -> None:
        self._folder = folder
        self._n = n
        mapped = map_file(folder / ROWS, mmap.MADV_RANDOM)
        with self._sound():
            self._reader = pa.ipc.open_file(pa.py_buffer(mapped))
            names = self._reader.schema.names
            if len(set(names)) < len(names):
                raise pa.ArrowInvalid("a column comes twice")
            self._needed = [field.name for field in base_schema(ids) if not field.nullable]
            for field in base_schema(ids):
                there = self._reader.schema.field(field.name).type
                if there != field.type:
                    raise pa.ArrowInvalid(f"column {field.name} is {there}, not {field.type}")
            if self._reader.num_record_batches != -(-n // BATCH_ROWS):
                raise pa.ArrowInvalid(f"{self._reader.num_record_batches} batches of {n} rows")

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        """Turn what Arrow says of a file that is not sound into one of our errors."""
        try:
            yield
        except SsahError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
            raise CorruptError(
                f"{self._folder / ROWS} cannot be read ({error})"[:400],
                f"an Arrow IPC file of {self._n} rows, as it was written",
                RESTORE,
            ) from error

    def _batch(self, number: int) -> pa.RecordBatch:
        """A batch, mapped, whose values are not checked."""
        batch = self._reader.get_batch(number)
        expected = min(BATCH_ROWS, self._n - number * BATCH_ROWS)
        if batch.num_rows != expected:
            raise pa.ArrowInvalid(f"batch {number} has {batch.num_rows} rows, not {expected}")
        for name in self._needed:
            if batch.column(name).null_count:
                raise pa.ArrowInvalid(f"batch {number} has rows without {name}")
        return batch

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
        if len(rows) and not 0 <= rows.min() <= rows.max() < self._n:
            raise CorruptError(
                f"{self._folder} has {self._n} rows, and row {rows.max()} is asked for",
                "rows that it has",
                RESTORE,
            )
        with self._sound():
            return self._taken(rows, pa.schema(list(columns)))

    def _taken(self, rows: NDArray[np.int64], schema: pa.Schema) -> pa.Table:
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        batches = ordered // BATCH_ROWS

        def take(piece: tuple[pa.RecordBatch, NDArray[np.int64]]) -> pa.RecordBatch:
            # Cast what is taken, not the whole batch.
            return _conformed(piece[0].take(pa.array(piece[1])), schema)

        there = [name for name in self.schema.names if name in schema.names]
        pieces, unchecked = [], []
        for number in np.unique(batches):
            batch = self._batch(int(number)).select(there)
            own = ordered[batches == number] % BATCH_ROWS
            few = FEW * len(own) < batch.num_rows
            check_batch(batch, full=not few)
            step = max(-(-len(own) // THREADS), CHECK_ROWS)
            unchecked += [(batch, own[i : i + step]) for i in range(0, len(own) * few, step)]
            pieces += [(batch, own[i : i + TAKE_ROWS]) for i in range(0, len(own), TAKE_ROWS)]
        at_once(lambda piece: check_values(*piece), unchecked)
        taken = pa.Table.from_batches(at_once(take, pieces), schema=schema)
        table = taken.unify_dictionaries().combine_chunks()
        table.validate(full=True)  # of the few rows that were taken: is all text UTF-8?
        return table.take(pa.array(np.argsort(order, kind="stable")))

    def filter(self, keep: NDArray[np.bool_], columns: Sequence[pa.Field]) -> pa.Table:
        """Rows where ``keep``, bool (n,), is True; the rest as `take`."""
        schema = pa.schema(list(columns))
        with self._sound():
            parts = [
                _conformed(batch, schema).filter(pa.array(keep[start : start + batch.num_rows]))
                for start, batch in self.batches(schema.names)
            ]
            return pa.Table.from_batches(parts, schema=schema).unify_dictionaries()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows, mapped, batch by batch, with the position of a batch's first row.

        All their values are checked, of the columns that are named if any are.
        """
        for number in range(self._reader.num_record_batches):
            with self._sound():
                batch = self._batch(number)
                wanted = [name for name in batch.schema.names if columns and name in columns]
                batch = batch.select(wanted) if columns else batch
                batch.validate(full=True)
            yield number * BATCH_ROWS, batch

    @cached_property
    def ids(self) -> Ids:
        """The ids, for look-ups; their hashes are mapped."""
        if not len(self):
            none = np.empty(0, np.uint64), np.empty(0, np.uint32)
            return Ids(*none, self._take_ids, self._all_ids)
        hashes = np.frombuffer(map_file(self._folder / ID_HASH, mmap.MADV_RANDOM), "<u8")
        order = np.frombuffer(map_file(self._folder / ID_ROW, mmap.MADV_RANDOM), "<u4")
        if (len(hashes), len(order)) != (self._n, self._n):
            raise CorruptError(
                f"{self._folder} has {len(hashes)} hashes of ids and {len(order)} rows to them",
                f"{self._n}, one a row",
                RESTORE,
            )
        return Ids(hashes, order, self._take_ids, self._all_ids)

    def _all_ids(self) -> Iterator[pa.Array]:
        return (batch.column("id") for _, batch in self.batches(["id"]))

    def _take_ids(self, rows: NDArray[np.int64]) -> pa.Array:
        return combined(self.take(rows, [self.schema.field("id")]).column("id"))

    def __len__(self) -> int:
        return self._n


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns of a schema: cast to their types, or null if they are not there."""
    return pa.RecordBatch.from_arrays(
        [
            conform(batch.column(field.name), field.type)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )
