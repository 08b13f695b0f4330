"""The rows of the store's benchmark: each a pure function of its number, made in batches.

A row has a code of 64 bits, an id that is in no order, as users' keys are, a text of 42 bytes
and three columns to filter by.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BATCH_ROWS = 1 << 20
NBYTES = 8
_ID_FACTOR = 0x5851F42D4C957F2D
"""Odd, so that no two rows have one id: multiplying by it turns 63 bits into 63 others."""
_WORDS = 7
_LETTERS = 6
"""Of a word, the space after it included."""
TEXT_BYTES = _WORDS * _LETTERS

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("year", pa.int16()),
        pa.field("licence", pa.int8()),
        pa.field("width", pa.int32()),
        pa.field("code", pa.binary(NBYTES)),
    ]
)
ROW_BYTES = 8 + TEXT_BYTES + 2 + 1 + 4 + NBYTES
"""Of a row's values."""
LOOKED_UP = ["id", "text", "code"]
"""Columns that look-ups fetch."""


def _vocabulary() -> NDArray[np.uint8]:
    """256 words of five letters and a space."""
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (256, _LETTERS), np.uint8)
    letters[:, -1] = ord(" ")
    return letters


_VOCABULARY = _vocabulary().view(f"S{_LETTERS}").ravel()


def _mixed(numbers: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """64 bits for each number; the last step of SplitMix64."""
    x = numbers + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def ids_of(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids of rows by number."""
    multiplied = numbers.astype(np.uint64) * np.uint64(_ID_FACTOR)
    ids: NDArray[np.int64] = (multiplied & np.uint64(2**63 - 1)).astype(np.int64)
    return ids


def rows_of(numbers: NDArray[np.int64]) -> pa.RecordBatch:
    """Rows by number, in the order asked for."""
    n = len(numbers)
    unsigned = numbers.astype(np.uint64)
    facts = _mixed(unsigned, 2)
    picked = _mixed(unsigned, 3).view(np.uint8).reshape(n, 8)[:, :_WORDS]
    text = pa.py_buffer(_VOCABULARY.take(picked))
    ends = pa.py_buffer(np.arange(0, TEXT_BYTES * n + 1, TEXT_BYTES, dtype=np.int64))
    codes = pa.py_buffer(_mixed(unsigned, 1))
    return pa.record_batch(
        [
            pa.array(ids_of(numbers)),
            pa.LargeStringArray.from_buffers(n, ends, text),
            pa.array((1990 + (facts & np.uint64(31))).astype(np.int16)),
            pa.array(((facts >> np.uint64(8)) & np.uint64(7)).astype(np.int8)),
            pa.array(((facts >> np.uint64(16)) & np.uint64(8191)).astype(np.int32)),
            pa.FixedSizeBinaryArray.from_buffers(pa.binary(NBYTES), n, [None, codes]),
        ],
        schema=SCHEMA,
    )


def batches(rows: int, batch_rows: int = BATCH_ROWS, first: int = 0) -> Iterator[pa.RecordBatch]:
    """Rows from number ``first`` on, in order."""
    for start in range(first, first + rows, batch_rows):
        yield rows_of(np.arange(start, min(start + batch_rows, first + rows)))


def codes_of(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """The codes of a batch that was made here, as an array, where they lie."""
    return np.frombuffer(batch.column("code").buffers()[1], np.uint8).reshape(-1, NBYTES)


def same_rows(found: pa.Table, numbers: NDArray[np.int64]) -> bool:
    """Whether a look-up found exactly these rows, in any order."""
    expected = pa.Table.from_batches([rows_of(numbers)]).select(LOOKED_UP)
    made = found.select(LOOKED_UP).cast(expected.schema)
    return bool(made.sort_by("id").equals(expected.sort_by("id")))
