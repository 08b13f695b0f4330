"""CSV and TSV: RFC 4180 with a header, row by row, so that a broken row costs itself alone.

The csv module of Python reads on to the next quote when one is missing, and its limit of a
field's length is one for the whole process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ssah_index.errors import SourceError
from ssah_index.ingest.records import MAX_RECORD, Record, is_unicode, shown

NAMED = 3
"""Faults of a header that are named."""


class RowError(ValueError):
    """A row that is no CSV."""


def read_csv(path: Path, separator: str) -> tuple[list[str], list[Record]]:
    """The columns and the rows of a table with a header; an empty cell is null.

    Raises
    ------
    SourceError
        If a column of the header has no name or that of another, or the header is no CSV.
    """
    # Bytes that are no UTF-8 come as lone surrogates, which tell in which row they stand.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _Rows(file, separator)
        header = _header(path, rows)
        return header, list(_records(rows, header))


def _records(rows: _Rows, header: list[str]) -> Iterator[Record]:
    while rows.more():
        line = rows.line
        try:
            fields = rows.fields()
        except RowError as error:
            yield Record(line, {}, str(error))
        else:
            if fields != [""]:
                yield _record(line, fields, header)


def _header(path: Path, rows: _Rows) -> list[str]:
    """The first line that is not blank; without one, no columns."""
    header = [""]
    try:
        while header == [""] and rows.more():
            header = rows.fields()
    except RowError as error:
        raise SourceError(
            f"{path} cannot be read: {error}", "a line that names the columns", "Correct it."
        ) from error
    if header == [""]:
        return []
    counts = Counter(header).items()
    faults = [f"column {shown(name)} is there {n} times" for name, n in counts if n > 1]
    faults += [f"column {at} has no name" for at, name in enumerate(header, 1) if not name.strip()]
    faults += [f"column {shown(name)} is not UTF-8" for name in header if not is_unicode(name)]
    if faults:
        raise SourceError(
            f"{path} cannot be read: {'; '.join(faults[:NAMED])}",
            "a first line that names each column once, in UTF-8",
            "Name the columns in the file, or leave them out.",
        )
    return header


def _record(line: int, fields: list[str], header: list[str]) -> Record:
    if len(fields) > len(header):
        return Record(line, {}, "more fields than the header names")
    if len(fields) < len(header):
        return Record(line, {}, f"{len(fields)} fields, and the header names {len(header)}")
    for name, value in zip(header, fields, strict=True):
        if not is_unicode(value):
            return Record(line, {}, f"no UTF-8: column {name!r} is {shown(value)}")
    return Record(line, {name: value or None for name, value in zip(header, fields, strict=True)})


class _Rows:
    """Rows of fields; after an error it goes on in the line below the one where the row began.

    Parameters
    ----------
    file : text file
        Whose lines keep their ends.
    separator : str
        One character.
    """

    def __init__(self, file: TextIO, separator: str) -> None:
        self.line = 1
        self._file = file
        self._separator = separator
        self._waiting: deque[str] = deque()

    def more(self) -> bool:
        """Whether there is a line to read."""
        if not self._waiting:
            line = self._file.readline(MAX_RECORD)
            if line:
                self._waiting.append(line)
        return bool(self._waiting)

    def fields(self) -> list[str]:
        """The fields of the next row.

        Raises
        ------
        RowError
            If it is too long, or its quotes are wrong.
        """
        line = self._next()
        first = self.line
        self.line += 1
        if '"' not in line:
            return line.rstrip("\r\n").split(self._separator)
        fields: list[str] = []
        taken = [line]
        at = 0
        try:
            while True:
                if line.startswith('"', at):
                    field, line, at = self._quoted(taken, at + 1, first)
                else:
                    end = line.find(self._separator, at)
                    end = len(line.rstrip("\r\n")) if end < 0 else end
                    field, at = line[at:end], end
                fields.append(field)
                if not line.startswith(self._separator, at):
                    break
                at += 1
        except RowError:
            self._waiting.extendleft(reversed(taken[1:]))
            raise
        self.line += len(taken) - 1
        return fields

    def _next(self) -> str:
        """One line; one that is too long is passed over to its end."""
        line = self._waiting.popleft() if self._waiting else self._file.readline(MAX_RECORD)
        if len(line) < MAX_RECORD:
            return line
        while line and not line.endswith(("\r", "\n")):
            line = self._file.readline(MAX_RECORD)
        self.line += 1
        raise RowError(f"more than {MAX_RECORD:,} characters")

    def _quoted(self, taken: list[str], at: int, first: int) -> tuple[str, str, int]:
        """A field from behind its opening quote: itself, the line it ends in, and where."""
        opened = first + len(taken) - 1
        line = taken[-1]
        parts: list[str] = []
        size = sum(map(len, taken))
        while True:
            end = line.find('"', at)
            if end >= 0:
                parts.append(line[at:end])
                if not line.startswith('"', end + 1):
                    break
                parts.append('"')
                at = end + 2
                continue
            parts.append(line[at:])
            if size > MAX_RECORD or not self.more():
                raise RowError(f"a quote opened in line {opened} is never closed")
            line, at = self._waiting.popleft(), 0
            taken.append(line)
            size += len(line)
        if not line.startswith(self._separator, end + 1) and line[end + 1 :].rstrip("\r\n"):
            raise RowError(
                f"a quote opened in line {opened} is closed before more text in line "
                f"{first + len(taken) - 1}; within quotes, a quote is written twice"
            )
        return "".join(parts), line, end + 1
