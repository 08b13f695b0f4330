"""Who keeps rows on disk: ssah-index, Lance and Delta, each behind the same four calls.

All get the same rows, and are used as their users would for speed:

- ours: `Store.append` of 2^24 rows at a time, a segment and a commit each; ids are its keys anyway.
- Lance: one `write_dataset` of all batches, files of 2^24 rows, then a BTREE index of the ids.
- Delta: one `write_deltalake` of all batches, snappy, with bloom filters of the ids, read through
  its own query engine. It knows no positions of rows.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import ssah_index
from benchmarks.store_rows import LOOKED_UP, NBYTES, SCHEMA, codes_of
from ssah_index.store import SegmentEntry, Snapshot, Store, stage_segment
from ssah_index.store.columns import rows_table

Add: TypeAlias = Callable[[pa.RecordBatch], object]
OWN_BATCHES = 16
LANCE_FILE_ROWS = 1 << 24
DELTA_GROUP_ROWS = 1 << 20


class Table(Protocol):
    """A table that is open for look-ups."""

    def __len__(self) -> int:
        """Rows."""

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """Id, text and code of rows by position."""

    def find(self, ids: NDArray[np.int64]) -> pa.Table:
        """Id, text and code of rows by id, in any order."""


class Contender(Protocol):
    """Someone who keeps tables in folders."""

    durable: bool
    """Whether what is acknowledged was flushed to the disk."""
    unique: bool
    """Whether an append refuses ids that are there."""
    packages: tuple[str, ...]
    """Whose versions count."""

    def write(self, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """Write a whole table, of batches of 2^20 rows."""

    def index(self, folder: Path) -> None:
        """Make what look-ups by id need, if writing has not made it."""

    def create(self, folder: Path) -> None:
        """Make an empty table."""

    def adder(self, folder: Path) -> Add:
        """What appends batches to a table that is there, each in a commit of its own."""

    def open(self, folder: Path) -> Table:
        """Open a table."""


class Ours:
    """ssah-index."""

    durable = True
    unique = True
    packages: tuple[str, ...] = ("pyarrow",)

    def write(self, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
        store = Store.create(folder, bits=8 * NBYTES, ids="int64")
        for some in _grouped(batches, OWN_BATCHES):
            store.append(*codes_and_rows(some))

    def stage(self, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """Write a whole table by segments that are staged first, and one commit of all."""
        store = Store.create(folder, bits=8 * NBYTES, ids="int64")
        store.commit([staged(store, some) for some in _grouped(batches, OWN_BATCHES)])

    def index(self, folder: Path) -> None:
        """Nothing: every segment has its own."""

    def create(self, folder: Path) -> None:
        Store.create(folder, bits=8 * NBYTES, ids="int64")

    def adder(self, folder: Path) -> Add:
        store = Store.open(folder)
        return lambda batch: store.append(*codes_and_rows([batch]))

    def open(self, folder: Path) -> OurTable:
        return OurTable(ssah_index.Store.open(folder).snapshot())


def codes_and_rows(batches: Sequence[pa.RecordBatch]) -> tuple[NDArray[np.uint8], pa.Table]:
    """What `Store.append` takes, of some batches."""
    codes = np.concatenate([codes_of(batch) for batch in batches])
    return codes, pa.Table.from_batches(batches).drop_columns("code")


def staged(store: Store, batches: Sequence[pa.RecordBatch]) -> SegmentEntry:
    """A segment of some batches, written and flushed, and not yet published."""
    codes, table = codes_and_rows(batches)
    rows = rows_table(table, len(codes), "image", "int64")
    return stage_segment(store.place, f"part-{uuid.uuid4().hex}", "image", codes, rows)


class OurTable:
    """A snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __len__(self) -> int:
        return len(self._snapshot)

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        table = self._snapshot.take(rows, ["id", "text"])
        codes = pa.py_buffer(self._snapshot.codes(rows))
        column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(NBYTES), len(rows), [None, codes])
        return table.append_column("code", column)

    def find(self, ids: NDArray[np.int64]) -> pa.Table:
        return self.take(self._snapshot.find(pa.array(ids)))


