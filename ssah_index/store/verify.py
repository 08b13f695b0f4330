"""Every byte of a store against the hashes that were taken when it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c
import xxhash

from ssah_index.errors import SsahError
from ssah_index.store.deletions import FOLDER as DELETIONS
from ssah_index.store.deletions import DeletionEntry
from ssah_index.store.files import Seal
from ssah_index.store.manifest import SegmentEntry, generations, manifest_path, read_manifest
from ssah_index.store.shard import SHARD, chunk_rows
from ssah_index.store.store import Store
from ssah_index.types import Progress, no_progress

READ_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing that is not as it was written."""

    file: str
    """Path below the store."""
    fault: str
    """What is wrong with it."""
    segment: str | None = None
    """Name of the segment it belongs to."""
    rows: tuple[int, int] | None = None
    """First row of the segment that is touched and the one behind the last, where that is known."""


def verify(store: Store, progress: Progress = no_progress) -> list[Damage]:
    """Read everything that any published generation needs, and compare it with its hashes.

    Parameters
    ----------
    store : Store
    progress : Progress, optional
        Told of bytes read.

    Returns
    -------
    list of Damage
        Empty if the store is whole. Files that no generation names are not looked at.

    Raises
    ------
    CorruptError
        If there is no folder of manifests to begin with.
    """
    return list(_Verification(store, progress).damages())


class _Verification:
    """One reading of a whole store."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._read = 0
        self._total = 0

    def damages(self) -> Iterator[Damage]:
        """All damages, in the order manifests, encoder, segments, deletions."""
        segments: dict[str, SegmentEntry] = {}
        deletions: dict[str, DeletionEntry] = {}
        for generation in generations(self._store.path):
            try:
                manifest = read_manifest(self._store.path, generation)
            except SsahError as error:
                path = manifest_path(self._store.path, generation)
                yield Damage(file=self._below(path), fault=error.fault)
                continue
            segments |= {entry.folder: entry for entry in manifest.segments}
            deletions |= {entry.file: entry for entry in manifest.deletions.values()}
        self._total = sum(sum(entry.sizes.values()) for entry in segments.values())
        for name, seal in self._store.format.files.items():
            yield from self._file(self._store.path / name, seal)
        for entry in segments.values():
            yield from self._segment(entry)
        for gone in deletions.values():
            yield from self._file(
                self._store.path / DELETIONS / gone.file, Seal(gone.size, gone.xxh3)
            )

    def _below(self, path: Path) -> str:
        return path.relative_to(self._store.path).as_posix()

    def _file(self, path: Path, seal: Seal, segment: str | None = None) -> Iterator[Damage]:
        """What is wrong with one file."""
        fault = self._fault(path, seal)
        if fault is not None:
            yield Damage(file=self._below(path), fault=fault, segment=segment)

    def _fault(self, path: Path, seal: Seal) -> str | None:
        try:
            size = path.stat().st_size
            if size != seal.size:
                return f"has {size} bytes, not {seal.size}"
            digest = xxhash.xxh3_64()
            with path.open("rb") as file:
                while part := file.read(READ_BYTES):
                    digest.update(part)
                    self._read += len(part)
                    self._progress(self._read, max(self._total, self._read), "bytes")
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return (
            None if digest.hexdigest() == seal.xxh3 else f"is altered: its hash is not {seal.xxh3}"
        )

    def _segment(self, entry: SegmentEntry) -> Iterator[Damage]:
        folder = self._store.path / "segments" / entry.folder
        summary = folder / "segment.json"
        fault = self._fault(summary, Seal(entry.sizes["segment.json"], entry.xxh3))
        if fault is not None:
            # Without it the other files have no hashes; their sizes are in the manifest.
            yield Damage(file=self._below(summary), fault=fault, segment=entry.name)
            for name, size in entry.sizes.items():
                path = folder / name
                if not path.is_file() or path.stat().st_size != size:
                    yield Damage(
                        file=self._below(path), fault=f"is not {size} bytes", segment=entry.name
                    )
            return
        facts = json.loads(summary.read_bytes())
        for name, seal in facts["files"].items():
            for damage in self._file(folder / name, Seal(**seal), entry.name):
                ranges = self._ranges(folder, entry, facts) if name == SHARD else []
                yield from [replace(damage, rows=rows) for rows in ranges] or [damage]

    def _ranges(
        self, folder: Path, entry: SegmentEntry, facts: dict[str, list[int]]
    ) -> list[tuple[int, int]]:
        """Rows of the chunks of codes that are altered; none if only the index behind them is."""
        nbytes = self._store.format.bits // 8
        step = chunk_rows(entry.rows, nbytes)
        found = []
        try:
            with (folder / SHARD).open("rb") as file:
                for number, checksum in enumerate(facts["chunk_crc32c"]):
                    if google_crc32c.value(file.read(step * nbytes)) != checksum:
                        found.append((number * step, min((number + 1) * step, entry.rows)))
        except OSError:
            return []  # the file's own damage says so
        return found
