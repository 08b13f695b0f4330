"""Rows beside the codes: an Arrow IPC file that is mapped, and the way from id to row.

Rows are read under MADV_RANDOM: a search asks for a few out of very many, and read-ahead
would fetch a hundred times what is wanted. Batches are taken from one by one: taking from
a chunked string column of a whole table overflows its 32-bit offsets.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError
from ssah_index.store.files import Seal, seal_file, write_file
from ssah_index.types import Item, Modality

BATCH_ROWS = 1 << 20
ROWS = "rows.arrow"
ID_HASH = "idhash.u64"
ID_ROW = "idrow.u32"

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("modality", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
    ]
)


def rows_table(items: Sequence[Item], modality: Modality) -> pa.Table:
    """Rows of one segment, in the order of its codes."""
    return pa.Table.from_pydict(
        {
            "id": [item.id for item in items],
            "modality": pa.DictionaryArray.from_arrays(
                np.zeros(len(items), np.int8), pa.array([modality])
            ),
            "source": [item.source for item in items],
            "text": [item.text for item in items],
            "labels": [list(item.labels) for item in items],
        },
        schema=SCHEMA,
    )


def hash_ids(ids: pa.Array) -> NDArray[np.uint64]:
    """XXH3-64 of each id's UTF-8 bytes (int64 ids: their eight little-endian bytes)."""
    if pa.types.is_integer(ids.type):
        keys = [key.to_bytes(8, "little", signed=True) for key in ids.to_pylist()]
    else:
        keys = [key.encode() for key in ids.to_pylist()]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, keys), np.uint64, len(keys))


def write_rows(folder: Path, table: pa.Table) -> dict[str, Seal]:
    """Write rows.arrow, idhash.u64 and idrow.u32 into a new segment folder."""
    path = folder / ROWS
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start in range(0, table.num_rows, BATCH_ROWS):
            # Readers find a row's batch by division, so each but the last must be full.
            writer.write_table(table.slice(start, BATCH_ROWS).combine_chunks())
    hashes = hash_ids(table.column("id").combine_chunks())
    order = np.argsort(hashes, kind="stable").astype("<u4")
    return {
        ROWS: seal_file(path),
        ID_HASH: write_file(folder / ID_HASH, [hashes[order].astype("<u8").tobytes()]),
        ID_ROW: write_file(folder / ID_ROW, [order.tobytes()]),
    }


class Rows:
    """The rows of one segment, mapped.

    Parameters
    ----------
    folder : Path
        A segment folder whose file sizes have been checked.
    """

    def __init__(self, folder: Path) -> None:
        with (folder / ROWS).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        try:
            self._reader = pa.ipc.open_file(pa.py_buffer(mapped))
        except pa.ArrowInvalid as error:
            raise CorruptError(
                f"{folder / ROWS} cannot be read ({error})",
                "an Arrow IPC file",
                "Restore the file from a copy, or build the store again.",
            ) from error
        self._folder = folder

    @property
    def schema(self) -> pa.Schema:
        """Column names and types."""
        return self._reader.schema

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Rows by position, in the order asked for.

        Parameters
        ----------
        rows : int64 (m,)
            Positions in this segment.
        columns : sequence of str

        Returns
        -------
        pyarrow.Table
            m rows.
        """
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        batches = ordered // BATCH_ROWS
        taken = []
        for number in np.unique(batches):
            batch = self._reader.get_batch(int(number)).select(list(columns))
            taken.append(batch.take(pa.array(ordered[batches == number] % BATCH_ROWS)))
        empty = pa.schema([self.schema.field(name) for name in columns])
        table = pa.Table.from_batches(taken, schema=empty).unify_dictionaries()
        return table.combine_chunks().take(pa.array(np.argsort(order, kind="stable")))

    def filter(self, keep: NDArray[np.bool_]) -> pa.Table:
        """Rows where ``keep``, bool (n,), is True, with all columns."""
        parts = [
            self._reader.get_batch(number).filter(
                pa.array(keep[number * BATCH_ROWS : (number + 1) * BATCH_ROWS])
            )
            for number in range(self._reader.num_record_batches)
        ]
        return pa.Table.from_batches(parts, schema=self.schema).unify_dictionaries()

    def find(self, ids: Sequence[Any]) -> NDArray[np.int64]:
        """Positions in this segment of all rows that have one of the ids, ascending.

        The hash narrows the search and the id itself decides.
        """
        if not len(self):
            return np.empty(0, np.int64)
        wanted = pa.array(ids, self.schema.field("id").type)
        hashes = np.memmap(self._folder / ID_HASH, "<u8", "r")
        order = np.memmap(self._folder / ID_ROW, "<u4", "r")
        wanted_hashes = hash_ids(wanted)
        first = np.searchsorted(hashes, wanted_hashes, "left")
        counts = np.searchsorted(hashes, wanted_hashes, "right") - first
        owner = np.repeat(np.arange(len(wanted)), counts)
        within = np.arange(len(owner)) - np.repeat(counts.cumsum() - counts, counts)
        rows = order[first[owner] + within].astype(np.int64)
        keys = self.take(rows, ["id"]).column("id").combine_chunks()
        same = pc.equal(keys, wanted.take(pa.array(owner))).to_numpy(zero_copy_only=False)
        return np.unique(rows[same.astype(np.bool_)])

    def __len__(self) -> int:
        if not self._reader.num_record_batches:
            return 0
        last: int = self._reader.num_record_batches - 1
        return last * BATCH_ROWS + int(self._reader.get_batch(last).num_rows)
