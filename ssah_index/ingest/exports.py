"""Export: codes and rows for other tools, as Parquet, Arrow, CSV and npy files.

They go batch by batch, so that memory does not grow with the store.
"""

from __future__ import annotations

import contextlib
import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ssah_index.codes import as_codes, check_bitorder, reverse_bits
from ssah_index.errors import SourceError, SsahError, WriteFailedError
from ssah_index.store import Snapshot, writing
from ssah_index.types import BitOrder, Modality, Progress, no_progress

BATCH_ROWS = 1 << 20


def export(
    snapshot: Snapshot,
    target: Path,
    *,
    modality: Modality | None = None,
    bitorder: BitOrder = "little",
    progress: Progress = no_progress,
) -> int:
    """Write codes and rows that are not deleted into a new file, in order of insertion.

    Parameters
    ----------
    snapshot : Snapshot
    target : Path
        ``.parquet`` or ``.arrow``: every column, and ``code`` as fixed_size_binary. ``.csv``:
        the same as text, codes and bytes in hexadecimal, labels joined by ";", other nested
        values as JSON (with NaN and infinities as texts, which JSON has not). ``.npy``: codes
        alone, uint8 (n, nbytes). It appears once it is whole, in the place of what was there.
    modality : {"image", "text"}, optional
        All when left out.
    bitorder : {"little", "big"}
        Of the codes: "big" for tools that unpack them as np.unpackbits does unless told
        otherwise. The store has them in little order.
    progress : Progress, optional
        Told of rows.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    SourceError
        If the file ends otherwise, or a column is of a type that such a file cannot hold.
    QueryError
        If there is no such modality.
    WriteFailedError
        If the disk is full or cannot be written, or the target is a folder or in none. What
        was there is as it was.
    """
    write = {".parquet": _parquet, ".arrow": _arrow, ".csv": _csv, ".npy": _npy}.get(
        target.suffix.lower()
    )
    if write is None:
        raise SourceError(
            f"{target} ends in {target.suffix or 'nothing'}",
            "one of .parquet, .arrow, .csv, .npy",
            "Rename the target.",
        )
    check_bitorder(bitorder)
    count = sum(segment.live for segment in snapshot.select(modality))
    batches = _batches(snapshot, modality, count, bitorder, progress)
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")  # short: a name has 255 bytes
    try:
        with writing(target), _storing(target):
            _check_target(target)
            write(temporary, _Output(snapshot, count, batches))
            temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return count


def _check_target(target: Path) -> None:
    """Refuse what no file can be put in the place of."""
    if target.is_dir():
        raise WriteFailedError(f"{target} is a folder", "the name of a file", "Choose another.")
    if not target.parent.is_dir():
        raise WriteFailedError(
            f"there is no folder {target.parent} to write {target.name} into",
            "a folder that exists",
            "Make it, or choose another.",
        )


@contextlib.contextmanager
def _storing(target: Path) -> Iterator[None]:
    """Turn what Arrow says of values that a file cannot hold into one of our errors."""
    try:
        yield
    except (pa.ArrowException, ValueError, LookupError, OverflowError) as error:
        if isinstance(error, SsahError):
            raise
        raise SourceError(
            f"{target} cannot hold some value ({error})",
            f"values that {target.suffix} files have",
            "Export to .arrow, which holds all types.",
        ) from error


def _batches(
    snapshot: Snapshot,
    modality: Modality | None,
    count: int,
    bitorder: BitOrder,
    progress: Progress,
) -> Iterator[pa.Table]:
    """Live rows with their codes, in pieces."""
    done = 0
    for segment in snapshot.select(modality):
        keep = segment.keep()
        for start in range(0, len(segment), BATCH_ROWS):
            rows = start + np.flatnonzero(keep[start : start + BATCH_ROWS])
            codes = np.ascontiguousarray(segment.codes[rows])
            codes = codes if bitorder == "little" else reverse_bits(codes)
            packed = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(codes.shape[1]), len(codes), [None, pa.py_buffer(codes)]
            )
            table = snapshot.take(segment.first_row + rows)
            yield table.add_column(1, "code", packed)
            done += len(rows)
            progress(done, count, "rows")


class _Output:
    """What is to be written, in pieces."""

    def __init__(self, snapshot: Snapshot, count: int, batches: Iterator[pa.Table]) -> None:
        self.shape = (count, snapshot.nbytes)
        self.schema = snapshot.schema.insert(1, pa.field("code", pa.binary(snapshot.nbytes)))
        self.batches = batches


def _parquet(path: Path, output: _Output) -> None:
    for field in output.schema:
        try:
            pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
        except pa.ArrowException as error:
            raise SourceError(
                f"column {field.name!r} is of type {field.type}, which Parquet does not have",
                "columns of other types",
                "Export to .arrow or .csv.",
            ) from error
    with pq.ParquetWriter(path, output.schema) as writer:
        for table in output.batches:
            writer.write_table(table.cast(output.schema))


def _arrow(path: Path, output: _Output) -> None:
    # A dictionary cannot be replaced in a file, so that columns of them are written plain.
    schema = pa.schema([field.with_type(_plain(field.type)) for field in output.schema])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in output.batches:
            writer.write_table(table.cast(schema))


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if pa.types.is_dictionary(type) else type


def _csv(path: Path, output: _Output) -> None:
    schema = pa.schema([(name, pa.string()) for name in output.schema.names])
    with pyarrow.csv.CSVWriter(str(path), schema) as writer:
        for table in output.batches:
            columns = [_as_text(name, table.column(name)) for name in schema.names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _as_text(name: str, column: pa.ChunkedArray) -> pa.Array:
    if name == "labels":
        return pa.array([";".join(value) for value in column.to_pylist()], pa.string())
    plain = column.cast(_plain(column.type))
    if not _is_bytes(getattr(plain.type, "storage_type", plain.type)):
        with contextlib.suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):
            return pc.cast(plain, pa.string())
    return pa.array([_json(value) for value in plain.to_pylist()], pa.string())


def _is_bytes(type: pa.DataType) -> bool:
    """Whether Arrow would take bytes for UTF-8, where they happen to be."""
    kinds = pa.types
    return bool(
        kinds.is_binary(type) or kinds.is_large_binary(type) or kinds.is_fixed_size_binary(type)
    )


def _json(value: Any) -> str | None:
    """A value that Arrow makes no text of: a scalar as it is, what is nested as JSON."""
    if value is None:
        return None
    plain = _jsonable(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _jsonable(value: Any) -> Any:
    """The same in types that JSON has: bytes in hexadecimal, dates, decimals and NaN as text."""
    if isinstance(value, dict):
        return {str(_jsonable(key)): _jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def _npy(path: Path, output: _Output) -> None:
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": output.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for table in output.batches:
            file.write(as_codes(table.column("code")).tobytes())