class Lance:
    """Lance's own format, through pylance."""

    durable = False
    unique = False
    packages: tuple[str, ...] = ("pylance",)

    def write(self, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
        import lance

        reader = pa.RecordBatchReader.from_batches(SCHEMA, batches)
        lance.write_dataset(reader, folder, max_rows_per_file=LANCE_FILE_ROWS)

    def index(self, folder: Path) -> None:
        import lance

        lance.dataset(folder).create_scalar_index("id", "BTREE")

    def create(self, folder: Path) -> None:
        import lance

        lance.write_dataset([], folder, schema=SCHEMA)

    def adder(self, folder: Path) -> Add:
        import lance

        add: Add = lance.dataset(folder).insert
        return add

    def open(self, folder: Path) -> LanceTable:
        import lance

        return LanceTable(lance.dataset(folder))


class LanceTable:
    """An open dataset."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return int(self._dataset.count_rows())

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        return self._dataset.take(pa.array(rows), columns=LOOKED_UP)

    def find(self, ids: NDArray[np.int64]) -> pa.Table:
        wanted = f"id IN ({', '.join(map(str, ids.tolist()))})"
        return self._dataset.to_table(columns=LOOKED_UP, filter=wanted)


class Delta:
    """Parquet files under a Delta log, through deltalake."""

    durable = False
    unique = False
    packages: tuple[str, ...] = ("deltalake",)

    def write(self, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
        from deltalake import (
            BloomFilterProperties,
            ColumnProperties,
            WriterProperties,
            write_deltalake,
        )

        bloom = BloomFilterProperties(True, fpp=0.01, ndv=DELTA_GROUP_ROWS)
        properties = WriterProperties(
            compression="SNAPPY",
            max_row_group_size=DELTA_GROUP_ROWS,
            column_properties={
                "id": ColumnProperties(dictionary_enabled=False, bloom_filter_properties=bloom),
                "code": ColumnProperties(dictionary_enabled=False),
                "text": ColumnProperties(dictionary_enabled=False),
            },
        )
        reader = pa.RecordBatchReader.from_batches(_DELTA_SCHEMA, map(_for_delta, batches))
        write_deltalake(folder, reader, writer_properties=properties)

    def index(self, folder: Path) -> None:
        """Nothing: it has none but the filters in its files."""

    def create(self, folder: Path) -> None:
        from deltalake import DeltaTable

        DeltaTable.create(folder, _DELTA_SCHEMA)

    def adder(self, folder: Path) -> Add:
        from deltalake import DeltaTable, write_deltalake

        table = DeltaTable(folder)
        return lambda batch: write_deltalake(table, _for_delta(batch), mode="append")

    def open(self, folder: Path) -> DeltaRows:
        from deltalake import DeltaTable

        return DeltaRows(DeltaTable(folder))


_DELTA_SCHEMA = pa.schema(
    [field.with_type(pa.binary()) if field.name == "code" else field for field in SCHEMA]
)
"""Delta has no binary of fixed size."""


def _for_delta(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.cast(_DELTA_SCHEMA)


class DeltaRows:
    """An open Delta table."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.count())

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        raise NotImplementedError("it knows no positions of rows")

    def find(self, ids: NDArray[np.int64]) -> pa.Table:
        from deltalake import QueryBuilder

        wanted = f"id IN ({', '.join(map(str, ids.tolist()))})"
        engine = QueryBuilder().register("rows", self._table)
        sql = f"SELECT {', '.join(LOOKED_UP)} FROM rows WHERE {wanted}"  # noqa: S608
        return pa.table(engine.execute(sql).read_all())


def _grouped(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """Batches, so many at a time."""
    waiting = iter(batches)
    while some := tuple(islice(waiting, count)):
        yield some


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def forget(folder: Path) -> None:
    """Have the system drop its cache of a folder's files, once they are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


CONTENDERS: dict[str, Contender] = {"ours": Ours(), "lance": Lance(), "delta": Delta()}
