"""Built indexes on disk: named arrays in the form of codes, and what they cover.

An index is derived: it covers segments of one modality, by name, and losing it loses nothing.
Each array is the raw bytes of a Zarr shard, uint8 (n, itemsize), mapped as it lies. Arrays are
compared with their hashes before they are used, since a wrong offset could end the process.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError, SsahError
from ssah_index.store.files import Seal, at_once, seal_file, sync_tree, write_file, writing
from ssah_index.store.manifest import IndexEntry
from ssah_index.store.place import RESTORE, Place
from ssah_index.store.shard import read_codes, write_codes
from ssah_index.types import Modality

INDEXES = "indexes"
ABOUT = "index.json"


def stage_index(
    place: Place,
    kind: str,
    modality: Modality,
    segments: Sequence[str],
    shape: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> IndexEntry:
    """Write an index durably, without publishing it.

    Parameters
    ----------
    place : Place
        The store's.
    kind : str
        Which engine reads it.
    modality : {"image", "text"}
    segments : sequence of str
        Folders of the segments it covers, in the order of the snapshot.
    shape : mapping
        What the engine needs beside the arrays; goes to JSON and back.
    arrays : mapping of str to array
        One axis each.

    Raises
    ------
    WriteFailedError
        If the disk is full or cannot be written.
    """
    # The name says what is in it; equal work has equal files under it.
    work = json.dumps([kind, list(segments), shape], sort_keys=True).encode()
    name = f"{kind}-{xxhash.xxh3_64_hexdigest(work)}.{uuid.uuid4().hex[:8]}"
    below = f"{INDEXES}/{name}"
    folder = place.root / below
    try:
        with writing(folder):
            folder.mkdir(parents=True)
            seals: dict[str, Seal] = {}
            for array_name, array in arrays.items():
                raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
                own, _ = write_codes(folder / array_name, raw)
                seals |= {f"{array_name}/{path}": seal for path, seal in own.items()}
            about = {
                "shape": shape,
                "arrays": {n: [str(a.dtype), len(a)] for n, a in arrays.items()},
                "files": {path: asdict(seal) for path, seal in sorted(seals.items())},
            }
            seals[ABOUT] = write_file(folder / ABOUT, [json.dumps(about, indent=1).encode()])
            sync_tree(folder)
        place.keep([f"{below}/{path}" for path in sorted(seals)])
    except BaseException:
        with contextlib.suppress(SsahError):
            place.remove_folder(below)
        raise
    return IndexEntry(
        kind=kind,
        folder=name,
        modality=modality,
        segments=tuple(segments),
        sizes={path: seal.size for path, seal in sorted(seals.items())},
        xxh3=seals[ABOUT].xxh3,
    )


class IndexFiles:
    """The files of one index, opened for reading.

    Parameters
    ----------
    place : Place
    entry : IndexEntry

    Raises
    ------
    CorruptError
        If a file is missing or of another size, where the place can tell at once.
    """

    def __init__(self, place: Place, entry: IndexEntry) -> None:
        self.entry = entry
        self._place = place
        self._below = f"{INDEXES}/{entry.folder}"
        place.check(self._below, entry.sizes)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What index.json says: ``shape``, ``arrays`` and ``files``.

        Raises
        ------
        CorruptError
            If it is missing or altered.
        """
        path = f"{self._below}/{ABOUT}"
        try:
            content = self._place.read(path)
        except FileNotFoundError as error:
            raise CorruptError(f"{self._place}/{path} is missing", "an index", RESTORE) from error
        if xxhash.xxh3_64_hexdigest(content) != self.entry.xxh3:
            raise CorruptError(f"{self._place}/{path} is altered", "its hash", RESTORE)
        about: dict[str, Any] = json.loads(content)
        return about

    @property
    def seals(self) -> dict[str, Seal]:
        """Of its files but index.json, by path below the store."""
        return {f"{self._below}/{path}": Seal(**s) for path, s in self.about["files"].items()}

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, mapped read-only, once all of their bytes were compared with their hashes.

        Raises
        ------
        CorruptError
            If one is missing or altered.
        """
        seals = self.seals
        self._place.bring(seals)
        at_once(self._compare, list(seals.items()))
        folder = self._place.root / self._below
        return {
            name: self._array(folder / name, dtype, n)
            for name, (dtype, n) in self.about["arrays"].items()
        }

    def _compare(self, sealed: tuple[str, Seal]) -> None:
        path, seal = sealed
        if seal_file(self._place.root / path) != seal:
            raise CorruptError(f"{self._place}/{path} is altered", f"hash {seal.xxh3}", RESTORE)

    @staticmethod
    def _array(folder: Path, dtype: str, n: int) -> NDArray[Any]:
        kind = np.dtype(dtype)
        if not n:
            return np.empty(0, kind)
        raw, _ = read_codes(folder, n, kind.itemsize, mmap.MADV_NORMAL)
        return raw.reshape(-1).view(kind)
