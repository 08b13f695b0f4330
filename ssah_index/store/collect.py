"""Garbage collection: files that no generation worth keeping names.

Explicit, never on the way of anything else: what is removed cannot be looked back at.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ssah_index.errors import SpecError
from ssah_index.store.deletions import FOLDER as DELETIONS
from ssah_index.store.files import fsync_folder, writing
from ssah_index.store.manifest import Manifest, generations, manifest_path, read_manifest
from ssah_index.store.store import Store

GRACE_S = 86_400.0
"""Longer than any job: what is younger may be about to be committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectReport:
    """What a collection removed, or would."""

    generations: int
    """Generations that cannot be opened any more."""
    segments: int
    """Segment folders."""
    files: int
    """Other files: lists of deletions, and temporary files of killed writers."""
    removed_bytes: int
    """Bytes of all of them."""


def collect(
    store: Store, *, keep: int = 1, grace_s: float = GRACE_S, dry_run: bool = False
) -> CollectReport:
    """Remove what neither the newest generations nor a job under way needs.

    Parameters
    ----------
    store : Store
    keep : int
        Newest generations to keep, at least 1; those with a tag are kept, too.
    grace_s : float
        Seconds that a file must have lain there. A build or append that takes longer from
        its first byte to its commit would lose its segment: keep it above.
    dry_run : bool
        Remove nothing, and report what would be.

    Raises
    ------
    SpecError
        If keep is below 1 or grace_s below 0.
    CorruptError
        If a generation to keep cannot be read: what it names is unknown, so nothing is removed.
    WriteFailedError
        If removing is not permitted.
    """
    if keep < 1 or grace_s < 0:
        raise SpecError(
            f"keep is {keep} and grace_s is {grace_s}", "1 or more, and 0 or more", "Correct them."
        )
    known = generations(store.path)
    tagged = set(store.newest().tags.values())
    kept = [number for i, number in enumerate(known) if i < keep or number in tagged]
    manifests = [read_manifest(store.path, number) for number in kept]
    old = [manifest_path(store.path, number) for number in known if number not in kept]
    limit = time.time() - grace_s
    segments = list(_segments(store.path, manifests, limit))
    files = list(_files(store.path, manifests, limit))
    report = CollectReport(
        generations=len(old),
        segments=len(segments),
        files=len(files),
        removed_bytes=sum(_size(path) for path in (*old, *segments, *files)),
    )
    if not dry_run:
        with writing(store.path):
            _remove(store.path, old, [*segments, *files])
    return report


def _segments(store: Path, manifests: list[Manifest], limit: float) -> Iterator[Path]:
    """Segment folders that no manifest names, and nobody writes."""
    named = {entry.folder for manifest in manifests for entry in manifest.segments}
    for path in sorted((store / "segments").iterdir()):
        if path.name not in named and _newest_change(path) < limit:
            yield path


def _files(store: Path, manifests: list[Manifest], limit: float) -> Iterator[Path]:
    """Lists of deletions that no manifest names, and temporary files."""
    named = {entry.file for manifest in manifests for entry in manifest.deletions.values()}
    lists = (store / DELETIONS).glob("*.roaring")
    unnamed = [path for path in lists if path.name not in named]
    temporary = (store / "manifests").glob(".*.tmp")
    for path in sorted([*unnamed, *temporary]):
        if path.stat().st_mtime < limit:
            yield path


def _newest_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _size(path: Path) -> int:
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _remove(store: Path, manifests: list[Path], others: list[Path]) -> None:
    """Remove manifests first: what a listing shows must have its files."""
    for path in manifests:
        path.unlink(missing_ok=True)
    fsync_folder(store / "manifests")
    for path in others:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
