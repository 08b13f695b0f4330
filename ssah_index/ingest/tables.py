"""Tables of items: JSONL, CSV and Parquet files as rows of strings with line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssah_index.errors import SourceError

TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table: its values, or why there are none."""

    line: int
    """Line of the file, from 1; for Parquet the row, from 1."""
    values: Mapping[str, Any]
    """By column; empty when the line cannot be read."""
    error: str | None = None
    """Why the line cannot be read."""


def read_table(path: Path) -> Iterator[Record]:
    """Read a table line by line; a damaged line is a record with an error.

    Raises
    ------
    SourceError
        If the file is missing, of another kind, or damaged as a whole.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise SourceError(
            f"{path} ends in {path.suffix or 'nothing'}",
            f"one of {', '.join(TABLE_SUFFIXES)}",
            "Convert the table, or rename the file.",
        )
    try:
        yield from readers[path.suffix](path)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path} cannot be read ({error})", f"a {path.suffix[1:]} file", "Look at the file."
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
