"""Manifests: one immutable, sealed JSON file a commit, published by create-if-absent.

A file is named 2^64-1-generation, twenty digits, so that a listing starts with the newest.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
import xxhash

from ssah_index.errors import CorruptError, FormatError, StoreError
from ssah_index.store.columns import RESERVED, base_schema, decode_columns
from ssah_index.store.deletions import DeletionEntry
from ssah_index.store.fields import MOST, Fields, decode
from ssah_index.store.place import RESTORE, Place
from ssah_index.store.rows import ID_HASH, ID_ROW, ROWS
from ssah_index.store.shard import METADATA, SHARD
from ssah_index.types import MODALITIES, Modality

logger = logging.getLogger(__name__)

FOLDER = "manifests"
ABOUT = "index.json"
SUMMARY = "segment.json"
LEDGER = "failed.parquet"
ORIGIN = "origin.u64"
MOST_ROWS = 1 << 32
"""Rows of a segment, whose positions are 32 bits."""
MOST_SECONDS = 253_402_300_799.0
"""The end of the year 9999, which is the last that can be shown."""
_TOP = 2**64 - 1
_NAME = re.compile(r"[0-9]{20}\.json")
_NEEDED = frozenset({SUMMARY, METADATA, ROWS})
_USUAL = _NEEDED | {SHARD, ID_HASH, ID_ROW, LEDGER, ORIGIN, "zarr.json"}
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
    """Published generations, newest first; files of other names are none.

    Raises
    ------
    CorruptError
        If there is no folder for them: an empty store has an empty one.
    """
    try:
        for name in place.names(FOLDER):
            if _NAME.fullmatch(name):
                generation = _TOP - int(name.removesuffix(".json"))
                if 0 < generation <= MOST:
                    yield generation
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
        If it is missing, unreadable, its seal does not hold, or a field is not what it must be.
    FormatError
        If it holds what this release would answer wrongly from.
    """
    if generation == 0:
        return Manifest()
    name = f"{place}/{manifest_name(generation)}"
    try:
        content = place.read(manifest_name(generation))
    except FileNotFoundError as error:
        raise CorruptError(f"{name} is missing", "a manifest", RESTORE) from error
    inner = content[len(_HEAD) : -len(_SEAL % bytes(16))]
    if content != _HEAD + inner + _SEAL % xxhash.xxh3_64_hexdigest(inner).encode():
        raise CorruptError(f"the seal of {name} does not hold", "an unaltered file", RESTORE)
    held = decode(inner, name, "a manifest")
    _refuse_unknown(held, _KNOWN | {"parent"})
    if (held.integer("generation"), held.integer("parent")) != (generation, generation - 1):
        raise CorruptError(f"{name} is another generation's", "its own", RESTORE)
    segments = _segments(held)
    return Manifest(
        generation=generation,
        segments=segments,
        deletions=_deletions(held, segments),
        indexes=_indexes(held),
        tags=held.counts("tags"),
        columns=_columns(held),
        operation=held.text("operation"),
        committed_s=held.number("committed_s", MOST_SECONDS),
    )


def _refuse_unknown(held: Fields, known: Collection[str]) -> None:
    """Refuse fields of a newer release: not to respect them may be to answer wrongly."""
    if unknown := held.unknown(known):
        raise FormatError(
            f"{held.where} has {', '.join(map(repr, sorted(unknown)))}",
            "nothing but what this release knows to read",
            "Upgrade ssah-index.",
        )


def _segments(held: Fields) -> tuple[SegmentEntry, ...]:
    entries = tuple(map(_segment, held.objects("segments")))
    if len({entry.folder for entry in entries}) < len(entries):
        raise held.wrong("segments", "each folder once")
    return entries


