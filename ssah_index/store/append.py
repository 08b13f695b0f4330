"""Append: codes and rows of one batch, or segments staged before, and one commit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.codes import as_codes, check_modality
from ssah_index.codes.whole import shown
from ssah_index.errors import RowsError, SpecError, StoreExistsError
from ssah_index.store.column_types import conform, may_overflow
from ssah_index.store.columns import (
    decode_columns,
    encode_columns,
    merge_columns,
    own_columns,
    rows_table,
)
from ssah_index.store.deletions import write_deletions
from ssah_index.store.duplicates import Policy, check_policy, once, resolve
from ssah_index.store.manifest import Manifest, SegmentEntry
from ssah_index.store.rows import combined
from ssah_index.store.segment import Segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.stage import stage_segment
from ssah_index.types import BitOrder, Codes, Modality

if TYPE_CHECKING:
    from ssah_index.store.store import Store

SEGMENT_BYTES = 128 << 20
"""Codes that a segment has at most."""
NAME_BYTES = 200
"""Of a batch's name: a folder's has 255, and the attempt is part of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendReport:
    """What an append did."""

    generation: int
    """The one that has the rows."""
    written: int
    """Rows that are there now and were not before."""
    skipped: int
    """Rows that were left out because their id is there, or came twice."""
    replaced: int
    """Rows that others of their id took the place of."""
    deleted: int = 0
    """Rows that were left out because a batch of this name was appended before, and whose ids no
    row has any more: they were deleted since. Append them under another name to have them back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """What came of a commit of new segments."""

    manifest: Manifest
    """A generation that has them all."""
    skipped: int = 0
    """New rows that are deleted at once, since their ids were there."""
    replaced: int = 0
    """Rows that new ones took the place of."""


def commit(
    store: Store, entries: Sequence[SegmentEntry], policy: Policy, first: bool = False
) -> Committed:
    """Commit staged segments; this is `Store.commit`, which says what it takes and raises."""
    check_policy(policy)
    changed = 0

    def follow(current: Manifest) -> Manifest:
        nonlocal changed
        changed = 0
        present = {name for entry in current.segments for name in entry.names}
        new = tuple(entry for entry in entries if entry.name not in present)
        if not new:
            return current
        if first and current.generation:
            raise StoreExistsError(
                f"{store.place} is no longer empty: another process has committed to it",
                "to be the first",
                "Run the same command again.",
            )
        fresh = [Segment(store.open_files(entry), 0, BitMap()) for entry in new]
        known = store.pinned(current).segments
        before = columns = decode_columns(current.columns)
        for segment in fresh:
            columns = merge_columns(columns, own_columns(segment.rows.schema))
        widened = any(not field.type.equals(columns.field(field.name).type) for field in before)
        _check_range([*known, *fresh] if widened else fresh, columns)
        deleted, changed = resolve(known, fresh, policy)
        written = write_deletions(store.place, deleted) if deleted else {}
        return current.following(
            "append",
            segments=current.segments + new,
            columns=encode_columns(columns),
            deletions={**current.deletions, **written},
        )

    manifest = store.change(follow)
    if policy == "skip":
        return Committed(manifest=manifest, skipped=changed)
    return Committed(manifest=manifest, replaced=changed)


def _check_range(segments: Sequence[Segment], columns: pa.Schema) -> None:
    """Refuse a finer unit of time that cannot hold what some segment has in a coarser one.

    Raises
    ------
    RowsError
        If there is such a value.
    """
    for segment in segments:
        for field in own_columns(segment.rows.schema):
            kind = columns.field(field.name).type
            if field.type.equals(kind) or not may_overflow(kind):
                continue
            try:
                for _, batch in segment.rows.batches():
                    conform(batch.column(field.name), kind)
            except pa.ArrowInvalid as error:
                raise RowsError(
                    f"column {field.name!r} has units of {field.type} and {kind} ({error})",
                    "values that the finer unit can hold",
                    "Convert the column to one unit, or give it another name.",
                ) from error


def append(
    store: Store,
    codes: Any,
    rows: Any,
    modality: Modality,
    *,
    on_duplicate: Policy = "error",
    name: str | None = None,
    bitorder: BitOrder = "little",
) -> AppendReport:
    """Append a batch; this is `Store.append`, which says what it takes and raises."""
    check_policy(on_duplicate)
    check_modality(modality, SpecError)
    packed = as_codes(codes, store.format.bits, bitorder=bitorder)
    table = rows_table(rows, len(packed), modality, store.format.ids)
    name = _check_name(name)
    newest = store.newest()
    if _is_there(newest, name):
        return _left_out(store.pinned(newest), name, table, modality)
    merge_columns(decode_columns(newest.columns), own_columns(table.schema))  # refuse it unwritten
    keep = _wanted(store, table, modality, on_duplicate)
    if not keep.all():
        packed, table = packed[keep], table.filter(pa.array(keep))
    committed, there = _bring(store, name, modality, packed, table, on_duplicate)
    return AppendReport(
        generation=committed.manifest.generation,
        written=there - committed.skipped,
        skipped=len(keep) - there + committed.skipped,
        replaced=committed.replaced,
    )


def _bring(
    store: Store, name: str, modality: Modality, codes: Codes, table: pa.Table, policy: Policy
) -> tuple[Committed, int]:
    """Stage and commit a batch; also how many of its rows were published, those skipped too."""
    entries: list[SegmentEntry] = []
    fingerprint = store.format.encoder
    try:
        for number, (some, part) in enumerate(_cut(codes, table)):
            own = f"{name}-{number:06d}" if number else name
            entry = stage_segment(store.place, own, modality, some, part, fingerprint=fingerprint)
            entries.append(entry)
        committed = store.commit(entries, policy)
    except BaseException:
        for entry in entries:
            store.discard(entry)
        raise
    published = set(committed.manifest.segments)
    for entry in entries:
        if entry not in published:  # another process has appended a batch of this name
            store.discard(entry)
    return committed, sum(entry.rows for entry in entries if entry in published)


def _check_name(name: str | None) -> str:
    """A batch's name, or one of its own; it becomes part of a folder's name."""
    if name is None:
        return f"append-{uuid.uuid4().hex[:16]}"
    fits = isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= NAME_BYTES
    if not fits or "/" in name or "\\" in name or name.startswith("."):
        raise SpecError(
            f"the name of a batch is {shown(name)}",
            f"a text of 1 to {NAME_BYTES} bytes without slashes, that begins with no dot",
            "Choose another name.",
        )
    return name


def _is_there(newest: Manifest, name: str) -> bool:
    return any(name in entry.names for entry in newest.segments)


def _left_out(snapshot: Snapshot, name: str, table: pa.Table, modality: Modality) -> AppendReport:
    """The report on a batch whose name is there: of its rows, which were deleted since."""
    deleted = int(snapshot.lost(name, table.column("id"), modality).sum())
    return AppendReport(
        generation=snapshot.generation,
        written=0,
        skipped=table.num_rows - deleted,
        replaced=0,
        deleted=deleted,
    )


def _wanted(store: Store, table: pa.Table, modality: Modality, policy: Policy) -> NDArray[np.bool_]:
    """Rows to write: each id once, and of those to be skipped only what is new by now.

    The commit decides. Looking before it costs as much again, and pays where most is skipped.
    """
    ids = combined(table.column("id"))
    keep = once(ids, policy)
    return keep & ~store.snapshot().has(ids, modality) if policy == "skip" else keep


def _cut(codes: Codes, table: pa.Table) -> Iterator[tuple[Codes, pa.Table]]:
    """Segments' worth of rows."""
    step = max(SEGMENT_BYTES // codes.shape[1], 1)
    for start in range(0, len(codes), step):
        yield codes[start : start + step], table.slice(start, step)
