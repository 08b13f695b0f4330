"""Tables of items: JSONL, CSV and Parquet files as rows of strings with line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssah_index.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

MEANT = frozenset(("path", "text", "id", "labels"))
"""Columns that readers read."""
TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")


class RecordError(ValueError):
    """A value of one line that cannot be used; becomes the reason in the ledger."""


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: JSON and file names may carry lone surrogates."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table: its values, or why there are none."""

    line: int
    """Line of the file, from 1; for Parquet the row, from 1."""
    values: Mapping[str, Any]
    """By column; empty when the line cannot be read."""
    error: str | None = None
    """Why the line cannot be read."""

    def text(self, column: str) -> str | None:
        """A column's text, None where it is absent or null.

        Raises
        ------
        RecordError
            If the line could not be read, or the value is no text that can be stored.
        """
        if self.error is not None:
            raise RecordError(self.error)
        value = self.values.get(column)
        if value is None:
            return None
        if not isinstance(value, str):
            raise RecordError(f"no text: column {column!r} is {value!r}")
        if not is_unicode(value):
            raise RecordError(f"no Unicode: column {column!r} is {value!a}")
        return value

    def own(self) -> dict[str, Any]:
        """The columns that mean nothing to us: the user's own."""
        return {name: value for name, value in self.values.items() if name not in MEANT}

    def labels(self) -> tuple[str, ...]:
        """Column ``labels``: a list of names, or one string of them separated by ";".

        Raises
        ------
        RecordError
            If it is neither.
        """
        value = self.values.get("labels")
        if value is None:
            return ()
        if isinstance(value, str):
            value = [part.strip() for part in value.split(";") if part.strip()]
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise RecordError(f"no labels: column 'labels' is {value!r}")
        return tuple(value)


def read_table(path: Path) -> Iterator[Record]:
    """Read a table line by line; a damaged line is a record with an error.

    Raises
    ------
    SourceError
        If the file is missing, of another kind, or damaged as a whole.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise SourceError(
            f"{path} ends in {suffix or 'nothing'}",
            f"one of {', '.join(TABLE_SUFFIXES)}",
            "Convert the table, or rename the file.",
        )
    try:
        yield from readers[suffix](path)
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path} cannot be read ({error})", f"a {suffix[1:]} file", "Look at the file."
        ) from error


def _read_jsonl(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):
            if not content.strip():
                continue
            try:
                values = json.loads(content)
            except ValueError as error:
                yield Record(line, {}, f"no JSON: {error}")
                continue
            if isinstance(values, dict):
                yield Record(line, values)
            else:
                yield Record(line, {}, f"a JSON {type(values).__name__}, not an object")


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for values in reader:
            if None in values:
                yield Record(reader.line_num, {}, "more fields than the header names")
            else:
                yield Record(reader.line_num, values)


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    line = 0
    for batch in pq.ParquetFile(path).iter_batches():
        for values in batch.to_pylist():
            line += 1
            yield Record(line, values)


def own_schema(path: Path, rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Names and types of the user's columns of a table.

    A Parquet file says its types; of others each is what holds all values. A column without
    any value is left out.

    Raises
    ------
    SourceError
        If a column's values are of several types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        return pa.schema([field for field in pq.read_schema(path) if field.name not in MEANT])
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            found = pa.array([row.get(name) for row in rows]).type
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise SourceError(
                f"column {name!r} of {path} has values of several types ({error})",
                "one type a column",
                "Make them all numbers or all texts, or leave the column out.",
            ) from error
        if not pa.types.is_null(found):
            fields.append(pa.field(name, found))
    return pa.schema(fields)
