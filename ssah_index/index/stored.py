"""Indexes of a store, opened for a search."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ssah_index.errors import CorruptError, StoreError
from ssah_index.index.flat import FlatIndex
from ssah_index.kernels import Extent, merge
from ssah_index.kernels.scan import too_many
from ssah_index.store import (
    ABOUT,
    INDEXES,
    Damage,
    Fields,
    IndexEntry,
    IndexFiles,
    Segment,
    Snapshot,
    Store,
    leave_aside,
)
from ssah_index.types import Hits, Index, Modality, SearchSpec, Words

MIH = "mih"
logger = logging.getLogger(__name__)


def open_index(snapshot: Snapshot, modality: Modality | None) -> Index:
    """What answers searches of a snapshot: its indexes, and a scan of what they do not cover."""
    segments = {segment.entry.folder: segment for segment in snapshot.segments}
    parts: list[Index] = []
    covered: set[str] = set()
    for files in snapshot.indexes:
        entry = files.entry
        if modality not in (None, entry.modality) or covered & set(entry.segments):
            continue
        if fault := fault_of(entry, segments):
            leave_aside(f"{entry.folder} {fault}")
            continue
        parts.append(Stored(files, [segments[folder] for folder in entry.segments]))
        covered.update(entry.segments)
    rest = [s for s in snapshot.select(modality) if s.entry.folder not in covered]
    if rest or not parts:
        parts.append(FlatIndex.over(rest))
    return parts[0] if len(parts) == 1 else _Several(parts)


def fault_of(entry: IndexEntry, segments: Mapping[str, Segment]) -> str:
    """Why an index cannot be used with the segments of a snapshot, by folder; "" if it can."""
    if entry.kind != MIH:
        return f"is of kind {entry.kind!r}, which this release does not read"
    if not set(entry.segments) <= segments.keys():
        return "covers segments that are not there"
    own = [segments[folder] for folder in entry.segments]
    rows = [segment.first_row for segment in own]
    if rows != sorted(rows) or len(set(entry.segments)) < len(own):
        return "covers its segments in another order"
    if {segment.entry.modality for segment in own} - {entry.modality}:
        return f"covers other segments than those of {entry.modality}s"
    return ""


def whole_arrays(files: IndexFiles, patient: bool = True) -> Mapping[str, NDArray[Any]] | None:
    """The arrays of an index, compared with their hashes and fit to be searched.

    Parameters
    ----------
    files : IndexFiles
    patient : bool
        See `IndexFiles.arrays`.

    Raises
    ------
    CorruptError
        If they are not.
    """
    return files.arrays(patient, _check)


def _check(arrays: Mapping[str, NDArray[Any]], shape: Fields) -> None:
    from ssah_index.index.mih_check import check_arrays

    check_arrays(arrays, shape)


class Stored:
    """An index that lies in a store: a scan until its files are known to be whole, and if not.

    Parameters
    ----------
    files : IndexFiles
    segments : sequence of Segment
        What it covers.
    """

    def __init__(self, files: IndexFiles, segments: Sequence[Segment]) -> None:
        self._files, self._segments = files, segments
        self._scan = FlatIndex.over(segments)
        self._engine: Index | None = None

    def search(self, queries: Words, spec: SearchSpec) -> Hits:
        """Rows near each query, by (distance, row)."""
        return self.engine(patient=False).search(queries, spec)

    def engine(self, *, patient: bool) -> Index:
        """What answers; see `IndexFiles.arrays`."""
        if self._engine is None:
            try:
                arrays = whole_arrays(self._files, patient)
                if arrays is None:
                    return self._scan
                self._engine = _mih(arrays, self._files, self._segments)
            except StoreError as error:
                logger.warning("searches scan: %s", error)
                self._engine = self._scan
        return self._engine


def _mih(
    arrays: Mapping[str, NDArray[Any]], files: IndexFiles, segments: Sequence[Segment]
) -> Index:
    """The engine of arrays that are fit to be searched, if they belong to the segments.

    A small index is compared with the codes, which takes milliseconds; of a large one, only its
    numbers are: `verify_indexes` reads all of it.
    """
    from ssah_index.index.mih import MihIndex
    from ssah_index.index.mih_check import REBUILD, prove, read_plan

    shape, extents = files.about.shape, extents_of(segments)
    plan = read_plan(shape)
    n, width = sum(map(len, segments)), {8 * segment.codes.shape[1] for segment in segments}
    if plan.n != n or width != {plan.bits} or (files.quick and not prove(arrays, plan, extents)):
        raise CorruptError(
            f"{shape.where}: it was made of other codes",
            f"the {n} codes that it covers",
            REBUILD,
        )
    return MihIndex(arrays, plan, extents)


def verify_indexes(store: Store) -> Iterator[Damage]:
    """Compare all of each index that is in use with the codes that it covers.

    `verify` compares files with hashes that anybody can make anew; an index that leaves out codes
    answers without them. Reads all of each index, and all codes, where they are on this machine.
    """
    if not store.place.local:
        return
    from ssah_index.index.mih_check import prove, read_plan

    snapshot = store.snapshot()
    segments = {segment.entry.folder: segment for segment in snapshot.segments}
    for files in snapshot.indexes:
        entry = files.entry
        fault = fault_of(entry, segments)
        if not fault:
            try:
                arrays = whole_arrays(files) or {}
                own = [segments[folder] for folder in entry.segments]
                _mih(arrays, files, own)
                if not prove(arrays, read_plan(files.about.shape), extents_of(own)):
                    fault = "does not have the codes that it covers"
            except StoreError as error:
                fault = error.fault
        if fault:
            yield Damage(file=f"{INDEXES}/{entry.folder}/{ABOUT}", fault=fault)


def extents_of(segments: Sequence[Segment]) -> list[Extent]:
    """What kernels scan."""
    return [Extent(s.files.words, s.first_row, s.files.prefetch) for s in segments]


class _Several:
    """Indexes of which no two cover one row, asked one after the other."""

    def __init__(self, parts: Sequence[Index]) -> None:
        self._parts = parts

    def search(self, queries: Words, spec: SearchSpec) -> Hits:
        """Rows of all parts for each query, by (distance, row)."""
        alone = replace(spec, limit=spec.limit if spec.k is None else None)
        found = [part.search(queries, alone) for part in self._parts]
        hits = merge(found, len(queries), spec.k)
        if spec.limit is not None and len(hits.rows) > spec.limit:
            raise too_many(spec)
        return hits
