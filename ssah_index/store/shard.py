"""Codes as one uncompressed Zarr v3 shard, written in one pass and mapped as it lies.

With inner chunks as wide as the array and the ``bytes`` codec alone, a shard file is the
raw codes, zero-padded to whole chunks, followed by the chunk index (offset and size, both
uint64, a chunk) and its CRC-32C. Source: Zarr v3 sharding_indexed codec, version 1.0.
An inner crc32c codec would shift rows by four bytes a chunk and cost the zero-copy map.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import google_crc32c
import numpy as np

from ssah_index.errors import CorruptError
from ssah_index.store.fields import decode
from ssah_index.store.files import GONE, Seal, map_file, open_file, write_file
from ssah_index.store.place import RESTORE
from ssah_index.types import Codes

CHUNK_BYTES = 1 << 20
SHARD = "codes/c/0/0"
METADATA = "codes/zarr.json"
MOST_STEP = 1 << 32
_ABSENT = np.uint64(2**64 - 1)
"""Offset and size of a chunk that is not there, since it is all zeros."""
_EXPECTED = {
    "type": "uint8",
    "codec": "sharding_indexed",
    "codecs": ["bytes"],
    "of the index": ["bytes", "crc32c"],
    "at": "end",
    "chunks": True,
}
"""What metadata must say, beside the shape."""
Prefetch: TypeAlias = Callable[[], None]


def chunk_rows(n: int, nbytes: int) -> int:
    """Rows of an inner chunk: about 1 MiB, and no more than there are."""
    return max(min(CHUNK_BYTES // nbytes, n), 1)


def write_codes(folder: Path, codes: Codes) -> tuple[dict[str, Seal], list[int]]:
    """Write ``codes/`` below a segment folder.

    Parameters
    ----------
    folder : Path
        A new segment folder.
    codes : uint8 (n, nbytes), C-contiguous

    Returns
    -------
    seals : dict
        Of the files written, by path below ``folder``.
    crc32c : list of int
        Of each inner chunk, padding included.
    """
    n, nbytes = codes.shape
    step = chunk_rows(n, nbytes)
    chunks = -(-n // step)
    checksums: list[int] = []

    def parts() -> Iterator[bytes | memoryview]:
        for start in range(0, n, step):
            chunk = codes[start : start + step].tobytes().ljust(step * nbytes, b"\0")
            checksums.append(google_crc32c.value(chunk))
            yield chunk
        yield _chunk_index(chunks, step * nbytes)

    (folder / "codes").mkdir(parents=True)
    seals = {METADATA: write_file(folder / METADATA, [shard_metadata(n, nbytes)])}
    if n:  # an array without rows has no chunk, hence no shard
        (folder / SHARD).parent.mkdir(parents=True)
        seals[SHARD] = write_file(folder / SHARD, parts())
    return seals, checksums


def shard_end(n: int, nbytes: int) -> bytes:
    """What follows n codes in their shard: zeros up to a whole chunk, and the chunk index."""
    step = chunk_rows(n, nbytes)
    chunks = -(-n // step)
    return bytes((chunks * step - n) * nbytes) + _chunk_index(chunks, step * nbytes)


def _chunk_index(chunks: int, size: int) -> bytes:
    index = np.empty((chunks, 2), "<u8")
    index[:, 0] = np.arange(chunks) * size
    index[:, 1] = size
    return index.tobytes() + struct.pack("<I", google_crc32c.value(index.tobytes()))


def shard_metadata(n: int, nbytes: int) -> bytes:
    """The zarr.json of n codes in one shard."""
    step = chunk_rows(n, nbytes)
    chunks = -(-n // step)
    sharding = {
        "chunk_shape": [step, nbytes],
        "codecs": [{"name": "bytes"}],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }
    shard_shape = [step * max(chunks, 1), nbytes]
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [n, nbytes],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {"bitorder": "little"},
        "storage_transformers": [],
    }
    return json.dumps(metadata, indent=1).encode()


def read_codes(
    folder: Path, n: int, nbytes: int, advice: int = mmap.MADV_SEQUENTIAL
) -> tuple[Codes, Prefetch]:
    """Map the codes of a segment; nothing is read until it is touched.

    Sizes must have been checked: touching a map behind a cut file ends the process.

    Returns
    -------
    codes : uint8 (n, nbytes)
        Read-only. A copy if another program rewrote the shard with its chunks out of order, or
        without those of zeros.
    prefetch : callable
        Asks the system to read them ahead, and returns at once. It goes by the map: the file
        may have been removed since.

    Raises
    ------
    CorruptError
        If the metadata describe anything else, or the chunk index does not match its checksum
        or the size of the file.
    """
    if not n:
        return np.empty((0, nbytes), np.uint8), _nothing
    step = _read_step(folder, n, nbytes)
    chunks, size = -(-n // step), step * nbytes
    path = folder / SHARD
    mapped = map_file(path, advice)
    tail = mapped[-(16 * chunks + 4) :]
    end = len(mapped) - len(tail)
    fitting = len(tail) == 16 * chunks + 4
    if not fitting or google_crc32c.value(tail[:-4]) != struct.unpack("<I", tail[-4:])[0]:
        raise _wrong_index(path, n, nbytes)
    index = np.frombuffer(tail[:-4], "<u8").reshape(chunks, 2)
    if (index[:, 0] == np.arange(chunks) * size).all() and (index[:, 1] == size).all():
        if end < chunks * size:
            raise _wrong_index(path, n, nbytes)
        codes = np.frombuffer(mapped, np.uint8, count=n * nbytes).reshape(n, nbytes)
        if isinstance(mapped, bytes):
            return codes, _nothing
        return codes, partial(mapped.madvise, mmap.MADV_WILLNEED)
    there = index[:, 1] != _ABSENT
    if (
        (index[there, 1] != size).any()
        or (index[there, 0] > max(end - size, 0)).any()
        or end < size
    ):
        raise _wrong_index(path, n, nbytes)
    copy = np.zeros((chunks, size), np.uint8)
    for i in np.flatnonzero(there).tolist():
        start = int(index[i, 0])
        copy[i] = np.frombuffer(mapped, np.uint8, count=size, offset=start)
    return copy.reshape(-1, nbytes)[:n], _nothing


def _read_step(folder: Path, n: int, nbytes: int) -> int:
    """Rows of a chunk, of an array that must be n codes in one shard of raw chunks."""
    path = folder / METADATA
    try:
        with open_file(path) as file:
            held = decode(file.read(), str(path), "Zarr metadata")
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "Zarr metadata", GONE) from None
    try:
        (codec,) = held.body["codecs"]
        sharding = codec["configuration"]
        step, width = sharding["chunk_shape"]
        rows, _ = held.body["chunk_grid"]["configuration"]["chunk_shape"]
        said = {
            "shape": held.body["shape"],
            "type": held.body["data_type"],
            "width": width,
            "codec": codec["name"],
            "codecs": [inner["name"] for inner in sharding["codecs"]],
            "of the index": [inner["name"] for inner in sharding["index_codecs"]],
            "at": sharding.get("index_location", "end"),
            "chunks": type(step) is int and 0 < step <= MOST_STEP and rows == step * -(-n // step),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"{path} cannot be read ({error!r})"[:400], "Zarr metadata", RESTORE
        ) from error
    expected = {**_EXPECTED, "shape": [n, nbytes], "width": nbytes}
    if said != expected:
        wrong = ", ".join(f"{key} {said[key]!r}" for key in expected if said[key] != expected[key])
        raise CorruptError(
            f"{path} says {wrong}"[:400], f"one shard of {n} codes of {nbytes} bytes", RESTORE
        )
    return int(step)


def _wrong_index(path: Path, n: int, nbytes: int) -> CorruptError:
    return CorruptError(
        f"the chunk index of {path} does not match its checksum or shape",
        f"{n} codes of {nbytes} bytes",
        RESTORE,
    )


def _nothing() -> None:
    """What is in memory need not be read ahead."""
