"""The columns of a table: those that mean something, and the users' own with their types.

All that a store would refuse of a column is refused here, before anything is encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ssah_index.errors import SourceError
from ssah_index.ingest.labels import LABELS, LabelRule
from ssah_index.ingest.records import MAX_DEPTH, Record, shown
from ssah_index.ingest.tables import IMAGE_BYTES, Table, holds_image_bytes
from ssah_index.store.columns import RESERVED, base_schema
from ssah_index.types import Failure, Item

NO_VALUES = "no values"
NO_FOLDER = "images are read from a folder, with this table as --table"
MAX_COLUMNS = 1000
"""More are a sign that values were written as names; each costs a place in every manifest."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table's columns are read as."""

    table: Table
    """The table."""
    rule: LabelRule
    """Where labels are, and how they are read."""
    names: tuple[str, ...]
    """The users' own columns."""
    ignored: dict[str, str]
    """Columns that are not read, each with the reason, or ""."""

    @classmethod
    def of(cls, table: Table, rule: LabelRule, required: Sequence[str]) -> Columns:
        """Sort a table's columns.

        Raises
        ------
        SourceError
            If a required column is missing, or a store cannot take a user's column by its
            name.
        """
        for column in required:
            table.require(column)
        there = table.names
        if rule != LabelRule():
            table.require(rule.column, " for --label-column or --label-separator")
        meant = {"id", *required, rule.column}
        ignored = dict(table.ignored)
        ignored |= {
            name: why
            for name, why in (("path", NO_FOLDER), (LABELS, "not the --label-column"))
            if name in there and name not in meant
        }
        names = tuple(name for name in there if name not in meant and name not in ignored)
        _check_names(table, names)
        values = (record.values.get(rule.column) for record in table.records)
        return cls(table, rule.settled(values), names, ignored)

    def labels(self, record: Record) -> tuple[str, ...]:
        """A record's labels.

        Raises
        ------
        RecordError
            If they are none.
        """
        return self.rule.names(record.values.get(self.rule.column))

    def own(self, record: Record) -> dict[str, Any]:
        """A record's values of the users' columns."""
        values = record.values
        return {name: values[name] for name in self.names if name in values}

    def schema(self, rows: Sequence[Item | Failure]) -> tuple[pa.Schema, dict[str, str]]:
        """Names and types of the users' columns, and all columns that are ignored.

        A Parquet file says its types; of others each is what holds all values.

        Raises
        ------
        SourceError
            If a column's values are of several types, or of one that cannot be kept.
        """
        items = [row for row in rows if isinstance(row, Item)]
        fields, ignored = [], dict(self.ignored)
        for name in self.names:
            field = _field(self.table, name, items)
            if pa.types.is_null(field.type):
                ignored[name] = NO_VALUES
            elif holds_image_bytes(field):
                ignored[name] = IMAGE_BYTES
            else:
                fields.append(field)
        return pa.schema(fields), ignored


def _check_names(table: Table, names: Sequence[str]) -> None:
    taken = {*RESERVED, *base_schema("string").names}
    faults = [f"column {name!r}" for name in names if name in taken]
    faults += ["a column without a name" for name in names if not name.strip()]
    if faults:
        raise SourceError(
            f"{table.path} has {', '.join(faults)}, and a store uses that name itself",
            f"a name, and none of {', '.join(sorted(taken))}",
            "Rename the column in the table, or leave it out.",
        )
    if len(names) > MAX_COLUMNS:
        raise SourceError(
            f"{table.path} has {len(names):,} columns of its own, such as {shown(names[-1])}",
            f"{MAX_COLUMNS:,} at most",
            "Write values as values and not as names, or leave columns out.",
        )


def _field(table: Table, name: str, items: Sequence[Item]) -> pa.Field:
    """A column's type, which must take all its values and let rows be taken from it."""
    stated = None if table.schema is None else table.schema.field(name).type
    try:
        made = pa.array([item.columns.get(name) for item in items], stated)
        made[:0].take(pa.array([], pa.int64()))
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        if stated is not None:
            raise SourceError(
                f"column {name!r} of {table.path} is of type {stated}, which cannot be kept "
                f"({error})",
                "a type whose values Python can hold",
                "Cast the column, or leave it out.",
            ) from error
        raise SourceError(
            f"column {name!r} of {table.path} has values of several types "
            f"({_kinds(name, items)}: {error})",
            "one type a column",
            "Make them all numbers or all texts, or leave the column out.",
        ) from error
    if _depth(made.type) > MAX_DEPTH:
        raise SourceError(
            f"column {name!r} of {table.path} is nested {_depth(made.type)} levels deep",
            f"{MAX_DEPTH} at most",
            "Leave the column out.",
        )
    return pa.field(name, made.type)


def _kinds(name: str, items: Sequence[Item]) -> str:
    """The types of a column's values, each with the first item that has it."""
    first: dict[str, str] = {}
    for item in items:
        value = item.columns.get(name)
        if value is not None:
            first.setdefault(type(value).__name__, item.source)
    return ", ".join(f"{kind} in {source}" for kind, source in first.items())


def _depth(kind: pa.DataType) -> int:
    """Levels of lists and structs."""
    if not kind.num_fields:
        return 0
    return 1 + max(_depth(kind.field(at).type) for at in range(kind.num_fields))
