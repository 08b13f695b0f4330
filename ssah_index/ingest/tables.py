"""Tables of items: JSONL, CSV, TSV and Parquet files as records with line numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa

from ssah_index.errors import SourceError
from ssah_index.ingest.csvs import read_csv
from ssah_index.ingest.files import file_fault
from ssah_index.ingest.records import MAX_RECORD, Record, RecordError, check_json, is_unicode, shown

TABLE_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
IMAGE_BYTES = "bytes of images"
NAMED = 20
"""Columns that an error names."""
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table in memory."""

    path: Path
    """The file."""
    names: Sequence[str]
    """Its columns, without those that are ignored; empty where no line of JSONL can be read."""
    records: Sequence[Record]
    """Its lines in order, blank ones left out."""
    schema: pa.Schema | None = None
    """Names and types of its columns, where the file says them: Parquet."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Columns that were not read, and why."""

    def require(self, column: str, why: str = "") -> None:
        """Refuse a table that does not have a column at all: it is misnamed, not empty.

        Raises
        ------
        SourceError
            Naming the columns there are.
        """
        found = self.names
        if not found or column in found:
            return
        remedy = "Rename the column."
        if column == "path":
            remedy = "Rename the column, or move the table away if it is not about the images."
        if len(found) == 1 and self.path.suffix.lower() in (".csv", ".tsv"):
            remedy = "Rename the column, or separate columns by commas (.csv) or tabs (.tsv)."
        names = [shown(name) for name in sorted(found)[:NAMED]]
        names += [f"{len(found) - NAMED:,} more"] if len(found) > NAMED else []
        raise SourceError(
            f"{self.path} has no column {column!r} but {', '.join(names)}",
            f"a column {column!r}{why}",
            remedy,
        )


def read_table(path: Path) -> Table:
    """Read a table; a damaged line is a record with an error.

    Raises
    ------
    SourceError
        If the file is missing, no regular file, of another kind, or damaged as a whole.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise SourceError(
            f"{path} ends in {suffix or 'nothing'}",
            f"one of {', '.join(TABLE_SUFFIXES)}",
            "Convert the table, or rename the file.",
        )
    fault = file_fault(path)
    if fault is not None:
        raise SourceError(f"{path}: {fault}", "a table", "Check the path.")
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        _refuse_wide_text(path)
        if suffix == ".jsonl":
            return _read_jsonl(path)
        names, records = read_csv(path, _SEPARATORS[suffix])
        return Table(path=path, names=names, records=records)
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path} cannot be read ({error})", f"a {suffix[1:]} file", "Look at the file."
        ) from error


def _refuse_wide_text(path: Path) -> None:
    """UTF-16 and UTF-32 begin with a mark, or with ASCII that has zeros between."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise SourceError(
            f"{path} cannot be read: it begins as UTF-16 or UTF-32 does",
            "text in UTF-8",
            "Save it as UTF-8.",
        )


def _read_jsonl(path: Path) -> Table:
    with path.open("rb") as file:
        records = [
            _json_record(line, content)
            for line, content in enumerate(_lines(file), 1)
            if content is None or content.strip()
        ]
    whole = [record.values for record in records if record.error is None]
    names = dict.fromkeys(name for values in whole for name in values)
    return Table(path=path, names=list(names), records=records)


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines up to MAX_RECORD bytes; None for one that is longer."""
    start = b"\xef\xbb\xbf"
    while content := file.readline(MAX_RECORD):
        if len(content) < MAX_RECORD:
            yield content.removeprefix(start)
        else:
            while content and not content.endswith(b"\n"):
                content = file.readline(MAX_RECORD)
            yield None
        start = b""


def _json_record(line: int, content: bytes | None) -> Record:
    if content is None:
        return Record(line, {}, f"more than {MAX_RECORD:,} bytes")
    try:
        values = _DECODER.decode(content.decode())
    except UnicodeDecodeError as error:
        return Record(line, {}, f"no UTF-8: {error}")
    except ValueError as error:
        return Record(line, {}, f"no JSON: {error}")
    except RecursionError:
        return Record(line, {}, "JSON that is nested too deep")
    if not isinstance(values, dict):
        return Record(line, {}, f"a JSON {type(values).__name__}, not an object")
    return _checked(Record(line, values))


def _checked(record: Record) -> Record:
    """The record, or why a store could not keep one of its values."""
    try:
        for name, value in record.values.items():
            if not is_unicode(name):
                raise RecordError(f"no Unicode: a column is called {shown(name)}")
            if name not in ("path", "text", "id"):  # the record says it of these
                check_json(value, name)
    except RecordError as error:
        return Record(record.line, _usable(record.values), str(error))
    return record


def _usable(values: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a person which line it is."""
    return {"id": values["id"]} if "id" in values else {}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {shown(twice)} is there {names.count(twice)} times")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow.remove_metadata()
        names = schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"{path} has several columns {', '.join(map(shown, twice))}",
                "each name once",
                "Rename columns.",
            )
        ignored = {column.name: IMAGE_BYTES for column in schema if holds_image_bytes(column)}
        wanted = [name for name in names if name not in ignored]
        records: list[Record] = []
        for batch in file.iter_batches(columns=wanted):
            records += _batch_records(batch, len(records))
    return Table(path=path, names=wanted, records=records, schema=schema, ignored=ignored)


def _batch_records(batch: pa.RecordBatch, before: int) -> Iterator[Record]:
    """Records of a batch; where a value is broken, of its rows one by one."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        for row in range(batch.num_rows):
            yield _row_record(batch.slice(row, 1), before + row + 1)
    else:
        for line, values in enumerate(rows, before + 1):
            yield Record(line, values)


def _row_record(row: pa.RecordBatch, line: int) -> Record:
    values = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            values[name] = column[0].as_py()
        except (ValueError, OverflowError) as error:
            return Record(line, _usable(values), f"column {name!r} cannot be read ({error})")
    return Record(line, values)


def holds_image_bytes(field: pa.Field) -> bool:
    """Whether a column holds encoded images: bytes and path, as datasets of Hugging Face do."""
    kind = field.type
    if pa.types.is_struct(kind):
        inner = {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
        own = inner.get("bytes")
        is_null = own is not None and pa.types.is_null(own) and "path" in inner
        return is_null or (own is not None and _is_binary(own))
    return field.name in ("image", "images", "img") and _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return any(test(kind) for test in _BINARY)
