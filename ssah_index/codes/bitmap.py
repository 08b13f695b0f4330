"""Which rows may be found, as the bitmap that scans read.

Bit i % 64 of word i // 64 is row i, as Arrow's validity bitmaps have it; one word of zeros
more lets kernels read 64 rows from any row on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes.whole import arrow_column, as_int64, is_arrow, items_of
from ssah_index.errors import QueryError
from ssah_index.types import Bitmap

if TYPE_CHECKING:
    import pyarrow as pa


def as_bitmap(rows: Any, n: int) -> Bitmap:
    """Return a choice among n rows as a bitmap.

    Parameters
    ----------
    rows : bool (n,), Arrow BooleanArray of n without nulls, or sequence of m integers
        What is chosen: a flag a row, or the chosen rows in any order. Arrays of uint8 are
        refused, since they may be packed bitmaps.
    n : int

    Returns
    -------
    uint64 (ceil(n / 64) + 1,)
        A copy.

    Raises
    ------
    QueryError
        If length or type is another, or a row does not exist.
    """
    if is_arrow(rows):
        column = arrow_column(rows)
        if column is not None:
            return _from_arrow(column, n)
    array = _as_array(rows)
    if array.ndim != 1 or array.dtype.kind not in "biuO" or array.dtype == np.uint8:
        raise QueryError(
            f"rows are given as {array.dtype} of shape {array.shape}",
            "a flag a row (bool or an Arrow BooleanArray), or row numbers (int64)",
            "Wrap a packed bitmap as pyarrow.BooleanArray.from_buffers().",
        )
    if array.dtype.kind == "b":
        return _packed(_of_length(array, n), n)
    return _of_rows(as_int64(array, "row"), n)


def _as_array(rows: Any) -> NDArray[Any]:
    """Flags or row numbers as an array; from a list of both, an array of objects."""
    if isinstance(rows, np.ndarray):
        array = rows
    else:
        items = items_of(rows, "row", "a flag a row, or row numbers", QueryError)
        kinds = {issubclass(type_, (bool, np.bool_)) for type_ in set(map(type, items))}
        try:
            array = np.array(items, object if len(kinds) > 1 else None)
        except (ValueError, OverflowError):  # ragged, or beyond what NumPy has
            array = np.array([*items, None], object)[:-1]
    if array.ndim == 1 and not array.size and array.dtype.kind == "f":
        return array.astype(np.int64)  # an empty list has no type of its own
    return array


def _of_rows(places: NDArray[np.int64], n: int) -> Bitmap:
    if places.size and not (places.min() >= 0 and places.max() < n):
        raise QueryError(
            f"rows {places.min()} to {places.max()} are asked for",
            f"rows from 0 to {n - 1}",
            "Take rows from the results of this snapshot.",
        )
    bitmap = _empty(n)
    np.bitwise_or.at(bitmap, places >> 6, np.uint64(1) << (places & 63).astype(np.uint64))
    return bitmap


def _of_length(array: Any, n: int) -> Any:
    if len(array) != n:
        raise QueryError(
            f"a filter of {len(array)} flags meets {n} rows",
            "one flag a row of the snapshot, of all modalities",
            "Refresh it, if rows were added since it was made.",
        )
    return array


def _packed(flags: NDArray[np.bool_], n: int) -> Bitmap:
    bitmap = _empty(n)
    packed = np.packbits(flags, bitorder="little")
    bitmap.view(np.uint8)[: len(packed)] = packed
    return bitmap


def _from_arrow(column: pa.ChunkedArray, n: int) -> Bitmap:
    import pyarrow as pa

    values = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if not pa.types.is_boolean(values.type) or values.null_count:
        if pa.types.is_integer(values.type) and not pa.types.is_uint8(values.type):
            return _of_rows(as_int64(column, "row"), n)
        raise QueryError(
            f"rows are given as an Arrow array of type {values.type} with "
            f"{values.null_count} nulls",
            "bool or int64 without nulls",
            "Cast it, and fill the nulls with false.",
        )
    _of_length(values, n)
    if values.offset % 8:
        return _packed(values.to_numpy(zero_copy_only=False), n)
    nbytes = -(-n // 8)
    bitmap = _empty(n)
    if n:
        data = np.frombuffer(values.buffers()[1], np.uint8, nbytes, values.offset // 8)
        bitmap.view(np.uint8)[:nbytes] = data
        _cut(bitmap, n)  # Arrow leaves the bits behind the last open
    return bitmap


def _cut(bitmap: Bitmap, n: int) -> None:
    """Clear what lies behind row n - 1, in the last word but one."""
    bitmap[n // 64] &= (np.uint64(1) << np.uint64(n % 64)) - np.uint64(1)


def _empty(n: int) -> Bitmap:
    return np.zeros(-(-n // 64) + 1, np.uint64)


def complement(bitmap: Bitmap, n: int) -> Bitmap:
    """All of n rows but those of a bitmap; a copy."""
    others = ~bitmap
    others[-1] = 0
    _cut(others, n)
    return others


def allowed_rows(where: Any, live: Bitmap | None, n: int) -> Bitmap | None:
    """Rows that may be found: those chosen, if there is a choice, as far as they are live.

    Parameters
    ----------
    where : as `as_bitmap` takes it, or None
    live : Bitmap or None
        Rows that are not deleted; None: all.
    n : int

    Returns
    -------
    Bitmap or None
        None: all of them. ``live`` itself, not copied, where nothing is chosen.
    """
    if where is None:
        return live
    allowed = as_bitmap(where, n)
    if live is not None:
        allowed &= live
    return allowed
