"""Repair: what is whole stays, what is broken goes to quarantine, and every loss is told.

Nothing is guessed. A row is kept if its code and its id are what was written: codes have a
checksum a chunk, so that one flipped bit costs the rows of one chunk, not of a segment. Rows
that are lost are in the ledger of the segment that takes the old one's place, where their
ids are known.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ssah_index.errors import ConflictError, CorruptError, SsahError
from ssah_index.store.deletions import DeletionEntry, read_deletions
from ssah_index.store.indexes import INDEXES
from ssah_index.store.manifest import (
    LEDGER,
    ORIGIN,
    SUMMARY,
    IndexEntry,
    Manifest,
    SegmentEntry,
    generations,
    manifest_name,
    publish,
    read_manifest,
)
from ssah_index.store.rows import ROWS, Rows
from ssah_index.store.segment import SEGMENTS
from ssah_index.store.shard import SHARD
from ssah_index.store.stage import stage_segment
from ssah_index.store.store import Store
from ssah_index.store.verify import Damage, verify
from ssah_index.types import Codes, Failure, Progress, no_progress

QUARANTINE = "quarantine"
ATTEMPTS = 10
_DAMAGED = "its code was damaged on the disk"


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairReport:
    """What a repair found, did, or would do."""

    generation: int
    """The one that is whole again."""
    damages: tuple[Damage, ...]
    """What was found."""
    rows_lost: Mapping[str, int] = field(default_factory=dict)
    """Rows that are gone, by name of their segment."""
    failures_lost: int = 0
    """Rows of ledgers that are gone."""
    deletions_undone: int = 0
    """Rows whose deletion is gone with its list, so that they can be found again."""
    generations_lost: tuple[int, ...] = ()
    """Those that cannot be opened any more, since they need what is broken."""
    left: tuple[str, ...] = ()
    """Broken files that a repair cannot help: those of the encoder."""


@dataclass(kw_only=True, slots=True)
class _Plan:
    """The manifest to be, and what it costs."""

    segments: list[SegmentEntry] = field(default_factory=list)
    deletions: dict[str, DeletionEntry] = field(default_factory=dict)
    staged: list[SegmentEntry] = field(default_factory=list)
    rows_lost: dict[str, int] = field(default_factory=dict)
    failures_lost: int = 0
    deletions_undone: int = 0


def repair(store: Store, progress: Progress = no_progress) -> RepairReport:
    """Publish a generation of all that is whole, and move what is broken to quarantine/.

    Parameters
    ----------
    store : Store
    progress : Progress, optional
        Told of bytes read.

    Returns
    -------
    RepairReport
        A store that is whole is left as it is.

    Raises
    ------
    ConflictError
        If others change the store meanwhile, each time.
    WriteFailedError
        If the disk is full or cannot be written; the store is as it was.
    """
    for _ in range(ATTEMPTS):
        known = list(generations(store.place))
        damages = tuple(verify(store, progress))
        base = _newest_whole(store, known)
        if not damages:
            return RepairReport(generation=base.generation, damages=())
        broken = {damage.file for damage in damages}
        plan = _plan(store, base, known, damages)
        lost = tuple(sorted(n for n in known if _needs(store, n, broken)))
        following = replace(
            base.following("repair"),
            generation=max(known) + 1,
            segments=tuple(plan.segments),
            deletions=plan.deletions,
            indexes=_whole_indexes(base, plan, broken),
            tags={name: number for name, number in base.tags.items() if number not in lost},
        )
        if publish(store.place, following):
            left = tuple(sorted(broken & store.format.files.keys()))
            gone = broken - set(left) | {manifest_name(number) for number in lost}
            store.place.move(sorted(gone), QUARANTINE)
            return RepairReport(
                generation=following.generation, damages=damages, rows_lost=plan.rows_lost,
                failures_lost=plan.failures_lost, deletions_undone=plan.deletions_undone,
                generations_lost=lost, left=left,
            )  # fmt: skip
        for entry in plan.staged:
            store.place.remove_folder(f"{SEGMENTS}/{entry.folder}")
    raise ConflictError(
        f"{store.place} was changed by others {ATTEMPTS} times",
        "nobody else to write to it",
        "Stop the writers, and run it again.",
    )


def _newest_whole(store: Store, known: Sequence[int]) -> Manifest:
    """The newest manifest that can be read."""
    for number in known:
        try:
            return read_manifest(store.place, number)
        except CorruptError:
            continue
    return Manifest()


def _needs(store: Store, number: int, broken: set[str]) -> bool:
    """Whether a generation needs a broken file, or is one. No generation needs an index."""
    try:
        manifest = read_manifest(store.place, number)
    except CorruptError:
        return True
    files = {f"{SEGMENTS}/{s.folder}/{path}" for s in manifest.segments for path in s.sizes}
    return bool(broken & (files | {entry.path for entry in manifest.deletions.values()}))


def _plan(store: Store, base: Manifest, known: Sequence[int], damages: Sequence[Damage]) -> _Plan:
    """Stage what takes the place of broken segments."""
    plan = _Plan()
    broken = {damage.file for damage in damages}
    for folder, listed in base.deletions.items():
        entry = listed if listed.path not in broken else _older_list(store, known, folder, broken)
        plan.deletions_undone += listed.rows - (entry.rows if entry else 0)
        if entry:
            plan.deletions[folder] = entry
    for segment in base.segments:
        start = f"{SEGMENTS}/{segment.folder}/"
        own = [damage for damage in damages if damage.file.startswith(start)]
        kept = _salvaged(store, base, plan, segment, own) if own else segment
        if kept:
            plan.segments.append(kept)
    return plan


def _whole_indexes(base: Manifest, plan: _Plan, broken: set[str]) -> tuple[IndexEntry, ...]:
    """Indexes whose files are whole and whose segments are as they were."""
    kept = {entry.folder for entry in plan.segments}
    return tuple(
        entry
        for entry in base.indexes
        if set(entry.segments) <= kept
        and not any(file.startswith(f"{INDEXES}/{entry.folder}/") for file in broken)
    )


def _older_list(
    store: Store, known: Sequence[int], folder: str, broken: set[str]
) -> DeletionEntry | None:
    """The newest whole list of a segment's deleted rows."""
    for number in known:
        try:
            entry = read_manifest(store.place, number).deletions.get(folder)
        except SsahError:
            continue
        if entry and entry.path not in broken:
            return entry
    return None


