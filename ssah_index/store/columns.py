"""Columns of rows: the five that every store has, and the users' own of any Arrow type.

A store's columns may grow: an append may bring a new one, which is null in older rows, or
values that the column's type does not hold, and it becomes the type that holds all of them.
All of them are in each manifest, so that two writers cannot give one name two types.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from ssah_index.codes import check_modality
from ssah_index.codes.whole import is_arrow, shown
from ssah_index.errors import RowsError
from ssah_index.store.column_types import common_type, conform, holds, stored_type
from ssah_index.store.format import IdKind
from ssah_index.store.ids import ID_TYPES, id_column
from ssah_index.types import Item, Modality

RESERVED = ("code", "row", "distance", "rank", "query")
"""Names that answers and exports give to other things."""
_REMEDY = "Correct the table."


def base_schema(ids: IdKind) -> pa.Schema:
    """The columns of every store."""
    return pa.schema(
        [
            pa.field("id", ID_TYPES[ids], nullable=False),
            pa.field("modality", pa.dictionary(pa.int8(), pa.string()), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("text", pa.large_string()),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
        ]
    )


_OWN = frozenset(base_schema("string").names)


def items_table(
    items: Sequence[Item], modality: Modality, own: pa.Schema | None = None
) -> pa.Table:
    """Rows of items, in their order; ids are strings, and ``own`` are the users' columns.

    Raises
    ------
    RowsError
        If a user's column has a name or type that a store cannot take.
    """
    check_modality(modality, RowsError)
    base: dict[str, list[Any]] = {
        "id": [item.id for item in items],
        "source": [item.source for item in items],
        "text": [item.text for item in items],
        "labels": [list(item.labels) for item in items],
    }
    columns = [
        _typed(field, base[field.name]) if field.name in base else _modalities(modality, len(items))
        for field in base_schema("string")
    ]
    table = pa.Table.from_arrays(columns, schema=base_schema("string"))
    for field in own or ():
        plain = field.with_type(stored_type(field.type))
        table = table.append_column(
            plain, _typed(plain, [i.columns.get(field.name) for i in items])
        )
    return _storable(table)


def _typed(field: pa.Field, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise RowsError(
            f"column {field.name!r} has a value of another type ({error})",
            f"{field.type}, and texts in Unicode",
            "Correct the source.",
        ) from error


def rows_table(rows: Any, n: int, modality: Modality, ids: IdKind) -> pa.Table:
    """Check rows that a caller brings, and put them into the columns of a store.

    Parameters
    ----------
    rows : Arrow table, data frame, or mapping of column name to values
        With a column ``id``; ``source``, ``text`` and ``labels`` may be there, and any others
        are the user's own.
    n : int
        Rows there must be.
    modality : {"image", "text"}
    ids : {"string", "int64"}
        What the store's keys are.

    Raises
    ------
    RowsError
        If it is no table, a column is missing, null or of another type, or rows are not n.
    """
    check_modality(modality, RowsError)
    table = _as_table(rows)
    if table.num_rows != n:
        raise RowsError(f"{table.num_rows} rows for {n} codes", "one row a code", _REMEDY)
    if "id" not in table.column_names:
        raise RowsError(
            f"the rows have no column 'id' but {', '.join(map(repr, table.column_names))}",
            "the users' keys in it",
            "Name the column of keys id.",
        )
    table = _storable(table)
    schema = base_schema(ids)
    absent = {
        "modality": _modalities(modality, n),
        "source": pa.repeat(pa.scalar("", pa.string()), n),
        "text": pa.nulls(n, pa.large_string()),
        "labels": pa.ListArray.from_arrays(np.zeros(n + 1, np.int32), pa.array([], pa.string())),
    }
    columns = [
        _cast(table.column(field.name), field, ids) if field.name in table.column_names
        else absent[field.name]
        for field in schema
    ]  # fmt: skip
    if set(table.column("modality").to_pylist() if "modality" in table.column_names else ()) - {
        modality
    }:
        raise RowsError("the rows have other modalities", f"{modality!r} alone", _REMEDY)
    own = [name for name in table.column_names if name not in schema.names]
    for name in own:
        schema = schema.append(table.schema.field(name))
        columns.append(table.column(name))
    return pa.Table.from_arrays(columns, schema=schema)


def _modalities(modality: Modality, n: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), pa.array([modality]))


def _as_table(rows: Any) -> pa.Table:
    try:
        if isinstance(rows, Mapping):
            return pa.table({name: _as_column(name, values) for name, values in rows.items()})
        return rows if isinstance(rows, pa.Table) else pa.table(rows)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, RowsError):
            raise
        raise RowsError(
            f"rows of type {type(rows).__name__} make no table ({error})",
            "an Arrow table, a data frame, or a mapping of names to columns of equal length",
            _REMEDY,
        ) from error


def _as_column(name: str, values: Any) -> Any:
    """What Arrow makes a column of; refused is what it would take apart or convert."""
    apart = isinstance(values, (str, bytes, bytearray, Mapping, Set))  # or in no order
    if apart or getattr(values, "ndim", 1) != 1:
        raise RowsError(
            f"column {name!r} is {shown(values)}, of type {type(values).__name__}",
            "a list or an array of one axis, one value a row",
            "Put a single value into a list.",
        )
    objects = isinstance(values, (list, tuple)) or getattr(values, "dtype", None) == np.object_
    if name == "id" and objects and np.bool_ in set(map(type, values)):
        raise RowsError("column 'id' has NumPy bools", "ids", _REMEDY)  # 1 and 0 to Arrow
    if isinstance(values, np.ndarray):
        # Arrow knows the byte order of this machine alone.
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    try:
        return values if is_arrow(values) else pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise RowsError(
            f"the values of column {name!r} make no table ({error})",
            "values of one type that Arrow has",
            "Convert the column.",
        ) from error


def _cast(column: pa.ChunkedArray, field: pa.Field, ids: IdKind) -> pa.ChunkedArray:
    """One of the store's own columns in its type; what would lose anything is refused."""
    if field.name == "id":
        return id_column(column, ids)
    if not field.nullable and column.null_count:
        first = column.is_null().index(True).as_py()
        raise RowsError(
            f"column {field.name!r} has {column.null_count} nulls, the first in row {first}",
            "a value in every row",
            "Fill them in, or leave those rows out.",
        )
    if not _may_become(field.name, column.type):
        raise RowsError(
            f"column {field.name!r} is of type {column.type}",
            "texts; of labels, lists of them or of whole numbers",
            "Convert the column as you mean it: numbers and dates have many forms as text.",
        )
    try:
        cast = conform(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RowsError(
            f"column {field.name!r} is of type {column.type} ({error})",
            f"{field.type}",
            "Convert the column.",
        ) from error
    if field.name == "labels" and any(chunk.flatten().null_count for chunk in cast.chunks):
        raise RowsError("a label is null", "texts", "Leave it out of its list.")
    return cast


def _may_become(name: str, type: pa.DataType) -> bool:
    """Whether values of a type are texts, or have one form as such."""
    kinds = pa.types
    if name == "labels" and (kinds.is_list(type) or kinds.is_large_list(type)):
        return bool(kinds.is_integer(type.value_type)) or _may_become("text", type.value_type)
    if kinds.is_dictionary(type):
        return _may_become(name, type.value_type)
    texts = kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_string_view(type)
    return bool(texts or kinds.is_null(type) or name not in ("source", "text"))


def _storable(table: pa.Table) -> pa.Table:
    """A table with the users' columns in the types that they are stored in.

    Raises
    ------
    RowsError
        If a column has a name, a type or a value that a store cannot take.
    """
    try:
        table.validate(full=True)  # a reader does so too: what does not pass is lost to it
    except pa.ArrowInvalid as error:
        raise RowsError(
            f"the rows hold a value that its type does not have ({error})",
            "values as Arrow defines them, such as whole days in a date64",
            _REMEDY,
        ) from error
    names = table.column_names
    if set(names) & set(RESERVED) or len(set(names)) < len(names):
        raise RowsError(
            f"the rows have columns {', '.join(map(repr, names))}",
            f"each name once, and none of {', '.join(RESERVED)}",
            "Rename columns.",
        )
    for number, field in enumerate(table.schema):
        if field.name in _OWN:
            continue
        kind = stored_type(field.type)
        try:
            if holds(kind, pa.types.is_union):
                raise pa.ArrowNotImplementedError("Arrow does not put unions together")
            column = _tidy(conform(table.column(number), kind))
            pa.nulls(1, kind).take(pa.array([0]))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise RowsError(
                f"column {field.name!r} is of type {field.type}, which cannot be stored ({error})",
                "a type that Arrow can cast and take rows from",
                "Cast the column to another type.",
            ) from error
        table = table.set_column(number, field.with_type(kind).remove_metadata(), column)
    return table


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries whose values are all used once, and none of them null: they can be unified."""
    if not pa.types.is_dictionary(column.type):
        return column
    return conform(column, column.type.value_type).dictionary_encode()


def own_columns(schema: pa.Schema) -> pa.Schema:
    """The users' part of a schema."""
    return pa.schema([field for field in schema if field.name not in _OWN])


def encode_columns(own: pa.Schema) -> str:
    """The users' columns as a manifest keeps them: Arrow IPC in base64, "" for none."""
    return base64.b64encode(own.serialize()).decode() if len(own) else ""


def decode_columns(encoded: str) -> pa.Schema:
    """What `encode_columns` encoded; a release before this one may have had unstorable types."""
    if not encoded:
        return pa.schema([])
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(encoded)))
    return pa.schema([field.with_type(stored_type(field.type)) for field in schema])


def merge_columns(known: pa.Schema, new: pa.Schema) -> pa.Schema:
    """The users' columns of a store after rows with new ones were appended.

    Raises
    ------
    RowsError
        If a column is there already, and no type holds its values and the new ones exactly.
    """
    merged = known
    for field in new:
        place = known.get_field_index(field.name)
        if place < 0:
            merged = merged.append(field.with_nullable(True))
            continue
        there = known.field(place)
        kind = common_type(there.type, stored_type(field.type))
        if kind is None:
            raise RowsError(
                f"column {field.name!r} is of type {field.type}",
                f"{there.type}, as in the rows that are there, or one that goes with it",
                "Convert the column, or give it another name.",
            )
        merged = merged.set(place, there.with_type(kind))
    return merged
