"""Indexes of a store, opened for a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssah_index.errors import CorruptError
from ssah_index.index.flat import FlatIndex
from ssah_index.kernels import Extent, merge
from ssah_index.kernels.scan import too_many
from ssah_index.store import IndexFiles, Segment, Snapshot
from ssah_index.types import Hits, Index, Modality, SearchSpec, Words

MIH = "mih"


def open_index(snapshot: Snapshot, modality: Modality | None) -> Index:
    """What answers searches of a snapshot: its indexes, and a scan of what they do not cover.

    An index that is damaged is left aside, and its segments are scanned.
    """
    segments = {segment.entry.folder: segment for segment in snapshot.segments}
    parts: list[Index] = []
    covered: set[str] = set()
    for files in snapshot.indexes:
        entry = files.entry
        if entry.kind != MIH or modality not in (None, entry.modality):
            continue
        if covered & set(entry.segments) or not set(entry.segments) <= segments.keys():
            continue
        try:
            parts.append(_engine(files, [segments[folder] for folder in entry.segments]))
        except CorruptError:
            continue
        covered.update(entry.segments)
    rest = [s for s in snapshot.select(modality) if s.entry.folder not in covered]
    if rest or not parts:
        parts.append(FlatIndex.over(rest))
    return parts[0] if len(parts) == 1 else _Several(parts)


def _engine(files: IndexFiles, segments: Sequence[Segment]) -> Index:
    from ssah_index.index.mih import MihIndex
    from ssah_index.index.mih_plan import MihPlan

    shape = files.about["shape"]
    return MihIndex(
        files.arrays, MihPlan(**{**shape, "order": tuple(shape["order"])}), extents_of(segments)
    )


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
