"""Arrow types of the users' columns: how each is stored, and what holds two of them exactly.

Some types Arrow can hold but not take rows from (views, run ends), and some it cannot put
together again (dictionaries of unlike indices, or inside lists); they are stored as the plain
type of the same values. A column's segments may have narrower types than the store's manifest
says: rows are cast when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UNITS = ("s", "ms", "us", "ns")
_DECIMALS = ((9, 32, pa.decimal32), (18, 64, pa.decimal64), (38, 128, pa.decimal128),
             (76, 256, pa.decimal256))  # fmt: skip
"""Most digits, bits and maker of each decimal type."""
_FLOATS = ((11, pa.float16()), (24, pa.float32()), (53, pa.float64()))
"""Bits of a whole number that each holds exactly."""
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""Of whole numbers, by bits."""
_Column = TypeVar("_Column", pa.Array, pa.ChunkedArray)


def stored_type(type: pa.DataType, *, nested: bool = False) -> pa.DataType:
    """The type that a column of ``type`` is stored in; the values are the same."""
    kinds = pa.types
    if kinds.is_run_end_encoded(type):
        return stored_type(type.value_type, nested=nested)
    if kinds.is_dictionary(type):
        values = stored_type(type.value_type, nested=True)
        plain = nested or not (_is_text(values) or _is_binary(values))
        return values if plain else pa.dictionary(pa.int32(), values)
    for is_kind, make in _REMADE:
        if is_kind(type):
            return make(type)
    return type


_REMADE: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], pa.DataType]]] = (
    (pa.types.is_string_view, lambda _: pa.large_string()),
    (pa.types.is_binary_view, lambda _: pa.large_binary()),
    (pa.types.is_list, lambda of: pa.list_(_nested(of.value_type))),
    (pa.types.is_list_view, lambda of: pa.list_(_nested(of.value_type))),
    (pa.types.is_large_list, lambda of: pa.large_list(_nested(of.value_type))),
    (pa.types.is_large_list_view, lambda of: pa.large_list(_nested(of.value_type))),
    (pa.types.is_fixed_size_list, lambda of: pa.list_(_nested(of.value_type), of.list_size)),
    (pa.types.is_map, lambda of: pa.map_(_nested(of.key_type), _nested(of.item_type))),
    (pa.types.is_struct, lambda of: pa.struct([(f.name, _nested(f.type)) for f in _fields(of)])),
)
"""Types that are stored in another one, or made anew of the stored types of their fields."""


def _nested(type: pa.DataType) -> pa.DataType:
    return stored_type(type, nested=True)


def conform(column: _Column, type: pa.DataType) -> _Column:
    """A column in another type that holds its values.

    Raises
    ------
    ArrowInvalid, ArrowNotImplementedError
        If the type does not hold them.
    """
    if column.type.equals(type):
        return column
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([conform(chunk, type) for chunk in column.chunks], type)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), type)
    plain = _unwrapped(column, type)
    return column.cast(type) if plain is column else conform(plain, type)


def _unwrapped(column: pa.Array, type: pa.DataType) -> pa.Array:
    """What Arrow casts from wrongly, or not at all, as a plain column; others as they are."""
    kinds = pa.types
    if kinds.is_run_end_encoded(column.type):
        return pc.run_end_decode(column)
    if _is_list_view(column.type):
        return _viewed(column)
    if holds(column.type, _is_list_view):
        return pa.array(column.to_pylist(), type)  # see `_viewed`
    if not kinds.is_dictionary(column.type):
        return column
    whole = kinds.is_dictionary(type) and not column.dictionary.null_count
    return column if whole else column.dictionary.take(column.indices)


def _viewed(column: pa.Array) -> pa.Array:
    """A list of a list view: Arrow's own cast (26.0) makes lists of it whose offsets are wrong."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), lengths.dtype.name)
    large = pa.types.is_large_list_view(column.type)
    make = pa.LargeListArray if large else pa.ListArray
    return make.from_arrays(offsets, column.flatten(), mask=column.is_null())


def _is_list_view(type: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(type) or pa.types.is_large_list_view(type))


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds all values of two stored types exactly; None if none does.

    Timestamps and durations are the exception: the finer unit has the shorter range.
    """
    kinds = pa.types
    if one.equals(other) or kinds.is_null(other):
        return one
    if kinds.is_null(one):
        return other
    if kinds.is_dictionary(one) or kinds.is_dictionary(other):
        plain = [t.value_type if kinds.is_dictionary(t) else t for t in (one, other)]
        values = common_type(*plain)
        both = kinds.is_dictionary(one) and kinds.is_dictionary(other)
        return pa.dictionary(pa.int32(), values) if values and both else values
    for is_kind, merge in (
        (_is_text, lambda *_: pa.large_string()),
        (_is_binary, _common_binary),
        (_is_number, _common_number),
        (kinds.is_date, lambda *_: pa.date64()),
        (kinds.is_time, _common_time),
        (kinds.is_timestamp, _common_timestamp),
        (kinds.is_duration, lambda *both: pa.duration(_finer(*both))),
        (_is_list, _common_list),
        (kinds.is_map, _common_map),
        (kinds.is_struct, _common_struct),
    ):
        if is_kind(one) and is_kind(other):
            return merge(one, other)
    return None


