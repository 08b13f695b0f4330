"""Manifests: one immutable, sealed JSON file a commit, published by create-if-absent.

A file is named 2^64-1-generation, twenty digits, so that a listing starts with the newest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import xxhash

from ssah_index.errors import CorruptError, FormatError
from ssah_index.store.deletions import DeletionEntry
from ssah_index.store.files import publish_file
from ssah_index.types import Modality

_TOP = 2**64 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentEntry:
    """What a manifest says of one segment."""

    name: str
    """Logical name, one a share of an input; a rebuild skips names already there."""
    folder: str
    """Its folder below segments/: the name and the attempt."""
    modality: Modality
    """What its codes were made from."""
    rows: int
    """Codes."""
    failed: int
    """Rows in its ledger."""
    sizes: Mapping[str, int] = field(hash=False)
    """Bytes of each file, by path below the folder."""
    xxh3: str
    """Of segment.json, which holds the hashes of all the others."""
    stands_for: tuple[str, ...] = ()
    """Logical names of the segments that a compaction put into this one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Logical names whose rows it has: what is not to be added again."""
        return self.stands_for or (self.name,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One committed state of a store."""

    generation: int = 0
    """0 is the empty store before its first commit."""
    segments: tuple[SegmentEntry, ...] = ()
    """In order of insertion."""
    deletions: Mapping[str, DeletionEntry] = field(default_factory=dict)
    """Deleted rows of a segment, by its folder."""
    indexes: tuple[Mapping[str, Any], ...] = ()
    """Built indexes and the segments each covers."""
    tags: Mapping[str, int] = field(default_factory=dict)
    """Generations kept under a name."""
    operation: str = ""
    """What made it of the one before: "append", "delete", "compact" or "tag"."""
    committed_s: float = 0.0
    """When, in seconds since 1970, by the writer's clock."""

    def following(self, operation: str, **changes: Any) -> Manifest:
        """The next generation, with fields changed."""
        return replace(
            self,
            generation=self.generation + 1,
            operation=operation,
            committed_s=round(time.time(), 3),
            **changes,
        )

    def to_bytes(self) -> bytes:
        """Sealed JSON."""
        body = {**asdict(self), "parent": self.generation - 1}
        return _dump({"xxh3": _seal(body), "manifest": body})


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _seal(body: Any) -> str:
    return xxhash.xxh3_64_hexdigest(_dump(body))


def manifest_path(store: Path, generation: int) -> Path:
    """Where a generation is published."""
    return store / "manifests" / f"{_TOP - generation:020d}.json"


def generations(store: Path) -> list[int]:
    """Published generations, newest first.

    Raises
    ------
    CorruptError
        If there is no folder for them: an empty store has an empty one.
    """
    if not (store / "manifests").is_dir():
        raise CorruptError(
            f"{store} has no folder manifests",
            "the folder that lists its segments",
            "Restore the folder from a copy.",
        )
    names = sorted(path.name for path in (store / "manifests").glob("[0-9]*.json"))
    return [_TOP - int(name.removesuffix(".json")) for name in names]


def read_manifest(store: Path, generation: int) -> Manifest:
    """Read and check one generation; 0 is the empty store.

    Raises
    ------
    CorruptError
        If it is missing, unreadable or its seal does not hold.
    FormatError
        If it holds what this release would answer wrongly from.
    """
    if generation == 0:
        return Manifest()
    path = manifest_path(store, generation)
    remedy = "Restore the file from a copy."
    try:
        document = json.loads(path.read_bytes())
        body = document["manifest"]
        intact = document["xxh3"] == _seal(body) and body.pop("parent") == generation - 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{path} cannot be read ({error})", "a manifest", remedy) from error
    if not intact:
        raise CorruptError(f"the seal of {path} does not hold", "an unaltered file", remedy)
    unknown = set(body) - {field.name for field in fields(Manifest)}
    for kind, entries in (
        (SegmentEntry, body["segments"]),
        (DeletionEntry, body["deletions"].values()),
    ):
        for entry in entries:
            unknown |= set(entry) - {field.name for field in fields(kind)}
    if unknown:
        raise FormatError(
            f"generation {generation} of {store} has {', '.join(sorted(unknown))}",
            "nothing but what this release knows to read",
            "Upgrade ssah-index.",
        )
    segments = tuple(
        SegmentEntry(**{**entry, "stands_for": tuple(entry.get("stands_for", ()))})
        for entry in body.pop("segments")
    )
    gone = {folder: DeletionEntry(**entry) for folder, entry in body.pop("deletions").items()}
    indexes = tuple(body.pop("indexes"))
    return Manifest(segments=segments, deletions=gone, indexes=indexes, **body)


def publish(store: Path, manifest: Manifest) -> bool:
    """Publish a manifest, or return False because its generation is taken."""
    return publish_file(manifest_path(store, manifest.generation), manifest.to_bytes())
