"""Compaction: deleted rows dropped, small neighbours merged, the order of rows kept.

Only neighbours of one modality are merged, so that no row changes place with another and
every tie falls as before; answers are the same but for row numbers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.errors import ConflictError
from ssah_index.store.append import SEGMENT_BYTES
from ssah_index.store.ledger import last_records
from ssah_index.store.manifest import Manifest, SegmentEntry
from ssah_index.store.segment import ORIGIN_FIELDS, Segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.stage import stage_segment
from ssah_index.store.store import Store

ATTEMPTS = 10

Run: TypeAlias = Sequence[Segment]
"""Neighbours that become one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactReport:
    """What a compaction did."""

    generation: int
    """The newest generation now."""
    segments_before: int
    """Segments there were."""
    segments_after: int
    """Segments there are."""
    dropped: int
    """Deleted rows that are gone."""


class _ChangedError(Exception):
    """What is being compacted was changed by another writer."""


def compact(store: Store) -> CompactReport:
    """Rewrite what has deleted rows or small neighbours, in one commit, durably.

    Older generations keep their files until `collect` removes them. Appends may go on
    meanwhile; if other rows were deleted or compacted meanwhile, the work is done again.

    Raises
    ------
    ConflictError
        If others changed what is compacted each time.
    WriteFailedError
        If the disk is full or cannot be written; the store is as it was.

    Notes
    -----
    Extra memory: codes and rows of one merged segment, twice.
    """
    for _ in range(ATTEMPTS):
        snapshot = store.snapshot()
        runs = [run for run in _runs(snapshot, store.format.bits // 8) if _is_worth_it(run)]
        try:
            newest = _replace(store, snapshot, runs) if runs else snapshot.manifest
        except _ChangedError:
            continue
        return CompactReport(
            generation=newest.generation,
            segments_before=len(snapshot.segments),
            segments_after=len(snapshot.segments) - sum(len(run) - 1 for run in runs),
            dropped=sum(len(segment.deleted) for run in runs for segment in run),
        )
    raise ConflictError(
        f"rows of {store.place} were deleted or compacted by others {ATTEMPTS} times",
        "nobody else to change what is compacted",
        "Run it again when fewer writers are busy.",
    )


def _runs(snapshot: Snapshot, nbytes: int) -> Iterator[Run]:
    """All segments in runs of neighbours of one modality that fit a segment together."""
    run: list[Segment] = []
    for segment in snapshot.segments:
        rows = sum(one.live for one in run) + segment.live
        fits = rows * nbytes <= SEGMENT_BYTES
        if run and not (fits and run[-1].entry.modality == segment.entry.modality):
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def _is_worth_it(run: Run) -> bool:
    return len(run) > 1 or bool(run[0].deleted)


def _replace(store: Store, snapshot: Snapshot, runs: Sequence[Run]) -> Manifest:
    """Stage what runs become, and publish it in their place."""
    staged: list[SegmentEntry] = []
    try:
        staged.extend(_rewrite(store, snapshot, run) for run in runs)
        return store.change(partial(_swap, snapshot.manifest, runs, staged))
    except BaseException:
        for entry in staged:
            store.discard(entry)
        raise


def _rewrite(store: Store, snapshot: Snapshot, run: Run) -> SegmentEntry:
    """Stage one segment of all rows of a run that are not deleted."""
    begun = time.monotonic()
    kept = [(segment, segment.keep()) for segment in run]
    # Records that take others back stay: those others may lie in another segment.
    ledger = last_records(failure for segment in run for failure in segment.files.failures())
    return stage_segment(
        store.place,
        f"compact-{uuid.uuid4().hex[:16]}",
        run[0].entry.modality,
        np.concatenate([segment.codes[keep] for segment, keep in kept]),
        pa.concat_tables([segment.rows.filter(keep, snapshot.schema) for segment, keep in kept]),
        list(ledger.values()),
        origins=_origins(run),
        fingerprint=store.format.encoder,
        elapsed_s=time.monotonic() - begun,
        stands_for=tuple(name for segment in run for name in segment.entry.names),
    )


def _origins(run: Run) -> NDArray[np.uint64] | None:
    """What the rows that are kept were made of; zeros for those of which it is unknown."""
    if all(segment.files.origins is None for segment in run):
        return None
    parts = []
    for segment in run:
        known = segment.files.origins
        if known is None:
            known = np.zeros((len(segment), ORIGIN_FIELDS), np.uint64)
        parts.append(known[segment.keep()])
    return np.concatenate(parts)


def _swap(
    before: Manifest, runs: Sequence[Run], staged: Sequence[SegmentEntry], current: Manifest
) -> Manifest:
    """The manifest that follows ``current``, with each run's segments replaced by one."""
    replaced: dict[str, SegmentEntry | None] = {}
    for run, entry in zip(runs, staged, strict=True):
        replaced |= {segment.entry.folder: None for segment in run}
        replaced[run[0].entry.folder] = entry
    present = {entry.folder for entry in current.segments}
    if not present >= set(replaced) or any(
        current.deletions.get(folder) != before.deletions.get(folder) for folder in replaced
    ):
        raise _ChangedError
    segments = [replaced.get(entry.folder, entry) for entry in current.segments]
    left = {f: entry for f, entry in current.deletions.items() if f not in replaced}
    return current.following(
        "compact",
        segments=tuple(entry for entry in segments if entry),
        deletions=left,
        indexes=tuple(i for i in current.indexes if not replaced.keys() & set(i.segments)),
    )
