"""Whole numbers that a caller hands in, rows and int64 ids: taken exactly, or refused in words.

Relies on NumPy and the error tree; PyArrow is imported where an Arrow array comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import InputError, QueryError

if TYPE_CHECKING:
    import pyarrow as pa

LEAST, GREATEST = -(2**63), 2**63 - 1
REMEDY = "None is converted: pass a list or an array of int."
SHOWN = 60
"""Characters of a value that a message shows."""


def as_int64(values: Any, what: str, error: type[InputError] = QueryError) -> NDArray[np.int64]:
    """Return whole numbers as int64, each exactly what it was.

    Parameters
    ----------
    values : sequence of int
        A list, tuple, range or other iterable; an array of signed or unsigned integers in any
        byte order; or an Arrow array or data-frame column of integers without nulls.
    what : str
        What one of them is, for the message: "row".
    error : type of InputError
        What is raised.

    Returns
    -------
    int64 (m,)

    Raises
    ------
    InputError
        If a value is a float, a bool, a string or null, is beyond int64, or if ``values`` is
        one value, has other than one axis, or is a mapping.
    """
    expected = f"int64 {what}s: whole numbers, in one axis"
    if is_arrow(values):
        column = arrow_column(values)
        if column is not None:
            return _from_arrow(column, what, expected, error)
        values = np.asarray(values)
    if not isinstance(values, np.ndarray):
        values = _from_items(items_of(values, what, expected, error), what, expected, error)
    check_one_axis(values, what, expected, error)
    if values.dtype == np.object_:
        return _from_items(values.tolist(), what, expected, error)
    if values.dtype.kind not in "iu" and len(values):
        raise error(f"{what}s are given as an array of {values.dtype}", expected, REMEDY)
    if values.dtype.kind == "u" and len(values) and values.max() > GREATEST:
        raise _beyond(int(values.max()), what, error)
    exact: NDArray[np.int64] = values.astype(np.int64, copy=False)
    return exact


def _from_items(
    items: list[Any], what: str, expected: str, error: type[InputError]
) -> NDArray[np.int64]:
    for type_ in set(map(type, items)):
        # A bool is an int, and to NumPy a timedelta is an integer.
        if not issubclass(type_, (int, np.integer)) or issubclass(type_, (bool, np.timedelta64)):
            raise wrong_item(items, (type_,), what, expected, error)
    numbers = list(map(int, items))
    if numbers and (min(numbers) < LEAST or max(numbers) > GREATEST):
        raise _beyond(next(n for n in numbers if not LEAST <= n <= GREATEST), what, error)
    return np.array(numbers, np.int64)


def _from_arrow(
    column: pa.ChunkedArray, what: str, expected: str, error: type[InputError]
) -> NDArray[np.int64]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if len(column) and not pa.types.is_integer(column.type):
        raise error(f"{what}s are given as an Arrow array of {column.type}", expected, REMEDY)
    if column.null_count:
        raise error(f"{column.null_count} {what}s are null", expected, "Leave them out.")
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:
        raise _beyond(max(column.to_pylist()), what, error) from None


def _beyond(number: int, what: str, error: type[InputError]) -> InputError:
    return error(
        f"{what} {shown(number)} is beyond 64 bits",
        f"{what}s from {LEAST} to {GREATEST}",
        f"No {what} can be that number.",
    )


def is_arrow(values: Any) -> bool:
    """Whether it speaks the Arrow C interface: an Arrow array or column, a data frame's column."""
    return hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__")


def arrow_column(values: Any) -> pa.ChunkedArray | None:
    """What `is_arrow` says yes to, as a column; None if Arrow has no type for what is in it."""
    import pyarrow as pa

    try:
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        return pa.chunked_array([pa.array(values)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def items_of(values: Any, what: str, expected: str, error: type[InputError]) -> list[Any]:
    """The items of a sequence; refused are one value alone, and what is no sequence.

    Raises
    ------
    InputError
        If it is a string, bytes, a mapping, or nothing to go through.
    """
    alone = (str, bytes, bytearray, memoryview, Mapping)
    if isinstance(values, alone) or not isinstance(values, Iterable):
        raise error(
            f"{what}s are given as {shown(values)}, of type {type(values).__name__}",
            expected,
            f"Put a single {what} into a list.",
        )
    items = list(values)
    return [item.as_py() if hasattr(item, "as_py") else item for item in items]


def check_one_axis(
    array: NDArray[Any], what: str, expected: str, error: type[InputError]
) -> NDArray[Any]:
    """Refuse arrays of other than one axis, and masked ones of which values are missing.

    Raises
    ------
    InputError
        If it is one.
    """
    if array.ndim != 1:
        raise error(
            f"{what}s are given as {array.dtype} of shape {array.shape}", expected, "Flatten them."
        )
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise error(f"some {what}s are masked", expected, "Leave them out: .compressed()")
    return array


def wrong_item(
    items: list[Any], wrong: tuple[type, ...], what: str, expected: str, error: type[InputError]
) -> InputError:
    """The error that names the first item of a wrong type."""
    position = next(i for i, item in enumerate(items) if type(item) in wrong)
    item = items[position]
    return error(
        f"{what} number {position} is {shown(item)}, of type {type(item).__name__}",
        expected,
        f"No {what} is converted: pass each as the store has it.",
    )


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an int of {value.bit_length()} bits"  # Python refuses to print it
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
