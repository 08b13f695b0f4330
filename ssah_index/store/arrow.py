"""Arrow data from a file that anyone may have written: checked before its values are read.

Arrow's own reader sees to it that buffers lie within the file. What is in them it takes on trust:
an offset that leads out of its buffer ends the process. To check all of a batch means to read all
of it, so where few rows are wanted only theirs are checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FEW = 16
"""Rows of a batch for each that is wanted, from which only those wanted are checked."""


def check_batch(batch: pa.RecordBatch, full: bool) -> None:
    """Check that buffers of a batch are long enough; if ``full``, also all that is in them.

    Raises
    ------
    pyarrow.ArrowInvalid
        If they are not.
    """
    batch.validate(full=full)
    if not full:
        for column in batch.columns:
            for dictionary in _dictionaries(column):  # read as a whole, when they are unified
                dictionary.validate(full=True)


def check_values(batch: pa.RecordBatch, rows: NDArray[np.int64]) -> None:
    """Check that some rows of a batch, which `check_batch` has passed, can be read.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
    rows : int64 (m,)
        Positions in the batch.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value of these rows does not lie within its buffers.
    """
    for column in batch.columns:
        _check(column, rows)


def _dictionaries(array: pa.Array) -> Iterator[pa.Array]:
    """The dictionaries of an array and of what is nested in it."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield array.dictionary
    elif pa.types.is_struct(kind):
        for child in range(kind.num_fields):
            yield from _dictionaries(array.field(child))
    elif _is_list(kind):
        yield from _dictionaries(array.values)


def _check(array: pa.Array, rows: NDArray[np.int64]) -> None:
    """The same for one array whose buffers are long enough."""
    kind = array.type
    if not len(rows) or _is_flat(kind):
        return
    if pa.types.is_dictionary(kind):
        ends = pc.min_max(array.indices.take(pa.array(rows))).as_py()
        if ends["min"] is not None and not 0 <= ends["min"] <= ends["max"] < len(array.dictionary):
            raise pa.ArrowInvalid(f"indices {ends} into {len(array.dictionary)} values")
    elif pa.types.is_struct(kind):
        for child in range(kind.num_fields):
            _check(array.field(child), rows)
    elif width := _offset_type(kind):
        offsets = np.frombuffer(array.buffers()[1], width)
        at = array.offset + rows
        first, last = offsets[at].astype(np.int64), offsets[at + 1].astype(np.int64)
        size = len(array.values) if _is_list(kind) else _size(array.buffers()[2])
        if (first < 0).any() or (first > last).any() or (last > size).any():
            raise pa.ArrowInvalid(f"offsets that do not ascend, or lead beyond {size}")
        if _is_list(kind):
            _check_within(array.values, first, last)
    else:  # views, unions and the like are rare
        array.validate(full=True)


def _check_within(values: pa.Array, first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
    """Check the values of some lists."""
    counts = last - first
    if FEW * counts.sum() >= len(values):
        values.validate(full=True)
    else:
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        _check(values, np.repeat(first, counts) + within)


def _is_flat(kind: pa.DataType) -> bool:
    """Whether a value is where its position says, so that long enough buffers are enough."""
    return bool(
        pa.types.is_primitive(kind)
        or pa.types.is_null(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    """Whether values are lists with offsets."""
    is_ = pa.types
    return bool(is_.is_list(kind) or is_.is_large_list(kind) or is_.is_map(kind))


def _offset_type(kind: pa.DataType) -> Any:
    """Of the offsets of a type that has some."""
    is_ = pa.types
    if is_.is_large_string(kind) or is_.is_large_binary(kind) or is_.is_large_list(kind):
        return np.int64
    if is_.is_string(kind) or is_.is_binary(kind) or _is_list(kind):
        return np.int32
    return None


def _size(buffer: pa.Buffer | None) -> int:
    return 0 if buffer is None else int(buffer.size)
