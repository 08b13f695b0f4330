"""Export: codes and rows for other tools, as Parquet, Arrow, CSV and npy files.

They go batch by batch, so that memory does not grow with the store.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ssah_index.codes import as_codes
from ssah_index.errors import SourceError
from ssah_index.store import Snapshot, writing
from ssah_index.types import Modality, Progress, no_progress

BATCH_ROWS = 1 << 20


def export(
    snapshot: Snapshot,
    target: Path,
    *,
    modality: Modality | None = None,
    progress: Progress = no_progress,
) -> int:
    """Write codes and rows that are not deleted into a new file, in order of insertion.

    Parameters
    ----------
    snapshot : Snapshot
    target : Path
        ``.parquet`` or ``.arrow``: every column, and ``code`` as fixed_size_binary. ``.csv``:
        the same as text, codes in hexadecimal, labels joined by ";", other nested values as
        JSON. ``.npy``: codes alone, uint8 (n, nbytes). It appears once it is whole, in the
        place of what was there.
    modality : {"image", "text"}, optional
        All when left out.
    progress : Progress, optional
        Told of rows.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    SourceError
        If the file ends otherwise.
    WriteFailedError
        If the disk is full or cannot be written.
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
    count = sum(segment.live for segment in snapshot.select(modality))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with writing(target):
            write(
                temporary, _Output(snapshot, count, _batches(snapshot, modality, count, progress))
            )
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _batches(
    snapshot: Snapshot, modality: Modality | None, count: int, progress: Progress
) -> Iterator[pa.Table]:
    """Live rows with their codes, in pieces."""
    done = 0
    for segment in snapshot.select(modality):
        keep = segment.keep()
        for start in range(0, len(segment), BATCH_ROWS):
            rows = start + np.flatnonzero(keep[start : start + BATCH_ROWS])
            codes = np.ascontiguousarray(segment.codes[rows])
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
    if name == "code":
        return pa.array([value.hex() for value in column.to_pylist()], pa.string())
    if name == "labels":
        return pa.array([";".join(value) for value in column.to_pylist()], pa.string())
    plain = column.cast(_plain(column.type))
    try:
        return pc.cast(plain, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([_json(value) for value in plain.to_pylist()], pa.string())


def _json(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):
        return value if value is None else value.hex()
    return json.dumps(value, ensure_ascii=False, default=str)


def _npy(path: Path, output: _Output) -> None:
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": output.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for table in output.batches:
            file.write(as_codes(table.column("code")).tobytes())
