"""Values as JSON has them, and text as a terminal may show it.

JSON has no NaN and no infinity: they are null. Dates, times and decimals are text, bytes are
hexadecimal text, as codes are. Strings that are no Unicode (file names may be none) are escaped,
so that every line is JSON and UTF-8.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
_SEPARATORS = re.compile("[\x85\u2028\u2029]")
"""Ends of lines to some readers of JSONL, though not to JSON."""
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What lets a terminal show characters in another order than they have."""


def to_json(value: Any, indent: int | None = None) -> str:
    """A JSON document of plain data and of what `_plain` knows."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain, indent=indent)
    except ValueError:  # slower, so only where some number is not finite
        text = json.dumps(_finite(value), ensure_ascii=False, default=_plain, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(_finite(value), default=_plain, indent=indent)
    return _SEPARATORS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:
    """What JSON does not have, as text."""
    return bytes(value).hex() if isinstance(value, (bytes, memoryview)) else str(value)


def _finite(value: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def records(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table as plain data.

    Dates and times are text already: Python has none before the year 1, after 9999, or finer
    than a microsecond.
    """
    import pyarrow as pa

    columns = []
    for column in table.columns:
        shown = _shown(column.type)
        columns.append(column if shown == column.type else column.cast(shown))
    plain: list[dict[str, Any]] = pa.table(columns, table.column_names).to_pylist()
    return plain


def _shown(kind: pa.DataType) -> pa.DataType:
    """A type with text in place of times, however deep they lie."""
    import pyarrow as pa

    types = pa.types
    if types.is_temporal(kind) and not types.is_interval(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return _shown(kind.value_type)
    if types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([field.with_type(_shown(field.type)) for field in fields])
    if types.is_map(kind):
        return pa.map_(_shown(kind.key_type), _shown(kind.item_type))
    return _shown_list(kind)


def _shown_list(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_shown(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_shown(kind.value_type), kind.list_size)
    return kind


def visible(text: str, escape: bool) -> str:
    """The user's words as they are: no markup, and nothing that steers a terminal.

    Parameters
    ----------
    text : str
    escape : bool
        Show such characters as Python writes them, so that a copy can be told from another;
        else as spaces.
    """

    def shown(character: str) -> str:
        steers = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if not steers and not _BIDI.match(character):
            return character
        return character.encode("unicode_escape").decode() if escape else " "

    return "".join(map(shown, text))
