"""The store: a folder of immutable files, its format, its encoder and its commits."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssah_index.codes import check_bits
from ssah_index.errors import ConflictError, SpecError, StoreReplacedError
from ssah_index.store.append import AppendReport, Committed, append, commit
from ssah_index.store.delete import delete, delete_rows
from ssah_index.store.duplicates import Policy
from ssah_index.store.encoder import bring_encoder, open_encoder
from ssah_index.store.format import ID_KINDS, Format, IdKind, read_format
from ssah_index.store.found import found_store
from ssah_index.store.indexes import INDEXES, IndexFiles
from ssah_index.store.manifest import (
    IndexEntry,
    Manifest,
    SegmentEntry,
    generations,
    publish,
    read_manifest,
)
from ssah_index.store.place import Place
from ssah_index.store.places import open_place
from ssah_index.store.segment import SEGMENTS, SegmentFiles
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.tags import manifest_of, tag, untag
from ssah_index.types import BitOrder, Encoder, Modality

COMMIT_ATTEMPTS = 200


class Store:
    """A handle on a store; cheap, and safe to share between threads.

    Open one with `Store.open`, make one with `Store.create`.
    """

    def __init__(self, place: Place, format: Format) -> None:
        self.place = place
        self.format = format
        self._files: dict[str, SegmentFiles] = {}
        self._indexes: dict[str, IndexFiles] = {}

    def __reduce__(self) -> tuple[Callable[[str, str], Store], tuple[str, str]]:
        # Maps and locks are of this process: another opens the store itself.
        return _reopen, (str(self.place), self.format.uid)

    @property
    def path(self) -> Path:
        """Where its files are on this machine; for an object store, where they are cached."""
        return self.place.root

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        bits: int,
        ids: IdKind = "string",
        fingerprint: str | None = None,
        save_encoder: Callable[[Path], None] | None = None,
    ) -> Store:
        """Make an empty store in one step: it is there whole, or not at all.

        Parameters
        ----------
        path : path or URL
            Where nothing is yet, or an empty folder; or such as ``s3://bucket/photos.ssah``.
        bits : int
            Code width, 8 to 4096 in steps of 8.
        ids : {"string", "int64"}
            What the users' keys are.
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
        if ids not in ID_KINDS:
            raise SpecError(f"ids is {ids!r}", " or ".join(map(repr, ID_KINDS)), "Correct it.")
        made = Format(bits=check_bits(bits), encoder=fingerprint, ids=ids, uid=uuid.uuid4().hex)
        return cls(*found_store(open_place(path), made, save_encoder))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open an existing store, by its path or URL.

        Raises
        ------
        StoreMissingError
            If there is none.
        FormatError
            If it has another format version.
        CorruptError
            If format.json cannot be read.
        """
        place = open_place(path)
        place.adopt()  # before it is read: what comes in between is noticed
        return cls(place, read_format(place))

    @property
    def encoder_folder(self) -> Path | None:
        """Where the encoder lies, if the store carries one."""
        return bring_encoder(self.place, self.format)

    def load_encoder(self) -> Encoder:
        """Open the encoder inside the store.

        Raises
        ------
        EncoderError
            If there is none, or it is not the one that made the store's codes.
        """
        return open_encoder(self.place, self.format)

    def newest(self) -> Manifest:
        """The newest generation's manifest.

        Raises
        ------
        StoreMissingError, StoreReplacedError
            If the store was removed since it was opened, and perhaps another made in its place.
        CorruptError, FormatError
            If it cannot be read, or holds what this release would answer wrongly from.
        """
        self.place.confirm()
        return read_manifest(self.place, next(generations(self.place), 0))

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
            return self.pinned(newest)
        return self.pinned(manifest_of(self.place, generation, newest))

    def pinned(self, manifest: Manifest) -> Snapshot:
        """The snapshot of a manifest; files of segments seen before stay open and mapped."""
        snapshot = Snapshot(
            self.place,
            manifest,
            self.format.ids,
            self.format.bits // 8,
            self.open_files,
            self._open_index,
            self.snapshot,
        )
        self._indexes = {files.entry.folder: files for files in snapshot.indexes}
        self._files = {segment.entry.folder: segment.files for segment in snapshot.segments}
        return snapshot

    def open_files(self, entry: SegmentEntry, *, whole: bool = True) -> SegmentFiles:
        """The files of a segment, seen before or opened anew; see `SegmentFiles`."""
        files = self._files.get(entry.folder) if whole else None
        nbytes, ids = self.format.bits // 8, self.format.ids
        return files or SegmentFiles(self.place, entry, nbytes, ids, whole=whole)

    def _open_index(self, entry: IndexEntry) -> IndexFiles:
        return self._indexes.get(entry.folder) or IndexFiles(self.place, entry)

    def tag(self, name: str, generation: int | None = None) -> Manifest:
        """Keep a generation, the newest when left out, under a name; `collect` leaves it.

        Raises
        ------
        QueryError
            If there is no such generation.
        SpecError
            If the name is no text, is empty, or could be taken for a generation's number.
        """
        return tag(self, name, generation)

    def untag(self, name: str) -> Manifest:
        """Forget a tag; one that is not there changes nothing.

        Raises
        ------
        SpecError
            If the name is no text.
        """
        return untag(self, name)

    def history(self) -> Iterator[Manifest]:
        """Published generations, newest first."""
        self.place.confirm()
        return (read_manifest(self.place, number) for number in generations(self.place))

    def append(
        self,
        codes: Any,
        rows: Any,
        modality: Modality = "image",
        *,
        on_duplicate: Policy = "error",
        name: str | None = None,
        bitorder: BitOrder = "little",
    ) -> AppendReport:
        """Append codes and their rows, in one commit, durably.

        Parameters
        ----------
        codes : uint8 (n, nbytes), bool (n, bits), Arrow FixedSizeBinary, or DLPack uint8
        rows : Arrow table, data frame, or mapping of column name to values
            n rows. Column ``id`` has the keys, strings or int64 as the store has them: none is
            converted. ``source``, ``text`` and ``labels`` are optional; any others, of any
            Arrow type, are the users' own. A column that is new to the store is null in older
            rows; one that is there becomes the type that holds the old values and the new
            ones exactly, if there is one.
        modality : {"image", "text"}
            What the codes were made from.
        on_duplicate : {"error", "skip", "replace"}
            What becomes of a row whose id another row of the modality has: refuse the whole
            batch, keep the row that is there, or put the new one in its place (at the end,
            as every new row). Of rows of the batch itself, skip keeps the first, replace the
            last.
        name : str, optional
            Names the batch: one whose name is there is not appended again, so that a job
            that was cut off may simply run once more. Rows of it that were deleted since stay
            deleted; the report counts them. To bring them back, append them under another
            name, or under none.
        bitorder : {"little", "big"}
            Of the codes: "big" for what np.packbits packs unless told otherwise. The store
            has them in little order; bools have no order.

        Returns
        -------
        AppendReport

        Raises
        ------
        CodeError
            If the codes are of another width, or no codes.
        RowsError
            If the rows do not fit the codes or the store's columns, or an id is of another
            type than the store's.
        SpecError
            If there is no such modality or policy, or the name cannot be one.
        DuplicateIdError
            If ids are not new, and on_duplicate is "error".
        ConflictError, StoreReplacedError, WriteFailedError
            As `commit` does. The store is as it was after any of these errors.

        Examples
        --------
        >>> import numpy as np, ssah_index
        >>> store = ssah_index.Store.create("photos.ssah", bits=64)  # doctest: +SKIP
        >>> store.append(codes, {"id": names, "year": years})  # doctest: +SKIP
        """
        return append(
            self, codes, rows, modality, on_duplicate=on_duplicate, name=name, bitorder=bitorder
        )

    def discard(self, entry: SegmentEntry | IndexEntry) -> None:
        """Remove a staged segment or index that no manifest names; a published one stays."""
        newest = self.newest()
        if entry not in (*newest.segments, *newest.indexes):
            above = SEGMENTS if isinstance(entry, SegmentEntry) else INDEXES
            self.place.remove_folder(f"{above}/{entry.folder}")

    def commit(
        self,
        entries: Sequence[SegmentEntry],
        on_duplicate: Policy = "error",
        *,
        first: bool = False,
    ) -> Committed:
        """Append staged segments in one step, durably.

        Other writers may commit at the same time: this one rebases on what they published.
        Segments whose logical name is already there are left out, so a repeated commit
        changes nothing.

        Parameters
        ----------
        entries : sequence of SegmentEntry
            As `stage_segment` made them.
        on_duplicate : {"error", "skip", "replace"}
            As `append` takes it.
        first : bool
            Commit into a store that is still empty, or not at all.

        Raises
        ------
        DuplicateIdError, RowsError
            As `append` does.
        StoreExistsError
            If another commit was first.
        ConflictError
            If other writers won every attempt.
        StoreReplacedError
            If another store lies where this one lay when it was opened.
        WriteFailedError
            If the disk is full or cannot be written.
        """
        return commit(self, entries, on_duplicate, first)

    def change(self, make: Callable[[Manifest], Manifest]) -> Manifest:
        """Publish what ``make`` makes of the newest generation, in one step, durably.

        Parameters
        ----------
        make : callable
            Called again with what is newest whenever another writer was first. It returns
            the manifest that follows, or the one it was given if there is nothing to do.

        Raises
        ------
        ConflictError, StoreReplacedError, WriteFailedError
            As `commit` does.
        """
        for attempt in range(COMMIT_ATTEMPTS):
            current = self.newest()
            following = make(current)
            if following is current or publish(self.place, following):
                return following
            time.sleep(random.uniform(0, 0.001 * (attempt + 1)))
        raise ConflictError(
            f"other writers took {COMMIT_ATTEMPTS} generations of {self.place}",
            "a free one",
            "Run the same command again when fewer writers are busy.",
        )

    def delete(self, ids: Any, modality: Modality | None = None) -> int:
        """Delete rows by id, in one step, durably; snapshots pinned before still have them.

        Parameters
        ----------
        ids : str or int, or a sequence of them
            The users' keys: a list or other iterable, an array, or a column of Arrow or of a
            data frame. A bare str or int is one id. Those that are not there, or deleted
            already, change nothing.
        modality : {"image", "text"}, optional
            Of the rows to delete; both when left out.

        Returns
        -------
        int
            Rows that were deleted by this call.

        Raises
        ------
        QueryError
            If an id is null or of another type than the store's: none is converted; or there
            is no such modality.
        ConflictError, StoreReplacedError, WriteFailedError
            As `commit` does.
        """
        return delete(self, ids, modality)

    def delete_rows(self, rows: Any, snapshot: Snapshot) -> int:
        """Delete rows by their positions in a snapshot; the rest as `delete`.

        Parameters
        ----------
        rows : sequence of m integers
            As a search of the snapshot gave them.
        snapshot : Snapshot
            Row numbers mean nothing without the generation they were taken from.

        Raises
        ------
        QueryError
            If a row is not the snapshot's, or rows are no whole numbers.
        ConflictError
            If rows were compacted since, and have other positions now; or as `commit` does.
        """
        return delete_rows(self, rows, snapshot)


def _reopen(path: str, uid: str) -> Store:
    """A store that was pickled; not one that has taken its place."""
    store = Store.open(path)
    if store.format.uid != uid:
        raise StoreReplacedError(
            f"{path} is store {store.format.uid}", f"{uid}, as pickled", "Open it, and pickle that."
        )
    return store
