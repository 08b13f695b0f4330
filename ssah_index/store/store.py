"""The store: a folder of immutable files, its format, its encoder and its commits."""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from ssah_index.codes import check_bits
from ssah_index.errors import (
    ConflictError,
    EncoderError,
    QueryError,
    StoreExistsError,
)
from ssah_index.plugins import load_encoder
from ssah_index.store.deletions import write_deletions
from ssah_index.store.files import (
    Seal,
    fsync_folder,
    make_folder,
    seal_file,
    write_file,
    writing,
)
from ssah_index.store.format import FORMAT, Format, read_format
from ssah_index.store.manifest import Manifest, SegmentEntry, generations, publish, read_manifest
from ssah_index.store.snapshot import Snapshot
from ssah_index.types import Encoder, Modality

COMMIT_ATTEMPTS = 200


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
        made = Format(bits=check_bits(bits), encoder=fingerprint)
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
                    made = replace(made, files=_seal_tree(temporary, "encoder"))
                write_file(temporary / FORMAT, [made.to_bytes()])
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
        return cls(target, read_format(target))

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

    def snapshot(self, generation: int | str | None = None) -> Snapshot:
        """Pin the newest generation, or an older one by number or tag.

        Raises
        ------
        CorruptError
            If its manifest or a file it names is missing or damaged. An older generation
            is never answered from in its place: that would lose rows without a word.
        QueryError
            If there is no such generation or tag.
        """
        newest = self.newest()
        if generation is None:
            return Snapshot(self.path, newest, self.format.bits)
        if isinstance(generation, str):
            if generation not in newest.tags:
                raise QueryError(
                    f"{self.path} has no tag {generation!r}",
                    f"one of {', '.join(sorted(newest.tags)) or 'none: nothing is tagged'}",
                    "List generations with: ssah-index history STORE",
                )
            generation = newest.tags[generation]
        return Snapshot(self.path, self._generation(generation), self.format.bits)

    def _generation(self, number: int) -> Manifest:
        known = generations(self.path)
        if number != 0 and number not in known:
            raise QueryError(
                f"{self.path} has no generation {number!r}",
                f"0, or one of {len(known)} from {min(known, default=0)} to "
                f"{max(known, default=0)}",
                "List them with: ssah-index history STORE",
            )
        return read_manifest(self.path, number)

    def tag(self, name: str, generation: int | None = None) -> Manifest:
        """Keep a generation, the newest when left out, under a name; `collect` leaves it.

        Raises
        ------
        QueryError
            If there is no such generation.
        """

        def tag(current: Manifest) -> Manifest:
            number = current.generation if generation is None else generation
            self._generation(number)
            return current.following("tag", tags={**current.tags, name: number})

        return self.change(tag)

    def untag(self, name: str) -> Manifest:
        """Forget a tag; one that is not there changes nothing."""

        def untag(current: Manifest) -> Manifest:
            left = {tag: number for tag, number in current.tags.items() if tag != name}
            return current if left == current.tags else current.following("tag", tags=left)

        return self.change(untag)

    def history(self) -> Iterator[Manifest]:
        """Published generations, newest first."""
        return (read_manifest(self.path, number) for number in generations(self.path))

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

        def append(current: Manifest) -> Manifest:
            present = {name for entry in current.segments for name in entry.names}
            new = tuple(entry for entry in entries if entry.name not in present)
            if not new:
                return current
            return current.following("append", segments=current.segments + new)

        return self.change(append)

    def change(self, make: Callable[[Manifest], Manifest]) -> Manifest:
        """Publish what ``make`` makes of the newest generation, in one step, durably.

        Parameters
        ----------
        make : callable
            Called again with what is newest whenever another writer was first. It returns
            the manifest that follows, or the one it was given if there is nothing to do.

        Raises
        ------
        ConflictError, WriteFailedError
            As `commit` does.
        """
        for attempt in range(COMMIT_ATTEMPTS):
            current = self.newest()
            following = make(current)
            if following is current:
                return current
            with writing(self.path):
                if publish(self.path, following):
                    return following
            time.sleep(random.uniform(0, 0.001 * (attempt + 1)))
        raise ConflictError(
            f"other writers took {COMMIT_ATTEMPTS} generations of {self.path}",
            "a free one",
            "Run the same command again when fewer writers are busy.",
        )

    def delete(self, ids: Iterable[Any], modality: Modality | None = None) -> int:
        """Delete rows by id, in one step, durably; snapshots pinned before still have them.

        Parameters
        ----------
        ids : iterable
            The users' keys. Those that are not there, or deleted already, change nothing.
        modality : {"image", "text"}, optional
            Of the rows to delete; both when left out.

        Returns
        -------
        int
            Rows that were deleted by this call.

        Raises
        ------
        ConflictError, WriteFailedError
            As `commit` does.
        """
        wanted = list(ids)
        deleted = 0

        def delete(current: Manifest) -> Manifest:
            nonlocal deleted
            snapshot = Snapshot(self.path, current, self.format.bits)
            changed, deleted = {}, 0
            for segment in snapshot.select(modality):
                before = segment.deleted
                after = before | BitMap(segment.rows.find(wanted))
                if len(after) > len(before):
                    deleted += len(after) - len(before)
                    changed[segment.entry.folder] = after
            if not changed:
                return current
            written = {f: write_deletions(self.path, f, rows) for f, rows in changed.items()}
            return current.following("delete", deletions={**current.deletions, **written})

        self.change(delete)
        return deleted


def _rename_folder(folder: Path, target: Path) -> None:
    """Move a folder to where nothing or an empty folder is."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError from error  # another process was first
        raise


def _seal_tree(root: Path, name: str) -> dict[str, Seal]:
    """Make files that someone else wrote durable; their seals, by path below ``root``."""
    folder = root / name
    seals = {}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            fsync_folder(path)
        else:
            seals[path.relative_to(root).as_posix()] = seal_file(path)
    fsync_folder(folder)
    return seals
