"""The users' keys where they come in: each is taken exactly as it is, or refused in words.

Nothing is ever converted: 2.5 is not 2, 7 is not "7", and an id that a line of text holds is
that line, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ssah_index.codes import as_int64
from ssah_index.codes.whole import (
    GREATEST,
    LEAST,
    arrow_column,
    check_one_axis,
    is_arrow,
    items_of,
    shown,
    wrong_item,
)
from ssah_index.errors import InputError, QueryError, RowsError
from ssah_index.store.format import IdKind

ID_TYPES: Mapping[IdKind, pa.DataType] = {"string": pa.string(), "int64": pa.int64()}
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_BOM = b"\xef\xbb\xbf"


def ids_array(ids: Any, kind: IdKind, error: type[InputError] = QueryError) -> pa.Array:
    """Keys as an Arrow array of the store's type.

    Parameters
    ----------
    ids : str or int, or a sequence of them
        A list, tuple, set or other iterable, an array, a data frame's column or an Arrow array.
        A bare str, in a store of strings, or int, in one of numbers, is one id.
    kind : {"string", "int64"}
        What the store's keys are.
    error : type of InputError
        What is raised.

    Raises
    ------
    InputError
        If one is null or of another type: a float, a bool, a date, bytes; or a number beyond
        int64, or a text that is no Unicode.
    """
    ids = ids.as_py() if isinstance(ids, pa.Scalar) else ids
    ids = ids[()] if isinstance(ids, np.ndarray) and ids.ndim == 0 else ids
    if isinstance(ids, str if kind == "string" else (int, np.integer)):
        ids = [ids]
    if kind == "int64":
        return pa.array(as_int64(ids, "id", error), pa.int64())
    if is_arrow(ids):
        column = arrow_column(ids)
        if column is not None:
            whole = id_column(column, kind, error).combine_chunks()
            return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    return _strings(ids, error)


def _strings(ids: Any, error: type[InputError]) -> pa.Array:
    expected = "string ids, as this store has"
    if isinstance(ids, np.ndarray):
        check_one_axis(ids, "id", expected, error)
        if ids.dtype.kind not in "UTO" and len(ids):
            raise error(
                f"ids are given as an array of {ids.dtype}",
                expected,
                "No id is converted: pass each as the store has it.",
            )
        ids = ids.tolist()
    items = items_of(ids, "id", expected, error)
    wrong = tuple(type_ for type_ in set(map(type, items)) if not issubclass(type_, str))
    if wrong:
        raise wrong_item(items, wrong, "id", expected, error)
    try:
        return pa.array(items, pa.string())
    except UnicodeEncodeError as fault:
        raise error(
            f"id {shown(fault.object)} is no Unicode ({fault.reason})",
            "texts that UTF-8 can write",
            "Correct the id; this one can be in no store.",
        ) from None


def id_kind(type: pa.DataType) -> IdKind | None:
    """What keys a column of this type has; None if it has none."""
    if pa.types.is_dictionary(type) or pa.types.is_run_end_encoded(type):
        return id_kind(type.value_type)
    if pa.types.is_integer(type):
        return "int64"
    texts = pa.types.is_string(type) or pa.types.is_large_string(type)
    return "string" if texts or pa.types.is_string_view(type) else None


def id_column(
    column: pa.ChunkedArray, kind: IdKind, error: type[InputError] = RowsError
) -> pa.ChunkedArray:
    """A column of keys in the type of the store.

    Raises
    ------
    InputError
        As `ids_array` does.
    """
    if column.null_count:
        first = column.is_null().index(True).as_py()
        raise error(
            f"column 'id' has {column.null_count} nulls, the first in row {first}",
            "a value in every row",
            "Fill them in, or leave those rows out.",
        )
    if id_kind(column.type) != kind and len(column):
        raise error(
            f"column 'id' is of type {column.type}",
            f"{ID_TYPES[kind]}, since numbers, texts and dates are different keys",
            "Convert the column, or make a store with other ids.",
        )
    try:
        chunks = [_plain(chunk).cast(ID_TYPES[kind]) for chunk in column.chunks]
    except pa.ArrowInvalid as fault:
        raise error(
            f"column 'id' is of type {column.type} ({fault})",
            f"{ID_TYPES[kind]}",
            "Leave out those ids, or make a store with other ids.",
        ) from fault
    return pa.chunked_array(chunks, ID_TYPES[kind])


def _plain(chunk: pa.Array) -> pa.Array:
    return pc.run_end_decode(chunk) if pa.types.is_run_end_encoded(chunk.type) else chunk


def parse_ids(texts: Sequence[str], ids: IdKind) -> list[Any]:
    """Keys that were typed or piped, as the store has them.

    Where keys are numbers, a text is one only as this tool prints it: digits, behind a ``-`` if
    it is below zero. ``+5``, ``007``, ``1_000``, blanks and other scripts' digits are refused.

    Raises
    ------
    InputError
        If one is no such number, and the store's keys are.
    """
    if ids == "string":
        return list(texts)
    numbers = [int(text) if _WHOLE.fullmatch(text) else None for text in texts]
    for text, number in zip(texts, numbers, strict=True):
        if number is None or not LEAST <= number <= GREATEST:
            raise InputError(
                f"an id is no number ({shown(text)})",
                "int64 ids, as this store has, in plain digits such as 42 or -7",
                "Correct the id.",
            )
    return numbers


def read_ids(
    content: bytes, where: str, *, null: bool = False, error: type[InputError] = InputError
) -> list[str]:
    r"""Ids from a file or a pipe: each line is one, exactly.

    Parameters
    ----------
    content : bytes
        UTF-8. Lines end in ``\n`` and in nothing else; the last one need not.
    where : str
        How the message names the file.
    null : bool
        Ids end in NUL instead, so that any id can be read, one with a newline too.
    error : type of InputError
        What is raised.

    Raises
    ------
    InputError
        If a line is no UTF-8, ends in ``\r``, or there is a byte order mark before the first:
        is that part of the id, or was the file made by an editor?
    """
    mark = b"\0" if null else b"\n"
    lines = content.split(mark)
    if not lines[-1]:
        lines.pop()
    if not null and content.startswith(_BOM):
        raise error(
            f"{where} begins with a byte order mark",
            "ids in UTF-8 without one",
            "Save it without the mark. Of an id that begins with one, end each id in NUL.",
        )
    ids = []
    for number, line in enumerate(lines, 1):
        if not null and line.endswith(b"\r"):
            raise error(
                f"line {number} of {where} ends in \\r\\n",
                "lines that end in \\n alone",
                "Convert it: tr -d '\\r'. If ids do end in \\r, end each in NUL instead.",
            )
        try:
            ids.append(line.decode())
        except UnicodeDecodeError as fault:
            raise error(
                f"line {number} of {where} is no UTF-8: {shown(line)} ({fault.reason})",
                "ids in UTF-8, as every id of a store is",
                "Convert the file to UTF-8.",
            ) from None
    return ids
