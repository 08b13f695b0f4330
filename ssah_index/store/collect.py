"""Garbage collection: files that no generation worth keeping names.

Explicit, never on the way of anything else: what is removed cannot be looked back at.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ssah_index.errors import SpecError
from ssah_index.store.deletions import FOLDER as DELETIONS
from ssah_index.store.indexes import INDEXES
from ssah_index.store.manifest import FOLDER as MANIFESTS
from ssah_index.store.manifest import Manifest, generations, manifest_name, read_manifest
from ssah_index.store.place import Place
from ssah_index.store.segment import SEGMENTS
from ssah_index.store.store import Store

GRACE_S = 86_400.0
"""Longer than any job: what is younger may be about to be committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectReport:
    """What a collection removed, or would."""

    generations: int
    """Generations that cannot be opened any more."""
    segments: int
    """Folders of segments and of indexes."""
    files: int
    """Other files: lists of deletions, and temporary files of killed writers."""
    removed_bytes: int
    """Bytes of all of them."""


def collect(
    store: Store, *, keep: int = 1, grace_s: float = GRACE_S, dry_run: bool = False
) -> CollectReport:
    """Remove what neither the newest generations, nor a reader or job under way needs.

    Parameters
    ----------
    store : Store
    keep : int
        Newest generations to keep at least, 1 or more; those with a tag are kept, too.
    grace_s : float
        Seconds that readers and writers may take. Generations that were the newest since, and
        files that were written since, are kept: a reader that pins a snapshot for longer, or a
        build that takes longer from a segment's first byte to its commit, would lose files.
    dry_run : bool
        Remove nothing, and report what would be.

    Raises
    ------
    SpecError
        If keep is below 1, or grace_s below 0 or NaN.
    CorruptError
        If a generation to keep cannot be read: what it names is unknown, so nothing is removed.
    WriteFailedError
        If removing is not permitted.
    """
    if keep < 1 or not grace_s >= 0:  # which NaN is not
        raise SpecError(
            f"keep is {keep} and grace_s is {grace_s}", "1 or more, and 0 or more", "Correct them."
        )
    place = store.place
    known = list(generations(place))
    tagged = set(store.newest().tags.values())
    limit = time.time() - grace_s
    pinned = _until(place, known, limit)
    kept = [n for i, n in enumerate(known) if i < max(keep, pinned) or n in tagged]
    manifests = [read_manifest(place, number) for number in kept]
    old = [manifest_name(number) for number in known if number not in kept]
    segments = dict(_old(place, _unnamed_folders(place, manifests), limit))
    files = dict(_old(place, _unnamed_files(place, manifests), limit))
    report = CollectReport(
        generations=len(old),
        segments=len(segments),
        files=len(files),
        removed_bytes=sum(place.facts(name).size for name in old)
        + sum(segments.values())
        + sum(files.values()),
    )
    if not dry_run:
        place.remove(old)  # first: what a listing shows must have its files
        place.remove(files)
        for name in segments:
            place.remove_folder(name)
    return report


def _until(place: Place, known: list[int], limit: float) -> int:
    """How many of the newest generations a reader that is younger than ``limit`` may have pinned:
    those that were still the newest then.
    """
    for i, number in enumerate(known):
        if place.facts(manifest_name(number)).modified_s < limit:
            return i + 1
    return len(known)


def _unnamed_folders(place: Place, manifests: list[Manifest]) -> Iterator[str]:
    """Folders of segments and of indexes that no manifest names."""
    for above, named in (
        (SEGMENTS, {entry.folder for manifest in manifests for entry in manifest.segments}),
        (INDEXES, {entry.folder for manifest in manifests for entry in manifest.indexes}),
    ):
        with contextlib.suppress(FileNotFoundError):  # no index was ever built
            yield from (f"{above}/{name}" for name in place.names(above) if name not in named)


def _unnamed_files(place: Place, manifests: list[Manifest]) -> Iterator[str]:
    """Lists of deletions that no manifest names, and temporary files of killed writers."""
    named = {entry.file for manifest in manifests for entry in manifest.deletions.values()}
    with contextlib.suppress(FileNotFoundError):  # nothing was ever deleted
        for name in place.names(DELETIONS):
            if name not in named:
                yield f"{DELETIONS}/{name}"
    for name in place.names(MANIFESTS):
        if name.startswith("."):
            yield f"{MANIFESTS}/{name}"


def _old(place: Place, names: Iterator[str], limit: float) -> Iterator[tuple[str, int]]:
    """Those that nobody has written to since ``limit``, with their bytes."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # another collection took it
            facts = place.facts(name)
            if facts.modified_s < limit:
                yield name, facts.size
