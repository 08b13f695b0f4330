"""Deleted rows: a roaring bitmap a segment, in immutable files that follow each other.

A file holds all deleted rows of its segment, so that a reader needs the newest one alone; a
later deletion writes a new file and leaves the old one to older snapshots.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import xxhash
from pyroaring import BitMap

from ssah_index.errors import CorruptError
from ssah_index.store.files import fsync_folder, make_folder, write_file, writing

FOLDER = "deletions"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletionEntry:
    """What a manifest says of the deleted rows of one segment."""

    file: str
    """Its name below deletions/."""
    rows: int
    """Deleted rows."""
    size: int
    """Bytes of the file."""
    xxh3: str
    """XXH3-64 of the file, 16 hex digits."""


def write_deletions(store: Path, segment: str, rows: BitMap) -> DeletionEntry:
    """Write all deleted rows of a segment durably, without publishing them.

    Parameters
    ----------
    store : Path
        The store's folder.
    segment : str
        The segment's folder name.
    rows : BitMap
        Positions in the segment.
    """
    # The name is of this attempt: two writers of one generation never meet.
    name = f"{segment}.{uuid.uuid4().hex[:8]}.roaring"
    folder = store / FOLDER
    with writing(folder):
        make_folder(folder)
        seal = write_file(folder / name, [rows.serialize()])
        fsync_folder(folder)
    return DeletionEntry(file=name, rows=len(rows), size=seal.size, xxh3=seal.xxh3)


def read_deletions(store: Path, entry: DeletionEntry) -> BitMap:
    """Read and check the deleted rows of a segment.

    Raises
    ------
    CorruptError
        If the file is missing or altered: a search without it would find deleted rows.
    """
    path = store / FOLDER / entry.file
    remedy = "Restore the file from a copy."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", f"{entry.size} bytes", remedy) from None
    if len(content) != entry.size or xxhash.xxh3_64_hexdigest(content) != entry.xxh3:
        raise CorruptError(f"{path} is altered", f"content of hash {entry.xxh3}", remedy)
    return BitMap.deserialize(content)
