"""The store: a folder of immutable files, its format, its encoder and its commits."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ssah_index.codes import check_bits
from ssah_index.errors import (
    ConflictError,
    CorruptError,
    EncoderError,
    FormatError,
    StoreExistsError,
    StoreMissingError,
)
from ssah_index.plugins import load_encoder
from ssah_index.store.files import fsync_folder, make_folder, seal_file, write_file, writing
from ssah_index.store.manifest import Manifest, SegmentEntry, generations, publish, read_manifest
from ssah_index.store.snapshot import Snapshot
from ssah_index.types import Encoder

FORMAT_VERSION = 1
COMMIT_ATTEMPTS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What never changes in a store's life; format.json."""

    version: int
    """Format version; this release reads and writes 1."""
    bits: int
    """Code width."""
    bitorder: str
    """Always "little"."""
    encoder: str | None
    """Fingerprint of the encoder, or None for codes made elsewhere."""


class Store:
    """A handle on a store's folder; cheap, and safe to share between threads.

    Open one with `Store.open`, make one with `Store.create`.
    """

    def __init__(self, path: Path, format: Format) -> None:
        self.path = path
        self.format = format

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        bits: int,
        fingerprint: str | None = None,
        save_encoder: Callable[[Path], None] | None = None,
    ) -> Store:
        """Make an empty store in one step: it is there whole, or not at all.

        Parameters
        ----------
        path : path
            Where nothing is yet, or an empty folder.
        bits : int
            Code width, 8 to 4096 in steps of 8.
        fingerprint : str, optional
            Of the encoder whose codes the store will hold.
        save_encoder : callable, optional
            Called with a folder to write the encoder into.

        Raises
        ------
        StoreExistsError
            If there is something at ``path``.
        WriteFailedError
            If the disk is full or cannot be written.
        """
        target = Path(path)
        made = Format(
            version=FORMAT_VERSION, bits=check_bits(bits), bitorder="little", encoder=fingerprint
        )
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            with writing(target):
                if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                    raise FileExistsError
                for name in ("manifests", "segments"):
                    make_folder(temporary / name)
                if save_encoder is not None:
                    (temporary / "encoder").mkdir()
                    save_encoder(temporary / "encoder")
                    _fsync_tree(temporary / "encoder")
                write_file(temporary / "format.json", [json.dumps(asdict(made)).encode()])
                fsync_folder(temporary)
                _rename_folder(temporary, target)
                fsync_folder(target.absolute().parent)
        except FileExistsError:
            raise StoreExistsError(
                f"there is something at {target} already",
                "a path that is free",
                "Choose another path, or remove what is there.",
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(target, made)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open an existing store.

        Raises
        ------
        StoreMissingError
            If there is none.
        FormatError
            If it has another format version.
        CorruptError
            If format.json cannot be read.
        """
        target = Path(path)
        if not (target / "format.json").is_file():
            fault = "is no store" if target.exists() else "does not exist"
            raise StoreMissingError(
                f"{target} {fault}",
                "a folder with a format.json",
                "Make a store with: ssah-index build INPUT STORE --encoder ENCODER",
            )
        try:
            fields = json.loads((target / "format.json").read_bytes())
            version = fields["version"]
            if version != FORMAT_VERSION:
                raise FormatError(
                    f"{target} has format version {version}",
                    f"version {FORMAT_VERSION}, which this release reads",
                    "Upgrade ssah-index, or build the store again.",
                )
            found = Format(**fields)
            check_bits(found.bits)
            if found.bitorder != "little":
                raise ValueError(f"bitorder {found.bitorder!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, FormatError):
                raise
            raise CorruptError(
                f"{target / 'format.json'} cannot be read ({error})",
                "version, bits, bitorder little and encoder",
                "Restore the file from a copy.",
            ) from error
        return cls(target, found)

    @property
    def encoder_folder(self) -> Path | None:
        """Where the encoder lies, if the store carries one."""
        folder = self.path / "encoder"
        return folder if folder.is_dir() else None

    def load_encoder(self) -> Encoder:
        """Open the encoder inside the store.

        Raises
        ------
        EncoderError
            If there is none, or it is not the one that made the store's codes.
        """
        folder = self.encoder_folder
        if folder is None:
            raise EncoderError(
                f"{self.path} carries no encoder",
                "one, to encode texts and images",
                "Search it by codes, or build it again with an encoder.",
            )
        encoder = load_encoder(folder)
        if encoder.fingerprint != self.format.encoder:
            raise EncoderError(
                f"the encoder in {folder} has fingerprint {encoder.fingerprint}",
                f"{self.format.encoder}, which made the codes",
                "Restore the encoder folder from a copy.",
            )
        return encoder

    def newest(self) -> Manifest:
        """The newest generation's manifest."""
        return read_manifest(self.path, next(iter(generations(self.path)), 0))

    def snapshot(self) -> Snapshot:
        """Pin the newest generation.

        Raises
        ------
        CorruptError
            If its manifest or a file it names is missing or damaged. An older generation
            is never answered from in its place: that would lose rows without a word.
        """
        return Snapshot(self.path, self.newest(), self.format.bits)

    def discard(self, entry: SegmentEntry) -> None:
        """Remove a staged segment that no manifest names; a published one stays."""
        if entry not in self.newest().segments:
            shutil.rmtree(self.path / "segments" / entry.folder, ignore_errors=True)

    def commit(self, entries: Sequence[SegmentEntry]) -> Manifest:
        """Append staged segments in one step, durably.

        Other writers may commit at the same time: this one rebases on what they published.
        Segments whose logical name is already there are left out, so a repeated commit
        changes nothing.

        Returns
        -------
        Manifest
            A generation that has them all.

        Raises
        ------
        ConflictError
            If other writers won every attempt.
        WriteFailedError
            If the disk is full or cannot be written.
        """
        for attempt in range(COMMIT_ATTEMPTS):
            current = self.newest()
            present = {entry.name for entry in current.segments}
            new = tuple(entry for entry in entries if entry.name not in present)
            if not new:
                return current
            following = current.with_segments(new)
            with writing(self.path):
                if publish(self.path, following):
                    return following
            time.sleep(random.uniform(0, 0.001 * (attempt + 1)))
        raise ConflictError(
            f"other writers took {COMMIT_ATTEMPTS} generations of {self.path}",
            "a free one",
            "Run the same command again when fewer writers are busy.",
        )


def _rename_folder(folder: Path, target: Path) -> None:
    """Move a folder to where nothing or an empty folder is."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError from error  # another process was first
        raise


def _fsync_tree(folder: Path) -> None:
    """Make files that someone else wrote durable."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            fsync_folder(path)
        else:
            seal_file(path)
    fsync_folder(folder)
