"""Every byte of a store against the hashes that were taken when it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import google_crc32c
import xxhash

from ssah_index.errors import CorruptError, SsahError
from ssah_index.store.deletions import DeletionEntry, read_deletions
from ssah_index.store.faults import find_faults
from ssah_index.store.files import Seal
from ssah_index.store.indexes import INDEXES, IndexFiles
from ssah_index.store.manifest import (
    ABOUT,
    SUMMARY,
    IndexEntry,
    SegmentEntry,
    generations,
    manifest_name,
    read_manifest,
)
from ssah_index.store.segment import SEGMENTS, Summary, read_summary
from ssah_index.store.shard import SHARD, chunk_rows
from ssah_index.store.store import Store
from ssah_index.types import Progress, no_progress


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
    StoreMissingError, StoreReplacedError
        If the store was removed since it was opened.
    """
    store.place.confirm()
    return list(_Verification(store, progress).damages())


class _Verification:
    """One reading of a whole store."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._place = store.place
        self._progress = progress
        self._read = 0
        self._total = 0

    def damages(self) -> Iterator[Damage]:
        """All damages, in the order manifests, encoder, segments, deletions, indexes."""
        segments: dict[str, SegmentEntry] = {}
        deletions: dict[str, tuple[str, DeletionEntry]] = {}
        indexes: Sequence[IndexEntry] | None = None
        for generation in generations(self._place):
            try:
                manifest = read_manifest(self._place, generation)
            except SsahError as error:
                yield Damage(file=manifest_name(generation), fault=error.fault)
                continue
            segments |= {entry.folder: entry for entry in manifest.segments}
            deletions |= {gone.file: (folder, gone) for folder, gone in manifest.deletions.items()}
            if indexes is None:  # older generations are searched without theirs as well
                indexes = manifest.indexes
        sizes = [entry.sizes for entry in segments.values()]
        sizes += [entry.sizes for entry in indexes or ()]
        self._total = sum(sum(own.values()) for own in sizes)
        self._total += sum(seal.size for seal in self._store.format.files.values())
        self._total += sum(gone.size for _, gone in deletions.values())
        for name, seal in self._store.format.files.items():
            yield from self._file(name, seal)
        for entry in segments.values():
            yield from self._segment(entry)
        for folder, gone in deletions.values():
            yield from self._deletions(segments[folder], gone)
        for index in indexes or ():
            yield from self._index(index)

    def _file(self, name: str, seal: Seal, segment: str | None = None) -> Iterator[Damage]:
        """What is wrong with one file."""
        fault = self._fault(name, seal)
        if fault is not None:
            yield Damage(file=name, fault=fault, segment=segment)

    def _fault(self, name: str, seal: Seal) -> str | None:
        digest, size = xxhash.xxh3_64(), 0
        try:
            for part in self._place.parts(name):
                digest.update(part)
                size += len(part)
                self._read += len(part)
                self._progress(self._read, max(self._total, self._read), "bytes")
        except SsahError as error:
            return error.fault
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        if size != seal.size:
            return f"has {size} bytes, not {seal.size}"
        altered = digest.hexdigest() != seal.xxh3
        return f"is altered: its hash is not {seal.xxh3}" if altered else None

    def _index(self, entry: IndexEntry) -> Iterator[Damage]:
        about = f"{INDEXES}/{entry.folder}/{ABOUT}"
        try:
            seals = IndexFiles(self._place, entry, whole=False).about.seals
        except SsahError as error:
            yield Damage(file=about, fault=error.fault)
            return
        for name, seal in seals.items():
            yield from self._file(name, seal)

    def _deletions(self, entry: SegmentEntry, gone: DeletionEntry) -> Iterator[Damage]:
        damages = list(self._file(gone.path, gone.seal))
        yield from damages
        if not damages:
            try:
                read_deletions(self._place, gone, entry.rows)
            except SsahError as error:
                yield Damage(file=gone.path, fault=error.fault)

    def _segment(self, entry: SegmentEntry) -> Iterator[Damage]:
        folder = f"{SEGMENTS}/{entry.folder}"
        summary = f"{folder}/{SUMMARY}"
        fault = self._fault(summary, Seal(entry.sizes[SUMMARY], entry.xxh3))
        if fault is not None:
            # Without it the other files have no hashes; their sizes are in the manifest.
            yield Damage(file=summary, fault=fault, segment=entry.name)
            for name, size in entry.sizes.items():
                try:
                    if name != SUMMARY:
                        self._place.check(folder, {name: size})
                except CorruptError as error:
                    yield Damage(file=f"{folder}/{name}", fault=error.fault, segment=entry.name)
            return
        try:
            facts = read_summary(self._place, entry)
        except SsahError as error:
            yield Damage(file=summary, fault=error.fault, segment=entry.name)
            return
        whole = True
        for name, seal in facts.seals.items():
            for damage in self._file(name, seal, entry.name):
                whole = False
                ranges = self._ranges(name, entry, facts) if name.endswith(SHARD) else []
                yield from [replace(damage, rows=rows) for rows in ranges] or [damage]
        # As it was written; but by this program? What is elsewhere is checked once it is brought.
        if whole and self._place.local:
            files = self._store.open_files(entry, whole=False)
            for name, fault in find_faults(files):
                yield Damage(file=f"{folder}/{name}", fault=fault, segment=entry.name)

    def _ranges(self, name: str, entry: SegmentEntry, facts: Summary) -> list[tuple[int, int]]:
        """Rows of the chunks of codes that are altered; none if only the index behind them is."""
        nbytes = self._store.format.bits // 8
        step = chunk_rows(entry.rows, nbytes)
        try:
            content = b"".join(self._place.parts(name))  # a segment's codes: 128 MiB at most
        except OSError:
            content = b""
        if len(facts.chunk_crc32c) != -(-entry.rows // step):
            return [(0, entry.rows)]
        found: list[tuple[int, int]] = []
        for number, checksum in enumerate(facts.chunk_crc32c):
            first, last = number * step, min((number + 1) * step, entry.rows)
            chunk = content[first * nbytes : (first + step) * nbytes]
            if google_crc32c.value(chunk) != checksum:
                if found and found[-1][1] == first:
                    first, _ = found.pop()
                found.append((first, last))
        return found
