"""format.json: what never changes in a store's life, sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

import xxhash

from ssah_index.codes import check_bits
from ssah_index.errors import CorruptError, FormatError, StoreMissingError
from ssah_index.store.files import Seal
from ssah_index.store.place import FORMAT, Place

FORMAT_VERSION = 1
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
    except (FileNotFoundError, NotADirectoryError):
        raise StoreMissingError(
            f"{place} {'is no store' if place.root.exists() else 'does not exist'}",
            f"a folder with a {FORMAT}",
            "Make a store with: ssah-index build INPUT STORE --encoder ENCODER",
        ) from None
    try:
        body = json.loads(content)
        version = body["version"]
        unknown = body.keys() - {field.name for field in fields(Format)} - {"xxh3"}
        if version != FORMAT_VERSION or unknown:
            raise FormatError(
                f"{place} has format version {version}"
                + f" with {', '.join(sorted(unknown))}" * bool(unknown),
                f"version {FORMAT_VERSION}, which this release reads",
                "Upgrade ssah-index, or build the store again.",
            )
        seal = body.pop("xxh3")
        if seal != _seal(body):
            raise ValueError("its seal does not hold")
        found = Format(**{**body, "files": {n: Seal(**s) for n, s in body["files"].items()}})
        check_bits(found.bits)
        if found.bitorder != "little" or found.ids not in ID_KINDS:
            raise ValueError(f"bitorder {found.bitorder!r}, ids {found.ids!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"{place}/{FORMAT} cannot be read ({error})",
            "version, bits, bitorder little, encoder, files and their seal",
            "Restore the file from a copy.",
        ) from error
    return found