def _segment(held: Fields) -> SegmentEntry:
    _refuse_unknown(held, _KNOWN_OF_SEGMENT)
    entry = SegmentEntry(
        name=held.text("name"),
        folder=held.name("folder"),
        modality=cast(Modality, held.choice("modality", MODALITIES)),
        rows=held.integer("rows", MOST_ROWS),
        failed=held.integer("failed"),
        sizes=held.sizes("sizes", _USUAL),
        xxh3=held.text("xxh3"),
        stands_for=held.texts("stands_for", missing=True),
    )
    sizes = entry.sizes
    if (sizes.get(ID_HASH), sizes.get(ID_ROW)) != (8 * entry.rows, 4 * entry.rows):
        raise held.wrong("sizes", f"8 bytes a row of {ID_HASH}, and 4 of {ID_ROW}")
    if not (
        sizes.keys() >= _NEEDED
        and (SHARD in sizes or not entry.rows)
        and (LEDGER in sizes or not entry.failed)
    ):
        raise held.wrong("sizes", "all files that a segment of so many rows has")
    return entry


def _deletions(held: Fields, segments: Sequence[SegmentEntry]) -> dict[str, DeletionEntry]:
    rows = {entry.folder: entry.rows for entry in segments}
    lists = held.object("deletions")
    if not lists.body.keys() <= rows.keys():
        raise held.wrong("deletions", "folders of its segments alone")
    entries = {}
    for folder in lists.body:
        own = lists.object(folder)
        _refuse_unknown(own, _KNOWN_OF_DELETION)
        entries[folder] = DeletionEntry(
            file=own.name("file"),
            rows=own.integer("rows", rows[folder]),
            size=own.integer("size"),
            xxh3=own.text("xxh3"),
        )
    return entries


def _indexes(held: Fields) -> tuple[IndexEntry, ...]:
    """Those that this release understands: an index is derived, never needed."""
    entries: dict[str, IndexEntry] = {}
    for own in held.objects("indexes"):
        try:
            _refuse_unknown(own, _KNOWN_OF_INDEX)
            entry = IndexEntry(
                kind=own.text("kind"),
                folder=own.name("folder"),
                modality=cast(Modality, own.choice("modality", MODALITIES)),
                segments=own.texts("segments"),
                sizes=own.sizes("sizes"),
                xxh3=own.text("xxh3"),
            )
            if ABOUT not in entry.sizes:
                raise own.wrong("sizes", f"among others of {ABOUT}")
        except StoreError as error:
            leave_aside(str(error))
        else:
            entries[entry.folder] = entry
    return tuple(entries.values())


@lru_cache(1024)
def leave_aside(reason: str) -> None:
    """Say, once, why an index is not used."""
    logger.warning("an index is left aside, and searches scan: %s", reason)


def _columns(held: Fields) -> str:
    encoded = held.text("columns") if "columns" in held.body else ""  # the first stores had none
    if fault := _fault_of_columns(encoded):
        raise held.wrong("columns", f"an Arrow schema of the users' columns ({fault})")
    return encoded


@lru_cache(64)
def _fault_of_columns(encoded: str) -> str:
    """What is wrong with the users' columns; "" if nothing."""
    try:
        schema = decode_columns(encoded)
        for field in schema:
            pa.nulls(0, field.type).take(pa.array([], pa.int64()))
    except (ValueError, OSError, OverflowError, pa.ArrowException) as error:
        return str(error)[:100]
    names = [*base_schema("string").names, *RESERVED, *schema.names]
    return "" if len(set(names)) == len(names) else "a name comes twice or is reserved"


def publish(place: Place, manifest: Manifest) -> bool:
    """Publish a manifest, or return False because its generation is taken.

    Raises
    ------
    CorruptError
        If there are no more generations: their number was made up.
    """
    if manifest.generation > MOST:
        raise CorruptError(
            f"{place} has generation {manifest.generation - 1}",
            f"less than {MOST}",
            "Export its rows, and import them into a new store.",
        )
    return place.publish(manifest_name(manifest.generation), manifest.to_bytes())
