"""format.json: what never changes in a store's life, sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import xxhash

from ssah_index.codes import check_bits
from ssah_index.errors import CorruptError, FormatError, StoreMissingError
from ssah_index.store.files import Seal

FORMAT = "format.json"
FORMAT_VERSION = 1


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
    files: Mapping[str, Seal] = field(default_factory=dict)
    """Seals of the encoder's files, by path below the store."""

    def to_bytes(self) -> bytes:
        """Sealed JSON."""
        body = asdict(self)
        return json.dumps({**body, "xxh3": _seal(body)}).encode()


def _seal(body: object) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(body, sort_keys=True).encode())


def read_format(store: Path) -> Format:
    """Read and check format.json.

    Raises
    ------
    StoreMissingError
        If there is none.
    FormatError
        If it has another format version.
    CorruptError
        If it cannot be read, or its seal does not hold.
    """
    path = store / FORMAT
    if not path.is_file():
        fault = "is no store" if store.exists() else "does not exist"
        raise StoreMissingError(
            f"{store} {fault}",
            "a folder with a format.json",
            "Make a store with: ssah-index build INPUT STORE --encoder ENCODER",
        )
    try:
        body = json.loads(path.read_bytes())
        version = body["version"]
        if version != FORMAT_VERSION:
            raise FormatError(
                f"{store} has format version {version}",
                f"version {FORMAT_VERSION}, which this release reads",
                "Upgrade ssah-index, or build the store again.",
            )
        seal = body.pop("xxh3")
        if seal != _seal(body):
            raise ValueError("its seal does not hold")
        found = Format(**{**body, "files": {n: Seal(**s) for n, s in body["files"].items()}})
        check_bits(found.bits)
        if found.bitorder != "little":
            raise ValueError(f"bitorder {found.bitorder!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        raise CorruptError(
            f"{path} cannot be read ({error})",
            "version, bits, bitorder little, encoder, files and their seal",
            "Restore the file from a copy.",
        ) from error
    return found
