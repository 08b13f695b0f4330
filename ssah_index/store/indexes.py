"""Built indexes on disk: named arrays in the form of codes, and what they cover.

An index is derived: it covers segments of one modality, by name, and losing it loses nothing.
Each array is the raw bytes of a Zarr shard, uint8 (n, itemsize), mapped as it lies. Arrays are
compared with their hashes before they are used, since a wrong offset could end the process.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import CorruptError, StoreError
from ssah_index.store.fields import MOST, Fields, decode
from ssah_index.store.files import Seal, seal_file
from ssah_index.store.manifest import ABOUT, IndexEntry
from ssah_index.store.names import plain_name
from ssah_index.store.place import RESTORE, Place
from ssah_index.store.shard import METADATA, SHARD, read_codes

INDEXES = "indexes"
QUICK_BYTES = 16 << 20
"""What is compared within milliseconds, so that nobody need wait for it twice."""


TYPES = ("uint8", "uint32", "uint64")
"""Of arrays."""


@dataclass(frozen=True, slots=True)
class About:
    """What index.json says."""

    shape: Fields
    """What the engine needs beside the arrays; for the engine to check."""
    facts: Mapping[str, Any]
    """What came of it, for `info`."""
    arrays: Mapping[str, tuple[np.dtype[Any], int]]
    """Type of each array, and how many of them it has."""
    seals: Mapping[str, Seal]
    """Of its files but index.json, by path below the store."""


Check: TypeAlias = Callable[[Mapping[str, NDArray[Any]], Fields], None]


def no_check(arrays: Mapping[str, NDArray[Any]], shape: Fields) -> None:
    """The check of a caller who does not search."""


class IndexFiles:
    """The files of one index, opened for reading.

    Parameters
    ----------
    place : Place
    entry : IndexEntry
    whole : bool
        Check that all files are there.

    Raises
    ------
    CorruptError
        If a file is missing or of another size, where the place can tell at once.
    """

    def __init__(self, place: Place, entry: IndexEntry, *, whole: bool = True) -> None:
        self.entry = entry
        self._place = place
        self._lock = threading.Lock()
        self._asked = False
        self._comparing: tuple[int, Check, Future[dict[str, NDArray[Any]]]] | None = None
        self._below = f"{INDEXES}/{entry.folder}"
        if whole:
            place.check(self._below, entry.sizes)

    @cached_property
    def about(self) -> About:
        """What index.json says.

        Raises
        ------
        CorruptError
            If it is missing or altered, or is not what it must be.
        """
        path = f"{self._below}/{ABOUT}"
        try:
            content = self._place.read(path)
        except FileNotFoundError as error:
            raise CorruptError(f"{self._place}/{path} is missing", "an index", RESTORE) from error
        if xxhash.xxh3_64_hexdigest(content) != self.entry.xxh3:
            raise CorruptError(f"{self._place}/{path} is altered", "its hash", RESTORE)
        held = decode(content, f"{self._place}/{path}")
        seals = held.seals("files")
        sizes = {name: seal.size for name, seal in seals.items()} | {ABOUT: len(content)}
        if sizes != self.entry.sizes:
            raise held.wrong("files", "the files and sizes that the manifest has")
        return About(
            shape=held.object("shape"),
            facts=held.object("facts").body if "facts" in held.body else {},
            arrays=_arrays(held, seals),
            seals={f"{self._below}/{name}": seal for name, seal in seals.items()},
        )

    @property
    def quick(self) -> bool:
        """Whether all of it is read within milliseconds."""
        return sum(self.entry.sizes.values()) <= QUICK_BYTES

    def describe(self) -> dict[str, Any]:
        """What `info` shows of it, whatever its kind; ``fault`` if it cannot be used."""
        own: dict[str, Any] = {"kind": self.entry.kind, "modality": self.entry.modality}
        try:
            about = self.about
        except StoreError as error:
            return {**own, "fault": str(error)}
        shape = about.shape.body
        own |= {"tables": shape.get("m"), "key_bits": shape.get("b")}
        return {**own, **about.facts, **own, "bytes": sum(self.entry.sizes.values())}

    def arrays(
        self, patient: bool = True, check: Check = no_check
    ) -> dict[str, NDArray[Any]] | None:
        """The arrays, mapped read-only, once all of their bytes were compared with their hashes.

        Parameters
        ----------
        patient : bool
            Wait for that. If not, and it takes long, there are None for now: the first call only
            notes that it was asked, since a process that searches once is better off without, and
            the second lets a thread begin to compare.
        check : callable
            What a reader of this kind of index makes sure of before it uses the arrays; raises
            CorruptError. Hashes only say that they are what somebody wrote.

        Raises
        ------
        CorruptError
            If one is missing or altered, or the check says so.
        """
        quick = self.quick
        with self._lock:
            pid, checked, found = self._comparing or (0, no_check, Future())
            # A forked child has no such thread.
            if pid != os.getpid() or (checked is no_check and check is not no_check):
                if not (patient or quick or self._asked):
                    self._asked = True
                    return None
                found = Future()
                # Not of a pool: the end of the process need not wait for it.
                threading.Thread(target=self._compare, args=(found, check), daemon=True).start()
                self._comparing = os.getpid(), check, found
        return found.result() if patient or quick or found.done() else None

    def _compare(self, found: Future[dict[str, NDArray[Any]]], check: Check) -> None:
        try:
            about = self.about
            self._place.bring(about.seals)
            for path, seal in about.seals.items():
                if seal_file(self._place.root / path) != seal:
                    raise CorruptError(
                        f"{self._place}/{path} is altered", f"hash {seal.xxh3}", RESTORE
                    )
            folder = self._place.root / self._below
            arrays = {
                name: self._array(folder / name, kind, n)
                for name, (kind, n) in about.arrays.items()
            }
            check(arrays, about.shape)
            found.set_result(arrays)
        except BaseException as error:
            found.set_exception(error)

    @staticmethod
    def _array(folder: Path, kind: np.dtype[Any], n: int) -> NDArray[Any]:
        if not n:
            return np.empty(0, kind)
        raw, _ = read_codes(folder, n, kind.itemsize, mmap.MADV_NORMAL)
        return raw.reshape(-1).view(kind)


def _arrays(held: Fields, seals: Mapping[str, Seal]) -> dict[str, tuple[np.dtype[Any], int]]:
    """Type and size of each array of an index, whose files are there."""
    listed = held.object("arrays")
    found = {}
    for name, value in listed.body.items():
        kind, n = value if type(value) is list and len(value) == 2 else ("", -1)
        if kind not in TYPES or type(n) is not int or not 0 <= n <= MOST or not plain_name(name):
            raise listed.wrong(name, f"one of {', '.join(TYPES)} and the number of them")
        if {f"{name}/{METADATA}", *([f"{name}/{SHARD}"] if n else [])} - seals.keys():
            raise held.wrong("files", f"those of array {name!r}")
        found[name] = np.dtype(kind), n
    return found
