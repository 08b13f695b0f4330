"""Indexes on their way to the disk: written from the front, and taken up where one was killed.

A draft lies under indexes/ by the name of its work, which no manifest names, and is renamed when
it is whole. Every 256 MiB its files are flushed and draft.json says how far they are good.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import ConflictError, CorruptError
from ssah_index.store.fields import decode
from ssah_index.store.files import (
    Seal,
    make_folder,
    open_file,
    sync,
    sync_tree,
    write_file,
    writing,
)
from ssah_index.store.indexes import INDEXES
from ssah_index.store.manifest import ABOUT, IndexEntry
from ssah_index.store.names import refuse_links, refuse_links_below
from ssah_index.store.place import READ_BYTES, Place
from ssah_index.store.shard import METADATA, SHARD, shard_end, shard_metadata
from ssah_index.types import Modality

MARK = "draft.json"
MARK_BYTES = 256 << 20
"""Bytes that may have to be written again after a kill."""


@dataclass(frozen=True, kw_only=True)
class IndexWork:
    """What an index is made of; equal work makes equal files."""

    kind: str
    """Which engine reads it."""
    modality: Modality
    segments: Sequence[str]
    """Folders of the segments it covers, in the order of the snapshot."""
    shape: Mapping[str, Any]
    """What the engine needs beside the arrays; goes to JSON and back."""
    arrays: Mapping[str, Any]
    """Type of each array, as NumPy takes it."""

    @property
    def name(self) -> str:
        """Kind, and a hash of all the rest."""
        work = json.dumps([self.kind, list(self.segments), self.shape], sort_keys=True)
        return f"{self.kind}-{xxhash.xxh3_64_hexdigest(work.encode())}"


@dataclass
class _Array:
    """An array of a draft."""

    dtype: np.dtype[Any]
    file: BinaryIO
    path: Path
    nbytes: int = 0
    """Of values; what comes after them in the file is from before a kill."""
    digest: Any = field(default_factory=xxhash.xxh3_64)
    mapped: NDArray[Any] | None = None
    """The first of its values."""

    def view(self, start: int, stop: int) -> NDArray[Any]:
        if not self.nbytes:  # which cannot be mapped
            return np.empty(0, self.dtype)
        if self.mapped is None or len(self.mapped) < stop:
            self.mapped = np.memmap(self.path, self.dtype, "r", shape=(self.size,))
        return self.mapped[start:stop]

    def write(self, content: bytes | memoryview) -> None:
        view = memoryview(content).cast("B")
        self.digest.update(view)
        while view:
            view = view[self.file.write(view) :]

    @property
    def size(self) -> int:
        """Values."""
        return self.nbytes // self.dtype.itemsize


class IndexDraft:
    """An index that is being written, and that no other process writes meanwhile.

    Parameters
    ----------
    place : Place
        The store's.
    work : IndexWork

    Raises
    ------
    ConflictError
        If it is being written already.
    WriteFailedError
        If the disk cannot be written.
    """

    def __init__(self, place: Place, work: IndexWork) -> None:
        self._place, self._work = place, work
        self._folder = place.root / INDEXES / f"{work.name}.draft"
        self._lock = -1
        self._unmarked = 0
        self._arrays: dict[str, _Array] = {}
        self.mark: Mapping[str, int] = {}
        """What was last passed to `reached` and is on the disk; empty at first."""

    def __enter__(self) -> IndexDraft:
        refuse_links(self._place.root, [f"{INDEXES}/{self._folder.name}"])
        with writing(self._folder):
            make_folder(self._folder)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                self._hold()
                self._take_up()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for array in self._arrays.values():
            array.file.close()
        os.close(self._lock)

    def _hold(self) -> None:
        """Lock the folder, unless another process has it or has just finished it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = self._folder.exists() and os.path.samestat(
                os.fstat(self._lock), self._folder.stat()
            )
        except BlockingIOError:
            there = False
        if not there:
            raise ConflictError(
                f"{self._folder} is being written by another process",
                "one process that builds an index",
                "Wait for it, or end it, and run the same command again.",
            )

    def _take_up(self) -> None:
        """Open the files, and go back to what the mark says; to nothing if they are not so."""
        refuse_links_below(self._place.root, f"{INDEXES}/{self._folder.name}")
        mark, seals = self._marked()
        for name, dtype in self._work.arrays.items():
            path = self._folder / name / SHARD
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._arrays[name] = _Array(np.dtype(dtype), file, path)
        good = all(
            _resume(array, seals.get(name, Seal(0, _EMPTY))) for name, array in self._arrays.items()
        )
        if good:
            self.mark = mark
        else:
            for array in self._arrays.values():
                array.nbytes, array.digest = 0, xxhash.xxh3_64()
        for array in self._arrays.values():
            array.file.truncate(array.nbytes)
            array.file.seek(array.nbytes)

    def _marked(self) -> tuple[Mapping[str, int], Mapping[str, Seal]]:
        """What draft.json says; nothing if there is none, or it is none of ours."""
        path = self._folder / MARK
        try:
            with open_file(path) as file:
                held = decode(file.read(), str(path))
            seals = held.seals("seals")
            mark = held.counts("mark")
        except (FileNotFoundError, CorruptError):
            return {}, {}
        kinds = self._work.arrays
        if seals.keys() != kinds.keys() or any(
            seal.size % np.dtype(kinds[name]).itemsize for name, seal in seals.items()
        ):
            return {}, {}
        return mark, seals

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add to the end of an array.

        Raises
        ------
        WriteFailedError
            If the disk is full or cannot be written.
        """
        array = self._arrays[name]
        with writing(array.path):
            array.write(np.ascontiguousarray(values, array.dtype).data)
        array.nbytes += values.nbytes
        self._unmarked += values.nbytes

    def view(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """What was added, from one place to before another; mapped."""
        return self._arrays[name].view(start, stop)

    def reached(self, mark: Mapping[str, int]) -> None:
        """Say how far the work has come: a killed build may begin from here.

        Raises
        ------
        WriteFailedError
            If the disk is full or cannot be written.
        """
        if self._unmarked < MARK_BYTES:
            return
        self._unmarked = 0
        seals = {
            name: asdict(Seal(array.nbytes, array.digest.hexdigest()))
            for name, array in self._arrays.items()
        }
        with writing(self._folder):
            sync([array.path for array in self._arrays.values()])
            new = self._folder / f"{MARK}.tmp"
            new.unlink(missing_ok=True)
            write_file(new, [json.dumps({"mark": mark, "seals": seals}).encode()])
            sync([new])
            new.replace(self._folder / MARK)
            sync([self._folder])

    def finish(self, facts: Mapping[str, Any]) -> IndexEntry:
        """Make it whole and durable, under a name of its own; publishing is the caller's.

        Parameters
        ----------
        facts : mapping
            What came of it, for `info`; goes to JSON and back.

        Raises
        ------
        WriteFailedError
            If the disk is full or cannot be written.
        """
        work = self._work
        # Another attempt at the same work may be published, and damaged.
        name = f"{work.name}.{uuid.uuid4().hex[:8]}"
        below = f"{INDEXES}/{name}"
        folder = self._place.root / below
        with writing(self._folder):
            seals = {
                path: seal
                for name, array in self._arrays.items()
                for path, seal in self._close(name, array).items()
            }
            about = {
                "shape": work.shape,
                "facts": facts,
                "arrays": {n: [str(a.dtype), a.size] for n, a in self._arrays.items()},
                "files": {path: asdict(seal) for path, seal in sorted(seals.items())},
            }
            (self._folder / ABOUT).unlink(missing_ok=True)
            content = json.dumps(about, indent=1).encode()
            seals[ABOUT] = write_file(self._folder / ABOUT, [content])
            sync_tree(self._folder)
            self._folder.rename(folder)
            (folder / MARK).unlink(missing_ok=True)
            sync([folder, folder.parent])
        self._place.keep([f"{below}/{path}" for path in sorted(seals)])
        return IndexEntry(
            kind=work.kind,
            folder=name,
            modality=work.modality,
            segments=tuple(work.segments),
            sizes={path: seal.size for path, seal in sorted(seals.items())},
            xxh3=seals[ABOUT].xxh3,
        )

    def _close(self, name: str, array: _Array) -> dict[str, Seal]:
        """End the shard of an array, and describe it."""
        folder, itemsize = self._folder / name, array.dtype.itemsize
        (folder / METADATA).unlink(missing_ok=True)
        seals = {METADATA: write_file(folder / METADATA, [shard_metadata(array.size, itemsize)])}
        if array.size:
            array.write(shard_end(array.size, itemsize))
            seals[SHARD] = Seal(array.file.tell(), array.digest.hexdigest())
        else:  # an array without rows has no chunk, hence no shard
            shutil.rmtree(array.path.parent.parent)
        return {f"{name}/{path}": seal for path, seal in seals.items()}


_EMPTY = xxhash.xxh3_64().hexdigest()


def _resume(array: _Array, seal: Seal) -> bool:
    """Read what a killed build has written of an array; return whether it is as marked."""
    array.nbytes = left = seal.size
    while left and (part := array.file.read(min(READ_BYTES, left))):
        array.digest.update(part)
        left -= len(part)
    return not left and array.digest.hexdigest() == seal.xxh3
