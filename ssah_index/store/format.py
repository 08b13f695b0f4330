"""format.json: what never changes in a store's life, sealed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, cast

import xxhash

from ssah_index.codes import check_bits
from ssah_index.errors import CodeError, CorruptError, FormatError, StoreMissingError
from ssah_index.store.fields import Fields, decode
from ssah_index.store.files import Seal
from ssah_index.store.names import refuse_links_in
from ssah_index.store.place import FORMAT, Place

FORMAT_VERSION = 1
ENCODER = "encoder"
"""The folder of the encoder that a store carries."""
IdKind = Literal["string", "int64"]
ID_KINDS: tuple[IdKind, ...] = ("string", "int64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What format.json says."""

    version: int = FORMAT_VERSION
    """Format version; this release reads and writes 1."""
    bits: int
    """Code width."""
    bitorder: str = "little"
    """Always that."""
    encoder: str | None = None
    """Fingerprint of the encoder, or None for codes made elsewhere."""
    ids: IdKind = "string"
    """What the users' keys are."""
    uid: str = ""
    """Random digits that tell this store from every other, whatever its path."""
    files: Mapping[str, Seal] = field(default_factory=dict)
    """Seals of the encoder's files, by path below the store."""

    def to_bytes(self) -> bytes:
        """Sealed JSON."""
        body = asdict(self)
        return json.dumps({**body, "xxh3": _seal(body)}).encode()


def _seal(body: object) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(body, sort_keys=True).encode())


def read_format(place: Place) -> Format:
    """Read and check format.json.

    Raises
    ------
    StoreMissingError
        If there is none.
    FormatError
        If it has another format version, or fields that this release does not know.
    CorruptError
        If it cannot be read, or its seal does not hold.
    """
    try:
        content = place.read(FORMAT)
    except FileNotFoundError:
        raise StoreMissingError(
            f"{place} {'is no store' if os.path.lexists(place.root) else 'does not exist'}",
            f"a folder with a {FORMAT}",
            "Make a store with: ssah-index build INPUT STORE --encoder ENCODER",
        ) from None
    refuse_links_in(place.root)
    held = decode(content, f"{place}/{FORMAT}", remedy="Restore the file from a copy.")
    unknown = held.unknown({field.name for field in fields(Format)} | {"xxh3"})
    version = held.integer("version")
    if version != FORMAT_VERSION or unknown:
        raise FormatError(
            f"{place} has format version {version}"
            + f" with {', '.join(map(repr, sorted(unknown)))}" * bool(unknown),
            f"version {FORMAT_VERSION}, which this release reads",
            "Upgrade ssah-index, or build the store again.",
        )
    body = {name: value for name, value in held.body.items() if name != "xxh3"}
    if held.text("xxh3") != _seal(body):
        raise CorruptError(
            f"{held.where} cannot be read: its seal does not hold", "an unaltered file", held.remedy
        )
    return _checked(held)


def _checked(held: Fields) -> Format:
    """A format whose every field is what it must be."""
    try:
        bits = check_bits(held.integer("bits"))
    except CodeError as error:
        raise held.wrong("bits", error.expected) from error
    files = held.seals("files")
    if not all(path.startswith(f"{ENCODER}/") for path in files):
        raise held.wrong("files", f"files below {ENCODER}/ alone")
    return Format(
        bits=bits,
        bitorder=held.choice("bitorder", ("little",)),
        encoder=None if held.body.get("encoder") is None else held.text("encoder"),
        # The first stores of this format have neither.
        ids=cast(IdKind, held.choice("ids", ID_KINDS)) if "ids" in held.body else "string",
        uid=held.text("uid") if "uid" in held.body else "",
        files=files,
    )
