"""Built indexes on disk: named arrays in the form of codes, and what they cover.

An index is derived: it covers segments of one modality, by name, and losing it loses nothing.
Each array is the raw bytes of a Zarr shard, uint8 (n, itemsize), mapped as it lies. Arrays are
compared with their hashes before they are used, since a wrong offset could end the process.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError
from ssah_index.store.files import Seal, seal_file
from ssah_index.store.manifest import IndexEntry
from ssah_index.store.place import RESTORE, Place
from ssah_index.store.shard import read_codes

INDEXES = "indexes"
ABOUT = "index.json"
QUICK_BYTES = 16 << 20
"""What is compared within milliseconds, so that nobody need wait for it twice."""


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
        self._lock = threading.Lock()
        self._asked = False
        self._comparing: tuple[int, Future[dict[str, NDArray[Any]]]] | None = None
        self._below = f"{INDEXES}/{entry.folder}"
        place.check(self._below, entry.sizes)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What index.json says: ``shape``, ``facts``, ``arrays`` and ``files``.

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

    def arrays(self, patient: bool = True) -> dict[str, NDArray[Any]] | None:
        """The arrays, mapped read-only, once all of their bytes were compared with their hashes.

        Parameters
        ----------
        patient : bool
            Wait for that. If not, and it takes long, there are None for now: the first call only
            notes that it was asked, since a process that searches once is better off without, and
            the second lets a thread begin to compare.

        Raises
        ------
        CorruptError
            If one is missing or altered.
        """
        quick = sum(self.entry.sizes.values()) <= QUICK_BYTES
        with self._lock:
            if self._comparing is None or self._comparing[0] != os.getpid():
                if not (patient or quick or self._asked):
                    self._asked = True
                    return None
                found: Future[dict[str, NDArray[Any]]] = Future()
                # Not of a pool: the end of the process need not wait for it.
                threading.Thread(target=self._compare, args=(found,), daemon=True).start()
                self._comparing = os.getpid(), found  # a forked child has no such thread
            found = self._comparing[1]
        return found.result() if patient or quick or found.done() else None

    def _compare(self, found: Future[dict[str, NDArray[Any]]]) -> None:
        try:
            seals = self.seals
            self._place.bring(seals)
            for path, seal in seals.items():
                if seal_file(self._place.root / path) != seal:
                    raise CorruptError(
                        f"{self._place}/{path} is altered", f"hash {seal.xxh3}", RESTORE
                    )
            folder = self._place.root / self._below
            found.set_result(
                {
                    name: self._array(folder / name, dtype, n)
                    for name, (dtype, n) in self.about["arrays"].items()
                }
            )
        except BaseException as error:
            found.set_exception(error)

    @staticmethod
    def _array(folder: Path, dtype: str, n: int) -> NDArray[Any]:
        kind = np.dtype(dtype)
        if not n:
            return np.empty(0, kind)
        raw, _ = read_codes(folder, n, kind.itemsize, mmap.MADV_NORMAL)
        return raw.reshape(-1).view(kind)
