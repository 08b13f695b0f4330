"""Indexes of a store: built, and published beside its segments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ssah_index.errors import ConflictError, CorruptError, SpecError
from ssah_index.index.mih_build import build
from ssah_index.index.mih_plan import MihPlan, draw, plan
from ssah_index.index.stored import MIH, extents_of
from ssah_index.stop import Stop
from ssah_index.store import IndexEntry, Manifest, Snapshot, Store, stage_index
from ssah_index.types import Modality, Progress, no_progress

Kind = Literal["auto", "mih"]
GAIN = 2.0
"""How many times as fast as a scan an index must be expected to be, for ``auto`` to build it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """What came of building an index."""

    kind: str
    """"mih", or "flat" where no index pays: every search is a scan then."""
    reason: str
    """Why, in words for a person."""
    rows: int
    """Rows it covers, deleted ones included."""
    index_bytes: int
    """Bytes of its files."""
    shape: dict[str, Any]
    """As `MihPlan` has it; empty for flat."""


def build_index(
    store: Store,
    modality: Modality,
    *,
    kind: Kind = "auto",
    budget_bytes: int = 8 << 30,
    threads: int | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
) -> IndexReport:
    """Build an index of all rows of a modality and publish it, in place of an older one.

    Later appends are scanned beside it, deletions heeded; a compaction of what it covers drops
    it. It is derived: answers are the same with and without.

    Parameters
    ----------
    store : Store
    modality : {"image", "text"}
    kind : {"auto", "mih"}
        auto builds none where a scan is expected to be as fast.
    budget_bytes : int
        Most bytes of the index. Building takes as much memory.
    threads : int, optional
        Most cores to use; all when left out.
    stop : Stop, optional
    progress : Progress, optional
        Told of tables.

    Raises
    ------
    SpecError
        If there are no rows, too many, or no shape fits the budget.
    ConflictError
        If segments were compacted meanwhile.
    DeadlineError, CancelledError
        As ``stop`` says; the store is as it was.
    WriteFailedError
        If the disk is full or cannot be written; the store is as it was.
    """
    if kind not in ("auto", MIH):
        raise SpecError(f"kind is {kind!r}", "'auto' or 'mih'", "Correct the spelling.")
    snapshot = store.snapshot()
    segments = [s for s in snapshot.segments if len(s) and s.entry.modality == modality]
    if not segments:
        raise SpecError(f"{store.place} has no {modality}s", "rows to index", "Append some.")
    extents = extents_of(segments)
    n = sum(map(len, segments))
    shape = plan(draw(extents), n, store.format.bits, budget_bytes)
    reason = (
        f"{n:,} codes of {shape.bits} bits: about {1e3 * shape.query_s:.2g} ms a query by "
        f"tables ({shape.m}, keys of {shape.b} bits), {1e3 * shape.scan_s:.2g} ms by a scan"
    )
    if kind == "auto" and shape.query_s * GAIN > shape.scan_s:
        return IndexReport(kind="flat", reason=reason, rows=n, index_bytes=0, shape={})
    folders = tuple(segment.entry.folder for segment in segments)
    entry = _standing(snapshot, modality, folders, shape)
    if entry is None:
        arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
        made = build(extents, shape, arrays, threads=threads, stop=stop, progress=progress)
        entry = stage_index(store.place, MIH, modality, folders, asdict(shape), made)
        _publish(store, entry)
    return IndexReport(
        kind=MIH,
        reason=reason,
        rows=n,
        index_bytes=sum(entry.sizes.values()),
        shape=asdict(shape),
    )


def _standing(
    snapshot: Snapshot,
    modality: Modality,
    folders: tuple[str, ...],
    shape: MihPlan,
) -> IndexEntry | None:
    """The index that is there already, if it is this very one and whole."""
    for files in snapshot.indexes:
        entry = files.entry
        if (entry.kind, entry.modality, entry.segments) == (MIH, modality, folders):
            try:
                if files.about["shape"] == json.loads(json.dumps(asdict(shape))) and files.arrays:
                    return entry
            except CorruptError:
                continue
    return None


def _publish(store: Store, entry: IndexEntry) -> None:
    """Let a staged index take the place of those of its kind and modality."""

    def follow(current: Manifest) -> Manifest:
        if not set(entry.segments) <= {segment.folder for segment in current.segments}:
            raise ConflictError(
                f"segments of {store.place} were compacted while their index was built",
                "segments that are still there",
                "Build the index again.",
            )
        others = tuple(
            other
            for other in current.indexes
            if (other.kind, other.modality) != (entry.kind, entry.modality)
        )
        return current.following("index", indexes=(*others, entry))

    try:
        store.change(follow)
    except BaseException:
        store.discard(entry)
        raise


def drop_indexes(store: Store, modality: Modality | None = None) -> int:
    """Drop the indexes of a modality (None: all); their files go with gc. Returns how many."""
    dropped = 0

    def follow(current: Manifest) -> Manifest:
        nonlocal dropped
        kept = tuple(i for i in current.indexes if modality not in (None, i.modality))
        dropped = len(current.indexes) - len(kept)
        return current.following("index", indexes=kept) if dropped else current

    store.change(follow)
    return dropped
