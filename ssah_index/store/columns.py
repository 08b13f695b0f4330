"""Columns of rows: the five that every store has, and the users' own of any Arrow type.

A store's columns may grow: an append may bring a new one, which is null in older rows; a
column that is there keeps its type. All of them are in each manifest, so that two writers
cannot give one name two types.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ssah_index.errors import InputError, QueryError, RowsError
from ssah_index.store.format import IdKind
from ssah_index.types import Item, Modality

ID_TYPES: Mapping[IdKind, pa.DataType] = {"string": pa.string(), "int64": pa.int64()}
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


def items_table(
    items: Sequence[Item], modality: Modality, own: pa.Schema | None = None
) -> pa.Table:
    """Rows of items, in their order; ids are strings, and ``own`` are the users' columns.

    Raises
    ------
    RowsError
        If a user's column has a name or type that a store cannot take.
    """
    table = pa.Table.from_pydict(
        {
            "id": [item.id for item in items],
            "modality": _modalities(modality, len(items)),
            "source": [item.source for item in items],
            "text": [item.text for item in items],
            "labels": [list(item.labels) for item in items],
        },
        schema=base_schema("string"),
    )
    for field in own or ():
        values = [item.columns.get(field.name) for item in items]
        table = table.append_column(field, pa.array(values, field.type))
    _check_own(table)
    return table


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
    table = _as_table(rows)
    if table.num_rows != n:
        raise RowsError(f"{table.num_rows} rows for {n} codes", "one row a code", _REMEDY)
    if "id" not in table.column_names:
        raise RowsError(
            f"the rows have no column 'id' but {', '.join(map(repr, table.column_names))}",
            "the users' keys in it",
            "Name the column of keys id.",
        )
    _check_own(table)
    schema = base_schema(ids)
    absent = {
        "modality": _modalities(modality, n),
        "source": pa.repeat(pa.scalar("", pa.string()), n),
        "text": pa.nulls(n, pa.large_string()),
        "labels": pa.ListArray.from_arrays(np.zeros(n + 1, np.int32), pa.array([], pa.string())),
    }
    columns = [
        _cast(table.column(field.name), field) if field.name in table.column_names
        else absent[field.name]
        for field in schema
    ]  # fmt: skip
    if set(table.column("modality").to_pylist() if "modality" in table.column_names else ()) - {
        modality
    }:
        raise RowsError("the rows have other modalities", f"{modality!r} alone", _REMEDY)
    own = [name for name in table.column_names if name not in schema.names]
    for name in own:
        schema = schema.append(table.schema.field(name).remove_metadata())
        columns.append(table.column(name))
    return pa.Table.from_arrays(columns, schema=schema)


def _modalities(modality: Modality, n: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), pa.array([modality]))


def _as_table(rows: Any) -> pa.Table:
    try:
        if isinstance(rows, Mapping):
            return pa.table(dict(rows))
        return rows if isinstance(rows, pa.Table) else pa.table(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        raise RowsError(
            f"rows of type {type(rows).__name__} make no table ({error})",
            "an Arrow table, a data frame, or a mapping of names to columns of equal length",
            _REMEDY,
        ) from error


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """One of the store's own columns in its type; what would lose anything is refused."""
    if not field.nullable and column.null_count:
        first = column.is_null().index(True).as_py()
        raise RowsError(
            f"column {field.name!r} has {column.null_count} nulls, the first in row {first}",
            "a value in every row",
            "Fill them in, or leave those rows out.",
        )
    wrong = field.name == "id" and pa.types.is_integer(column.type) != pa.types.is_integer(
        field.type
    )
    try:
        if wrong:
            raise pa.ArrowInvalid("numbers and texts are different keys")
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RowsError(
            f"column {field.name!r} is of type {column.type} ({error})",
            f"{field.type}",
            "Convert the column, or make a store with other ids.",
        ) from error


def ids_array(ids: Sequence[Any] | pa.Array, kind: IdKind) -> pa.Array:
    """Keys as an Arrow array of the store's type.

    Raises
    ------
    QueryError
        If one is null or of another type.
    """
    try:
        made = pa.array(ids, ID_TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise QueryError(
            f"an id has the wrong type ({error})", f"{kind} ids", "Convert the ids."
        ) from error
    if made.null_count:
        raise QueryError("an id is null", f"{kind} ids", "Leave it out.")
    return made


def _check_own(table: pa.Table) -> None:
    """Refuse columns by name, and types that can be stored but not taken from."""
    names = table.column_names
    if set(names) & set(RESERVED) or len(set(names)) < len(names):
        raise RowsError(
            f"the rows have columns {', '.join(map(repr, names))}",
            f"each name once, and none of {', '.join(RESERVED)}",
            "Rename columns.",
        )
    for field in table.schema:
        try:
            pa.array([], field.type).take(pa.array([], pa.int64()))
        except pa.ArrowNotImplementedError as error:
            raise RowsError(
                f"column {field.name!r} is of type {field.type}, from which Arrow takes no rows",
                "a type that it can take from",
                "Cast the column: a string_view to large_string, for example.",
            ) from error


def own_columns(schema: pa.Schema) -> pa.Schema:
    """The users' part of a schema."""
    base = base_schema("string").names
    return pa.schema([field for field in schema if field.name not in base])


def encode_columns(own: pa.Schema) -> str:
    """The users' columns as a manifest keeps them: Arrow IPC in base64, "" for none."""
    return base64.b64encode(own.serialize()).decode() if len(own) else ""


def decode_columns(encoded: str) -> pa.Schema:
    """What `encode_columns` encoded."""
    if not encoded:
        return pa.schema([])
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(encoded)))


def merge_columns(known: pa.Schema, new: pa.Schema) -> pa.Schema:
    """The users' columns of a store after rows with new ones were appended.

    Raises
    ------
    RowsError
        If a column is there already, with another type.
    """
    merged = known
    for field in new:
        place = known.get_field_index(field.name)
        if place < 0:
            merged = merged.append(field.with_nullable(True))
        elif not known.field(place).type.equals(field.type):
            raise RowsError(
                f"column {field.name!r} is of type {field.type}",
                f"{known.field(place).type}, as in the rows that are there",
                "Convert the column, or give it another name.",
            )
    return merged


def parse_ids(texts: Sequence[str], ids: IdKind) -> list[Any]:
    """Keys that were typed or piped, as the store has them.

    Raises
    ------
    InputError
        If one is no number, and the store's keys are.
    """
    if ids == "string":
        return list(texts)
    try:
        return [int(text) for text in texts]
    except ValueError as error:
        raise InputError(
            f"an id is no number ({error})", "int64 ids, as this store has", "Correct the id."
        ) from error
