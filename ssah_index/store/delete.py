"""Deletion: rows out of a store, by id or by position, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyroaring import BitMap

from ssah_index.codes import check_modality
from ssah_index.errors import ConflictError
from ssah_index.store.deletions import write_deletions
from ssah_index.store.ids import ids_array
from ssah_index.store.manifest import Manifest
from ssah_index.store.rows import Ids
from ssah_index.store.snapshot import Snapshot
from ssah_index.types import Modality

if TYPE_CHECKING:
    from ssah_index.store.store import Store


def delete(store: Store, ids: Any, modality: Modality | None) -> int:
    """Delete by id; this is `Store.delete`, which says what it takes and raises."""
    check_modality(modality, any_of_them=True)
    wanted = Ids.of(ids_array(ids, store.format.ids))

    def chosen(newest: Snapshot) -> dict[str, BitMap]:
        return {s.entry.folder: s.find(wanted) for s in newest.select(modality)}

    return _delete(store, chosen)


def delete_rows(store: Store, rows: Any, snapshot: Snapshot) -> int:
    """Delete by position; this is `Store.delete_rows`, which says what it takes and raises."""
    local = snapshot.local_rows(rows)

    def chosen(newest: Snapshot) -> dict[str, BitMap]:
        present = {segment.entry.folder for segment in newest.segments}
        if not local.keys() <= present:
            raise ConflictError(
                f"rows of generation {snapshot.generation} were compacted since",
                "segments that are still there",
                "Search the newest generation and delete what it finds, or delete by id.",
            )
        return local

    return _delete(store, chosen)


def _delete(store: Store, choose: Callable[[Snapshot], dict[str, BitMap]]) -> int:
    """Delete rows, chosen by segment folder, from whatever is the newest generation."""
    count = 0

    def follow(current: Manifest) -> Manifest:
        nonlocal count
        newest = store.pinned(current)
        before = {segment.entry.folder: segment.deleted for segment in newest.segments}
        after = {folder: before[folder] | rows for folder, rows in choose(newest).items()}
        changed = {f: rows for f, rows in after.items() if len(rows) > len(before[f])}
        count = sum(len(rows) - len(before[folder]) for folder, rows in changed.items())
        if not changed:
            return current
        written = write_deletions(store.place, changed)
        return current.following("delete", deletions={**current.deletions, **written})

    store.change(follow)
    return count
