"""Manifests: one immutable, sealed JSON file a commit, published by create-if-absent.

A file is named 2^64-1-generation, twenty digits, so that a listing starts with the newest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import xxhash

from ssah_index.errors import CorruptError, FormatError
from ssah_index.store.deletions import DeletionEntry
from ssah_index.store.place import Place
from ssah_index.types import Modality

FOLDER = "manifests"
_TOP = 2**64 - 1
_HEAD, _SEAL = b'{"manifest":', b',"xxh3":"%b"}'


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
class IndexEntry:
    """What a manifest says of one built index."""

    kind: str
    """Which engine reads it."""
    folder: str
    """Its folder below indexes/: what it was made of, and the attempt."""
    modality: Modality
    """Of the segments it covers."""
    segments: tuple[str, ...]
    """Folders of the segments it covers, in order; others are scanned."""
    sizes: Mapping[str, int] = field(hash=False)
    """Bytes of each file, by path below the folder."""
    xxh3: str
    """Of index.json, which holds the hashes of all the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One committed state of a store."""

    generation: int = 0
    """0 is the empty store before its first commit."""
    segments: tuple[SegmentEntry, ...] = ()
    """In order of insertion."""
    deletions: Mapping[str, DeletionEntry] = field(default_factory=dict)
    """Deleted rows of a segment, by its folder."""
    indexes: tuple[IndexEntry, ...] = ()
    """Built indexes and the segments each covers."""
    tags: Mapping[str, int] = field(default_factory=dict)
    """Generations kept under a name."""
    columns: str = ""
    """The users' columns of all segments, as `encode_columns` writes them."""
    operation: str = ""
    """What made it of the one before: "append", "delete", "compact", "repair", "index" or "tag"."""
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
        return sealed({**asdict(self), "parent": self.generation - 1})


_KNOWN = frozenset(field.name for field in fields(Manifest))
_KNOWN_OF_SEGMENT = frozenset(field.name for field in fields(SegmentEntry))
_KNOWN_OF_INDEX = frozenset(field.name for field in fields(IndexEntry))
_KNOWN_OF_DELETION = frozenset(field.name for field in fields(DeletionEntry))


def sealed(body: Mapping[str, Any]) -> bytes:
    """A manifest's file: its body, and the hash of the bytes that the body takes up."""
    content = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    return _HEAD + content + _SEAL % xxhash.xxh3_64_hexdigest(content).encode()


def manifest_name(generation: int) -> str:
    """Where a generation is published, below the store."""
    return f"{FOLDER}/{_TOP - generation:020d}.json"


def generations(place: Place) -> Iterator[int]:
    """Published generations, newest first.

    Raises
    ------
    CorruptError
        If there is no folder for them: an empty store has an empty one.
    """
    try:
        for name in place.names(FOLDER):
            if name[0].isdecimal() and name.endswith(".json"):
                yield _TOP - int(name.removesuffix(".json"))
    except FileNotFoundError:
        raise CorruptError(
            f"{place} has no folder {FOLDER}",
            "the folder that lists its segments",
            "Restore the folder from a copy.",
        ) from None


def read_manifest(place: Place, generation: int) -> Manifest:
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
    name = f"{place}/{manifest_name(generation)}"
    remedy = "Restore the file from a copy, or run: ssah-index repair STORE"
    try:
        content = place.read(manifest_name(generation))
        inner = content[len(_HEAD) : -len(_SEAL % bytes(16))]
        if content != _HEAD + inner + _SEAL % xxhash.xxh3_64_hexdigest(inner).encode():
            raise CorruptError(f"the seal of {name} does not hold", "an unaltered file", remedy)
        body = json.loads(inner)
        if body.pop("parent") != generation - 1:
            raise CorruptError(f"{name} is another generation's", "its own", remedy)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise CorruptError(f"{name} cannot be read ({error})", "a manifest", remedy) from error
    _refuse_unknown(place, generation, body)
    segments = tuple(
        SegmentEntry(**{**entry, "stands_for": tuple(entry.get("stands_for", ()))})
        for entry in body.pop("segments")
    )
    gone = {folder: DeletionEntry(**entry) for folder, entry in body.pop("deletions").items()}
    indexes = tuple(
        IndexEntry(**{**entry, "segments": tuple(entry["segments"])})
        for entry in body.pop("indexes")
    )
    return Manifest(segments=segments, deletions=gone, indexes=indexes, **body)


def _refuse_unknown(place: Place, generation: int, body: Mapping[str, Any]) -> None:
    """Refuse fields of a newer release: not to heed them may be to answer wrongly."""
    unknown = body.keys() - _KNOWN
    for entry in body["segments"]:
        unknown |= entry.keys() - _KNOWN_OF_SEGMENT
    for entry in body["indexes"]:
        unknown |= entry.keys() - _KNOWN_OF_INDEX
    for entry in body["deletions"].values():
        unknown |= entry.keys() - _KNOWN_OF_DELETION
    if unknown:
        raise FormatError(
            f"generation {generation} of {place} has {', '.join(sorted(unknown))}",
            "nothing but what this release knows to read",
            "Upgrade ssah-index.",
        )


def publish(place: Place, manifest: Manifest) -> bool:
    """Publish a manifest, or return False because its generation is taken."""
    return place.publish(manifest_name(manifest.generation), manifest.to_bytes())