def _salvaged(
    store: Store, base: Manifest, plan: _Plan, entry: SegmentEntry, damages: Sequence[Damage]
) -> SegmentEntry | None:
    """Stage the whole rows of a broken segment; None if there is no telling what is whole."""
    place, folder = store.place, f"{SEGMENTS}/{entry.folder}"
    broken = {damage.file.removeprefix(f"{folder}/") for damage in damages}
    gone = plan.deletions.pop(entry.folder, None)
    if broken & {SUMMARY, ROWS}:
        plan.rows_lost[entry.name] = entry.rows - (gone.rows if gone else 0)
        plan.failures_lost += entry.failed
        return None
    live = np.ones(entry.rows, np.bool_)
    if gone:
        live[np.array(read_deletions(place, gone, entry.rows), np.int64)] = False
    whole = live.copy()
    for first, last in (damage.rows for damage in damages if damage.rows):
        whole[first:last] = False
    files = store.open_files(entry, whole=False)
    fields = store.pinned(Manifest(columns=base.columns)).schema
    failures = [] if LEDGER in broken else files.failures()
    plan.failures_lost += entry.failed - len(failures)
    # Of the rows' files rows.arrow alone is sure to be whole; the others are made again.
    place.bring({f"{folder}/{ROWS}": files.summary.seals[f"{folder}/{ROWS}"]})
    rows = Rows(place.root / folder, entry.rows, store.format.ids)
    damaged = rows.filter(live & ~whole, fields)
    if damaged.num_rows:
        plan.rows_lost[entry.name] = damaged.num_rows
    failures += [
        Failure(id=str(row["id"]), source=row["source"], modality=entry.modality, reason=_DAMAGED)
        for row in damaged.select(["id", "source"]).to_pylist()
    ]
    staged = stage_segment(
        place,
        f"repair-{uuid.uuid4().hex[:16]}",
        entry.modality,
        _raw_codes(store, entry)[whole],
        rows.filter(whole, fields),
        failures,
        origins=None if ORIGIN in broken or files.origins is None else files.origins[whole],
        fingerprint=store.format.encoder,
        stands_for=entry.names,
    )
    plan.staged.append(staged)
    return staged


def _raw_codes(store: Store, entry: SegmentEntry) -> Codes:
    """The codes as they lie, whatever became of the index behind them; zeros where cut off."""
    nbytes = store.format.bits // 8
    try:
        content = b"".join(store.place.parts(f"{SEGMENTS}/{entry.folder}/{SHARD}"))
    except FileNotFoundError:
        content = b""
    size = entry.rows * nbytes
    return np.frombuffer(content[:size].ljust(size, b"\0"), np.uint8).reshape(-1, nbytes)
