"""Files of codes that other tools made: npy, Arrow, Parquet and Faiss, and the ids beside them.

Files are mapped; Parquet and Faiss are read whole. Nothing is unpickled, and nothing but a
regular file is opened: a pipe would never end.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssah_index.codes import as_codes, check_bitorder
from ssah_index.errors import CodeError, MissingExtraError, RowsError, SourceError, SsahError
from ssah_index.store import IdKind, id_column, id_kind, ids_array, read_ids
from ssah_index.types import BitOrder, Codes

TABLES = (".parquet", ".arrow")
KINDS = "a .npy, .arrow or .parquet file, or a Faiss IndexBinaryFlat"


@dataclass(frozen=True, slots=True)
class CodeFile:
    """Codes to import: all of them, and rows by range."""

    codes: Codes
    """(n, nbytes), as they lie in the file."""
    bitorder: BitOrder
    """Theirs."""
    rows: pa.Table
    """n rows, with a column ``id`` of strings or int64."""
    kind: IdKind
    """Which of the two."""
    numbered: bool = False
    """Whether the file has no ids, so that they are row numbers."""


def read_code_file(source: Path, ids: Path | None, bitorder: BitOrder) -> CodeFile:
    """Read a file of codes, and of ids.

    Raises
    ------
    SourceError
        If one of them cannot be read, or they do not go together; it names that one.
    CodeError
        If what is read is no codes.
    RowsError
        If the ids of a table are neither texts nor whole numbers.
    """
    check_bitorder(bitorder)
    read = _read_table if source.suffix.lower() in TABLES else _read_codes
    with _reading(source, KINDS):
        return read(source, ids, bitorder)


@contextlib.contextmanager
def _reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a library says of a faulty file into one of our errors, naming the file."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
        yield
    except SsahError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SourceError(
            f"{path} cannot be read ({reason})", expected, "Look at the file."
        ) from error


def _read_table(source: Path, ids: Path | None, bitorder: BitOrder) -> CodeFile:
    if ids is not None:
        raise SourceError(f"{ids} beside {source}", "ids in the column id", "Leave out the ids.")
    if source.suffix.lower() == ".parquet":
        table = pq.read_table(source, memory_map=True)
    else:
        with pa.memory_map(str(source)) as mapped:
            try:
                table = pa.ipc.open_file(mapped).read_all()
            except pa.ArrowInvalid:
                mapped.seek(0)
                table = pa.ipc.open_stream(mapped).read_all()
    table.validate(full=True)  # a file from elsewhere: its offsets are not to be trusted
    names = table.column_names
    missing = {"code", "id"} - set(names)
    if missing or len(set(names)) < len(names):
        raise SourceError(
            f"{source} has no column {' and '.join(sorted(missing))} but {', '.join(names)}"
            if missing
            else f"{source} has columns {', '.join(names)}",
            "columns code and id, and each name once",
            "Rename columns.",
        )
    keys = table.column("id")
    kind = id_kind(keys.type)
    if kind is None:
        raise RowsError(
            f"column 'id' of {source} is of type {keys.type}",
            "texts or whole numbers: ids are never converted",
            "Convert the column.",
        )
    table = table.set_column(names.index("id"), "id", id_column(keys, kind))
    codes = as_codes(table.column("code"), what=f"codes of {source}")
    return CodeFile(codes, bitorder, table.drop_columns(["code"]), kind)


def _read_codes(source: Path, ids: Path | None, bitorder: BitOrder) -> CodeFile:
    keys: pa.Array | None = None
    if source.suffix.lower() == ".npy":
        array = _read_npy(source)
        if array.ndim != 2:
            raise CodeError(
                f"codes of {source} have {array.ndim} axes, shape {array.shape}",
                "two: (n, nbytes)",
                "Reshape to one row a code.",
            )
        bitorder = "little" if array.dtype == np.bool_ else bitorder  # packed here
        codes = as_codes(array, what=f"codes of {source}")
    else:
        codes, keys = _read_faiss(source)
    if ids is not None:
        if keys is not None:
            raise SourceError(f"{source} has ids of its own", "no other ids", "Leave them out.")
        keys = _read_ids(ids)
    numbered = keys is None
    if keys is None:
        keys = pa.array(np.arange(len(codes)))
    if len(keys) != len(codes):
        raise SourceError(
            f"{len(keys)} ids in {ids or source}", f"{len(codes)}, as codes", "Correct it."
        )
    kind: IdKind = "int64" if pa.types.is_integer(keys.type) else "string"
    return CodeFile(codes, bitorder, pa.table({"id": keys}), kind, numbered)


def _read_npy(path: Path) -> NDArray[Any]:
    if not path.stat().st_size:
        raise SourceError(f"{path} is empty", "a .npy file", "Write it again.")
    array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array


def _read_ids(path: Path) -> pa.Array:
    with _reading(path, "ids, one a line in UTF-8, or int64 in a .npy file"):
        if path.suffix.lower() != ".npy":
            lines = read_ids(path.read_bytes(), str(path), error=SourceError)
            return ids_array(lines, "string", SourceError)
        array = _read_npy(path)
        try:
            return ids_array(array, "int64" if array.dtype.kind in "iu" else "string")
        except SsahError as error:
            raise SourceError(f"{path}: {error.fault}", error.expected, error.remedy) from error


def _read_faiss(source: Path) -> tuple[Codes, pa.Array | None]:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            f"{source} is read by Faiss, which is not installed",
            "faiss-cpu, or a file that ends in .npy, .arrow or .parquet",
            "Run: pip install 'ssah-index[faiss]'",
        ) from error
    index = faiss.read_index_binary(str(source))
    keys, inner = None, index
    if isinstance(index, (faiss.IndexBinaryIDMap, faiss.IndexBinaryIDMap2)):
        keys = pa.array(faiss.vector_to_array(index.id_map))
        inner = faiss.downcast_IndexBinary(index.index)  # lives as long as its owner
    if not isinstance(inner, faiss.IndexBinaryFlat):
        raise ValueError(f"a Faiss {type(inner).__name__}, not an IndexBinaryFlat")
    flat: Any = inner  # its stubs leave out xb
    codes = faiss.vector_to_array(flat.xb).reshape(-1, flat.code_size)
    return as_codes(codes, what=f"codes of {source}"), keys
