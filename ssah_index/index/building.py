"""Indexes of a store: built, and published beside its segments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ssah_index.codes import check_modality
from ssah_index.errors import ConflictError, SpecError, StoreError
from ssah_index.index.mih_build import balance, fill
from ssah_index.index.mih_plan import MOST_ROWS, MihPlan, draw, plan
from ssah_index.index.stored import MIH, extents_of, fault_of, whole_arrays
from ssah_index.kernels import cores
from ssah_index.stop import Stop
from ssah_index.store import IndexDraft, IndexEntry, IndexWork, Manifest, Segment, Snapshot, Store
from ssah_index.types import Modality, Progress, no_progress

Kind = Literal["auto", "mih"]
GAIN = 2.0
"""How many times as fast as a scan an index must be expected to be, for ``auto`` to build it."""
MERGE = 2.0
"""An index of up to so many times the rows of what is to be indexed is built anew with them, so
that their number grows with the logarithm of the rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """What the indexes of a modality are now."""

    kind: str
    """"mih", or "flat" where there is none: every search is a scan then."""
    reason: str
    """What was built and why, or why not, in words for a person."""
    rows: int
    """Rows that indexes cover, deleted ones included."""
    index_bytes: int
    """Bytes of their files."""
    built: tuple[dict[str, Any], ...]
    """Shapes of those built now, as `MihPlan` has them."""


def build_index(
    store: Store,
    modality: Modality,
    *,
    kind: Kind = "auto",
    budget_bytes: int = 8 << 30,
    rebuild: bool = False,
    threads: int | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
) -> IndexReport:
    """Index the rows of a modality that no whole index covers, and publish it.

    Rows that are appended later are scanned, until this is called again; then they get an index
    of their own, or one together with an older one that is not much larger. Deletions are heeded;
    a compaction of what an index covers drops it. An index is derived: answers are the same with
    and without. A build that was killed is taken up where it was by the same call.

    Parameters
    ----------
    store : Store
    modality : {"image", "text"}
    kind : {"auto", "mih"}
        auto builds none where a scan is expected to be as fast.
    budget_bytes : int
        Most bytes of the index of all rows; one of fewer rows gets their share. Building needs
        memory of its own, see `ssah_index.index.mih_build.fill`.
    rebuild : bool
        Build it anew, of all rows, whatever is there.
    threads : int, optional
        Most cores to use; all when left out.
    stop : Stop, optional
    progress : Progress, optional
        Told of entries that are written.
    tell : callable, optional
        Told a line on what will be built and what it will take, before that.

    Raises
    ------
    SpecError
        If there are no rows, no shape fits the budget, or threads is below 1.
    ConflictError
        If segments were compacted meanwhile, or another process builds the same index.
    DeadlineError, CancelledError
        As ``stop`` says; the store is as it was.
    WriteFailedError
        If the disk is full or cannot be written; the store is as it was.
    """
    if kind not in ("auto", MIH):
        raise SpecError(f"kind is {kind!r}", "'auto' or 'mih'", "Correct the spelling.")
    check_modality(modality, SpecError)
    if threads is not None and threads < 1:
        raise SpecError(f"threads is {threads!r}", "a whole number from 1", "Correct threads.")
    most = min(threads or cores(), cores())
    snapshot = store.snapshot()
    if not any(len(s) and s.entry.modality == modality for s in snapshot.segments):
        raise SpecError(f"{store.place} has no {modality}s", "rows to index", "Append some.")
    standing = [] if rebuild else list(_whole(snapshot, modality))
    made: list[IndexEntry] = []
    shapes, reasons = [], []
    try:
        for segments in _to_build(snapshot, modality, standing):
            shape = _plan(snapshot, segments, budget_bytes)
            worth_it = shape.query_s * GAIN <= shape.scan_s
            reasons.append(_reason(shape, worth_it, kind))
            if kind == "auto" and not worth_it:
                continue
            if tell:
                tell(f"{reasons[-1]}; {shape.nbytes:,} bytes, {shape.build_s:,.0f} s of one core")
            shapes.append(asdict(shape))
            made.append(_build(store, modality, segments, shape, most, stop, progress))
        if made:
            snapshot = store.pinned(_publish(store, made, standing))
    except BaseException:
        for entry in made:
            store.discard(entry)
        raise
    return _report(snapshot, modality, reasons, shapes)


def _whole(snapshot: Snapshot, modality: Modality) -> Iterator[IndexEntry]:
    """Indexes that are there, and whose files are as they were written."""
    segments = {segment.entry.folder: segment for segment in snapshot.segments}
    for files in snapshot.indexes:
        if files.entry.modality == modality and not fault_of(files.entry, segments):
            try:
                whole_arrays(files)
            except StoreError:
                continue
            yield files.entry