def may_overflow(type: pa.DataType) -> bool:
    """Whether a value of a coarser unit may be beyond this type: see `common_type`."""
    return holds(type, lambda one: pa.types.is_timestamp(one) or pa.types.is_duration(one))


def holds(type: pa.DataType, is_kind: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type is of a kind, or has fields of it, however deep."""
    return is_kind(type) or any(holds(field.type, is_kind) for field in _fields(type))


def _fields(type: pa.DataType) -> list[pa.Field]:
    return [type.field(i) for i in range(type.num_fields)]


def _is_text(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _is_binary(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_binary(type) or kinds.is_large_binary(type) or kinds.is_fixed_size_binary(type)
    )


def _is_number(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(kinds.is_integer(type) or kinds.is_floating(type) or kinds.is_decimal(type))


def _is_list(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(kinds.is_list(type) or kinds.is_large_list(type) or kinds.is_fixed_size_list(type))


def _common_binary(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    large = pa.types.is_large_binary(one) or pa.types.is_large_binary(other)
    return pa.large_binary() if large else pa.binary()


def _common_number(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    kinds = pa.types
    decimal, floating = (
        [t for t in (one, other) if is_kind(t)] for is_kind in (kinds.is_decimal, kinds.is_floating)
    )
    if decimal:
        return None if floating else _common_decimal(one, other)
    if not floating:
        return _common_integer(one, other)
    whole = [t for t in (one, other) if kinds.is_integer(t)]
    bits = max([t.bit_width - kinds.is_signed_integer(t) for t in whole], default=0)
    width = max(t.bit_width for t in floating)
    return next((t for most, t in _FLOATS if most >= bits and t.bit_width >= width), None)


def _common_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    signed = {bool(pa.types.is_signed_integer(t)): t.bit_width for t in (one, other)}
    if len(signed) == 1:
        return max(one, other, key=lambda t: t.bit_width)
    bits = max(signed[True], 2 * signed[False])
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits)


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    shapes = [
        (t.precision - t.scale, t.scale, t.bit_width) if pa.types.is_decimal(t)
        else (_DIGITS[t.bit_width], 0, 0)
        for t in (one, other)
    ]  # fmt: skip
    before, scale, width = (max(values) for values in zip(*shapes, strict=True))
    fitting = (make for most, bits, make in _DECIMALS if most >= before + scale and bits >= width)
    make = next(fitting, None)
    return make(before + scale, scale) if make else None


def _finer(one: pa.DataType, other: pa.DataType) -> str:
    return max((str(one.unit), str(other.unit)), key=_UNITS.index)


def _common_time(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    unit = _finer(one, other)
    return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)


def _common_timestamp(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    return pa.timestamp(_finer(one, other), one.tz) if one.tz == other.tz else None


def _common_list(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    values = common_type(one.value_type, other.value_type)
    if values is None:
        return None
    fixed = [t.list_size for t in (one, other) if pa.types.is_fixed_size_list(t)]
    if len(fixed) == 2 and fixed[0] == fixed[1]:
        return pa.list_(values, fixed[0])
    large = pa.types.is_large_list(one) or pa.types.is_large_list(other)
    return pa.large_list(values) if large else pa.list_(values)


def _common_map(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    key = common_type(one.key_type, other.key_type)
    item = common_type(one.item_type, other.item_type)
    return pa.map_(key, item) if key and item else None


def _common_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    merged: dict[str, pa.DataType | None] = {}
    for field in (*_fields(one), *_fields(other)):
        known = merged.get(field.name, field.type)
        merged[field.name] = known and common_type(known, field.type)
    if None in merged.values():
        return None
    return pa.struct(list(merged.items()))
