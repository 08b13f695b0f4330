"""Labels: the one rule by which a value of a table becomes names of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ssah_index.errors import SpecError
from ssah_index.ingest.records import RecordError, check_text, shown

LABELS = "labels"
"""The column that is read where none is named."""
AUTO = "auto"
GUESSED = (";", ",")
"""Separators that AUTO chooses from."""
ALIKE = ("label", "tags", "tag", "classes", "class", "categories", "category", "class_name")
"""Columns that somebody may expect to be read as labels."""
_LIST = re.compile(r"\[\s*(['\"]).*\1\s*\]", re.DOTALL)
"""A list that was written into a cell as text, as Python and pandas do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRule:
    """A list holds labels; a string is one label, or several with a separator between."""

    column: str = LABELS
    """Where they are."""
    separator: str | None = None
    """What stands between the labels of a string; "auto": ";" or "," by what stands there."""

    def __post_init__(self) -> None:
        faults = []
        if self.column in ("", "id", "path", "text"):
            faults.append(f"--label-column is {self.column!r}")
        if self.separator == "":
            faults.append("--label-separator is empty")
        if faults:
            raise SpecError(
                "; ".join(faults),
                "a column of its own, and one character or more",
                "Correct the options.",
            )

    def settled(self, values: Iterable[Any]) -> LabelRule:
        """The rule with "auto" replaced by the separator that stands in most of the strings."""
        if self.separator != AUTO:
            return self
        strings = [value for value in values if isinstance(value, str)]
        counts = {mark: sum(mark in string for string in strings) for mark in GUESSED}
        return replace(self, separator=max(GUESSED, key=lambda mark: counts[mark]))

    def names(self, value: Any) -> tuple[str, ...]:
        """The labels that a value holds, without blanks around them; () for null.

        Raises
        ------
        RecordError
            If it is no list of names or whole numbers, no string and no whole number.
        """
        if value is None:
            return ()
        parts = value if isinstance(value, list) else self._parts(value)
        names = [self._name(part, value) for part in parts]
        return tuple(name for name in names if name)

    def _parts(self, value: Any) -> Sequence[Any]:
        if not isinstance(value, str) or self.separator is None:
            return [value]
        if _LIST.fullmatch(value.strip()):
            raise RecordError(
                f"no labels: column {self.column!r} is {shown(value)}, a list written as text; "
                f"write its names with {self.separator!r} between, or use JSONL"
            )
        return value.split(self.separator)

    def _name(self, part: Any, value: Any) -> str:
        if isinstance(part, int) and not isinstance(part, bool):
            return str(part)
        if not isinstance(part, str):
            raise RecordError(
                f"no labels: column {self.column!r} is {shown(value)}; labels are names or whole "
                "numbers, or a list of them"
            )
        check_text(part, self.column)
        return part.strip()

    def doubts(self, values: Iterable[Any]) -> list[str]:
        """Sentences on strings that may hold several labels, and are read as one."""
        if self.separator is not None:
            return []
        strings = [value for value in values if isinstance(value, str)]
        lists = [string for string in strings if _LIST.fullmatch(string.strip())]
        if lists:
            return [
                f"{len(lists):,} labels such as {shown(lists[0])} are lists written as text, and "
                "each is one label; write the names with ; between and add --label-separator ';', "
                "or use JSONL"
            ]
        found = []
        for mark, word in zip(GUESSED, ("semicolon", "comma"), strict=True):
            holding = [string for string in strings if mark in string]
            if holding:
                found.append(
                    f"{len(holding):,} labels such as {shown(holding[0])} hold a {word}, and each "
                    f"is one label; --label-separator '{mark}' splits them"
                )
        return found
