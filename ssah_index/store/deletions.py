"""Deleted rows: a roaring bitmap a segment, in immutable files that follow each other.

A file holds all deleted rows of its segment, so that a reader needs the newest one alone; a
later deletion writes a new file and leaves the old one to older snapshots.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import xxhash
from pyroaring import BitMap

from ssah_index.errors import CorruptError
from ssah_index.store.files import Seal, make_folder, open_file, sync, write_file, writing
from ssah_index.store.place import RESTORE, Place

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

    @property
    def path(self) -> str:
        """Its path below the store."""
        return f"{FOLDER}/{self.file}"

    @property
    def seal(self) -> Seal:
        """What the file must look like."""
        return Seal(self.size, self.xxh3)


def write_deletions(place: Place, deleted: Mapping[str, BitMap]) -> dict[str, DeletionEntry]:
    """Write all deleted rows of some segments durably, without publishing them.

    Parameters
    ----------
    place : Place
        The store's.
    deleted : mapping of str to BitMap
        Positions in a segment, by the segment's folder.

    Returns
    -------
    dict
        By the segment's folder, for a manifest.
    """
    entries = {}
    folder = place.root / FOLDER
    with writing(folder):
        make_folder(folder)
        for segment, rows in deleted.items():
            # The name is of this attempt: two writers of one generation never meet.
            name = f"{segment}.{uuid.uuid4().hex[:8]}.roaring"
            seal = write_file(folder / name, [rows.serialize()])
            entries[segment] = DeletionEntry(
                file=name, rows=len(rows), size=seal.size, xxh3=seal.xxh3
            )
        sync([*(place.root / entry.path for entry in entries.values()), folder])
    place.keep([entry.path for entry in entries.values()])
    return entries


def read_deletions(place: Place, entry: DeletionEntry, n: int) -> BitMap:
    """Read and check the deleted rows of a segment of n rows.

    Raises
    ------
    CorruptError
        If the file is missing, altered or not what it must be: a search without it would find
        deleted rows.
    """
    place.bring({entry.path: entry.seal})
    path = place.root / entry.path
    try:
        with open_file(path) as file:
            content = file.read(entry.size + 1)
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", f"{entry.size} bytes", RESTORE) from None
    if len(content) != entry.size or xxhash.xxh3_64_hexdigest(content) != entry.xxh3:
        raise CorruptError(f"{path} is altered", f"content of hash {entry.xxh3}", RESTORE)
    try:
        # pyroaring compares the size and validates the containers before it hands any out.
        rows = BitMap.deserialize(content)
    except (ValueError, IndexError) as error:
        raise CorruptError(
            f"{path} cannot be read ({error})", "a portable roaring bitmap", RESTORE
        ) from error
    if len(rows) != entry.rows or (rows and rows.max() >= n):
        raise CorruptError(
            f"{path} has {len(rows)} rows, the last {rows.max() if rows else None}",
            f"{entry.rows} rows below {n}",
            RESTORE,
        )
    return rows
