"""Records: one line of a table, and what of it can be used.

What is wrong with one line is a `RecordError`, which becomes the reason in the ledger and
costs that line alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 1 << 24
"""Characters of one value, and bytes of one .txt file."""
MAX_RECORD = 1 << 26
"""Bytes of one line of JSONL, characters of one row of CSV."""
MAX_DEPTH = 32
"""Lists and objects within each other; Arrow files hold 64 levels."""
SHOWN = 80


class RecordError(ValueError):
    """A value of one line that cannot be used; becomes the reason in the ledger."""


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: JSON and file names may carry lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    r"""A file's name as text, bytes that are no UTF-8 as \xff."""
    return name if is_unicode(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def told(name: str) -> str:
    r"""A file's or column's name for a message: as it stands, unless it would not show.

    Examples
    --------
    >>> told("a-1.jpg"), told("a\nb")
    ('a-1.jpg', "'a\\nb'")
    """
    name = printable(name)
    return name if name.isprintable() and len(name) <= SHOWN else shown(name)


def shown(value: Any) -> str:
    r"""A value for a message: in ASCII where it is no Unicode, and never longer than a line.

    Examples
    --------
    >>> shown("a\nb"), shown(7)
    ("'a\\nb'", '7')
    """
    if isinstance(value, (str, bytes)) and len(value) > SHOWN:
        value, rest = value[:SHOWN], len(value) - SHOWN
        return f"{shown(value)} and {rest:,} more"
    text = repr(value)
    text = text if is_unicode(text) else ascii(value)
    return text if len(text) <= 2 * SHOWN else f"{text[: 2 * SHOWN]} ..."


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table: its values, or why there are none."""

    line: int
    """Line of the file where the record begins, from 1; for Parquet the row, from 1."""
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
        self.check()
        value = self.values.get(column)
        if value is None:
            return None
        if not isinstance(value, str):
            raise RecordError(f"no text: column {column!r} is {shown(value)}")
        check_text(value, column)
        return value

    def key(self, otherwise: str) -> str:
        """The record's id: a text as it stands, a whole number in decimal digits.

        Parameters
        ----------
        otherwise : str
            What it is where the column is absent, null or empty.

        Raises
        ------
        RecordError
            If it is anything else. Floats are not converted: 1e17 would be another id.
        """
        value = self.values.get("id")
        if value is None or value == "":
            return otherwise
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise RecordError(
                f"no id: column 'id' is {shown(value)} of type {type(value).__name__}; "
                "ids are texts or whole numbers and never converted"
            )
        check_text(value, "id")
        return value

    def key_or(self, otherwise: str) -> str:
        """The record's id where it has one that can be used."""
        try:
            return self.key(otherwise)
        except RecordError:
            return otherwise

    def check(self) -> None:
        """Raise what kept the line from being read, if anything did."""
        if self.error is not None:
            raise RecordError(self.error)


def check_text(text: str, column: str) -> None:
    """Refuse what cannot be stored.

    Raises
    ------
    RecordError
    """
    if not is_unicode(text):
        raise RecordError(f"no Unicode: column {column!r} is {shown(text)}")
    if len(text) > MAX_TEXT:
        raise RecordError(f"column {column!r} has {len(text):,} characters, more than {MAX_TEXT:,}")


def check_json(value: Any, column: str, depth: int = 0) -> None:
    """Refuse what JSON can say and a column cannot hold.

    Raises
    ------
    RecordError
        If a text, or a key at any depth, is no Unicode; if a number does not fit 64 bits; if
        lists and objects lie too deep in each other.
    """
    if isinstance(value, str):
        check_text(value, column)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise RecordError(f"column {column!r} is {shown(value)}, which does not fit 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"column {column!r} is a number beyond what 64 bits can hold")
    elif isinstance(value, (list, dict)):
        if depth == MAX_DEPTH:
            raise RecordError(f"column {column!r} is nested deeper than {MAX_DEPTH} levels")
        for part in value:
            check_json(part, column, depth + 1)
        if isinstance(value, dict):
            for part in value.values():
                check_json(part, column, depth + 1)
