"""JSON documents of a store: decoded with care, and their fields taken with type and bounds.

Nothing that is read is trusted: a document may be nested without end, hold NaN or numbers of any
size, and lack or add fields. Every fault is a CorruptError that names the file, the field and the
value.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection
from typing import Any, NoReturn

from ssah_index.errors import CorruptError
from ssah_index.store.files import Seal
from ssah_index.store.names import plain_name, plain_path
from ssah_index.store.place import RESTORE

MOST = (1 << 63) - 1
"""The greatest number of bytes, rows or generations."""


def decode(
    content: bytes, file: str, whole: str = "a JSON object", remedy: str = RESTORE
) -> Fields:
    """The one object of a JSON file.

    Raises
    ------
    CorruptError
        If it is no JSON, or no object.
    """
    try:
        body = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # among them what is no UTF-8
        raise CorruptError(f"{file} cannot be read ({error})"[:400], whole, remedy) from error
    return Fields(body, file, remedy)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too great")
    return value


class Fields:
    """The fields of one JSON object.

    Parameters
    ----------
    body : object
        What was decoded.
    where : str
        The file, and the place in it.
    remedy : str
        What to do where a field is wrong.

    Raises
    ------
    CorruptError
        If it is no object. So does every method, if a field is missing or is something else.
    """

    __slots__ = ("body", "remedy", "where")

    def __init__(self, body: Any, where: str, remedy: str = RESTORE) -> None:
        self.body: dict[str, Any] = body
        self.where = where
        self.remedy = remedy
        if type(body) is not dict:
            raise self._error(f"is {reprlib.repr(body)}", "an object")

    def wrong(self, name: str, expected: str) -> CorruptError:
        """The error that names a field."""
        if name not in self.body:
            return self._error(f"has no {reprlib.repr(name)}", expected)
        return self._error(
            f"has {reprlib.repr(self.body[name])} for {reprlib.repr(name)}", expected
        )

    def _error(self, fault: str, expected: str) -> CorruptError:
        return CorruptError(f"{self.where} {fault}", expected, self.remedy)

    def unknown(self, known: Collection[str]) -> set[str]:
        """Fields that this release does not know."""
        return self.body.keys() - known

    def integer(self, name: str, most: int = MOST, least: int = 0) -> int:
        value = self.body.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, most: float = 1e300) -> float:
        value: Any = self.body.get(name)
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise self.wrong(name, f"a number from 0 to {most}")
        return float(value)

    def text(self, name: str) -> str:
        value = self.body.get(name)
        if not _is_text(value):
            raise self.wrong(name, "text")
        return str(value)

    def choice(self, name: str, choices: Collection[str]) -> str:
        value = self.body.get(name)
        if type(value) is not str or value not in choices:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return value

    def name(self, name: str) -> str:
        """The name of a file or folder."""
        value = self.body.get(name)
        if type(value) is not str or not plain_name(value):
            raise self.wrong(name, "a plain name, without separators")
        return value

    def texts(self, name: str, missing: bool = False) -> tuple[str, ...]:
        """A list of texts; of none, where the field may be missing."""
        value = self.body.get(name, [] if missing else None)
        if type(value) is not list or not all(map(_is_text, value)):
            raise self.wrong(name, "a list of texts")
        return tuple(value)

    def integers(self, name: str, most: int) -> list[int]:
        value = self.body.get(name)
        if type(value) is not list or not all(type(i) is int and 0 <= i <= most for i in value):
            raise self.wrong(name, f"a list of whole numbers from 0 to {most}")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """Whole numbers by text."""
        value = self.body.get(name)
        if type(value) is not dict or not all(map(_is_text, value)):
            raise self.wrong(name, "whole numbers by name")
        if not all(type(count) is int and 0 <= count <= MOST for count in value.values()):
            raise self.wrong(name, f"whole numbers from 0 to {MOST}")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        value = self.body.get(name)
        if type(value) is not list:
            raise self.wrong(name, "a list of objects")
        return [
            Fields(item, f"{self.where}: {name}[{i}]", self.remedy) for i, item in enumerate(value)
        ]

    def object(self, name: str) -> Fields:
        if name not in self.body:
            raise self.wrong(name, "an object")
        return Fields(self.body[name], f"{self.where}: {reprlib.repr(name)}", self.remedy)

    def seals(self, name: str) -> dict[str, Seal]:
        """Seals of files, by their path below a folder."""
        held = self.object(name)
        for path in held.body:
            if not plain_path(path):
                raise held.wrong(path, "plain names below its folder alone")
        parts = {path: held.object(path) for path in held.body}
        return {path: Seal(part.integer("size"), part.text("xxh3")) for path, part in parts.items()}

    def sizes(self, name: str, usual: Collection[str] = ()) -> dict[str, int]:
        """Bytes of files, by their path below a folder; ``usual`` paths are known to be plain."""
        value = self.body.get(name)
        if type(value) is not dict:
            raise self.wrong(name, "bytes of each file")
        for path, size in value.items():
            if type(size) is not int or not 0 <= size <= MOST:
                raise self.wrong(name, f"whole numbers from 0 to {MOST}")
            if path not in usual and not plain_path(path):
                raise self.wrong(name, "plain names below its folder alone")
        return value


def _is_text(value: object) -> bool:
    """Whether it is text that can be written: half of a surrogate pair is none."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