def _to_build(
    snapshot: Snapshot, modality: Modality, standing: list[IndexEntry]
) -> Iterator[list[Segment]]:
    """Segments for each index that is to be built; takes what they stand in for from standing."""
    rows = {s.entry.folder: s.entry.rows for s in snapshot.segments if s.entry.modality == modality}
    covered = {folder for entry in standing for folder in entry.segments}
    chosen = rows.keys() - covered
    if not sum(rows[folder] for folder in chosen):
        return
    for entry in sorted(standing, key=lambda entry: sum(rows[f] for f in entry.segments)):
        if sum(rows[f] for f in entry.segments) > MERGE * sum(rows[f] for f in chosen):
            break
        chosen |= set(entry.segments)
        standing.remove(entry)
    group: list[Segment] = []
    for segment in snapshot.segments:
        if segment.entry.folder in chosen and len(segment):
            if sum(map(len, group)) + len(segment) >= MOST_ROWS:
                yield group
                group = []
            group.append(segment)
    yield group


def _plan(snapshot: Snapshot, segments: Sequence[Segment], budget_bytes: int) -> MihPlan:
    modality, n = segments[0].entry.modality, sum(map(len, segments))
    rows = sum(s.entry.rows for s in snapshot.segments if s.entry.modality == modality)
    budget = math.ceil(budget_bytes * n / rows)
    return plan(draw(extents_of(segments)), n, 8 * snapshot.nbytes, budget)


def _reason(shape: MihPlan, worth_it: bool, kind: Kind) -> str:
    """What is done with these codes, and the figures that say why."""
    codes = f"{shape.n:,} codes of {shape.bits} bits"
    times = (
        f"about {_ms(shape.query_s)} a query by tables ({shape.m}, keys of {shape.b} bits), "
        f"{_ms(shape.scan_s)} by a scan"
    )
    if worth_it:
        return f"an index is built for {codes}: {times}"
    if kind == "auto":
        return f"none is built for {codes}: {times}, less than {GAIN:g} times as much"
    return f"an index is built for {codes}, as kind {kind!r} says, though a scan may do: {times}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2g} ms" if seconds >= 1e-6 else "under 0.001 ms"


def _build(
    store: Store,
    modality: Modality,
    segments: Sequence[Segment],
    shape: MihPlan,
    threads: int,
    stop: Stop | None,
    progress: Progress,
) -> IndexEntry:
    """Write an index durably, without publishing it."""
    work = IndexWork(
        kind=MIH,
        modality=modality,
        segments=[segment.entry.folder for segment in segments],
        shape=asdict(shape),
        arrays={name: kind for name, (kind, _) in shape.sizes().items()},
    )
    with IndexDraft(store.place, work) as draft:
        fill(extents_of(segments), shape, draft, threads=threads, stop=stop, progress=progress)
        return draft.finish(balance(shape, draft))


def _publish(store: Store, made: Sequence[IndexEntry], standing: Sequence[IndexEntry]) -> Manifest:
    """Let built indexes take the place of all of their kind and modality but those standing."""
    kind, modality = made[0].kind, made[0].modality
    kept = {entry.folder for entry in standing}
    needed = {folder for entry in made for folder in entry.segments}

    def follow(current: Manifest) -> Manifest:
        if not needed <= {segment.folder for segment in current.segments}:
            raise ConflictError(
                f"segments of {store.place} were compacted while their index was built",
                "segments that are still there",
                "Build the index again.",
            )
        others = tuple(
            other
            for other in current.indexes
            if (other.kind, other.modality) != (kind, modality) or other.folder in kept
        )
        return current.following("index", indexes=(*others, *made))

    return store.change(follow)


def _report(
    snapshot: Snapshot,
    modality: Modality,
    reasons: Sequence[str],
    shapes: Sequence[dict[str, Any]],
) -> IndexReport:
    there = [
        files.entry
        for files in snapshot.indexes
        if (files.entry.kind, files.entry.modality) == (MIH, modality)
    ]
    rows = _rows(snapshot, there)
    kept = rows - sum(shape["n"] for shape in shapes)
    already = [f"{kept:,} rows are in an index already"] if kept else []
    return IndexReport(
        kind=MIH if there else "flat",
        reason="; ".join([*already, *reasons]) if reasons else "all rows are in an index already",
        rows=rows,
        index_bytes=sum(sum(entry.sizes.values()) for entry in there),
        built=tuple(shapes),
    )


def _rows(snapshot: Snapshot, entries: Sequence[IndexEntry]) -> int:
    """Rows that indexes cover, deleted ones included."""
    covered = {folder for entry in entries for folder in entry.segments}
    return sum(s.entry.rows for s in snapshot.segments if s.entry.folder in covered)


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
