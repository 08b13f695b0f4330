"""Build and append: items in, committed segments out, resumable.

The source is cut into shares of equal length. Each share becomes one segment a modality,
staged and committed before the next is begun, under a logical name made of the source's
digest, the encoder and the share; a run that starts again skips the names it finds.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from ssah_index.errors import (
    EncoderError,
    SourceError,
    SpecError,
    StoreExistsError,
    StoreMissingError,
)
from ssah_index.store import Policy, SegmentEntry, Store, items_table, refuse, stage_segment
from ssah_index.types import (
    MODALITIES,
    Codes,
    Encoder,
    Failure,
    Item,
    Modality,
    Progress,
    Reader,
    no_progress,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSpec:
    """How a build cuts its work."""

    share_rows: int = 1 << 16
    """Rows of the source a commit covers: what a crash can cost."""
    batch_rows: int = 256
    """Items the encoder gets at once."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}"
            for name in ("share_rows", "batch_rows")
            if (value := getattr(self, name)) < 1
        ]
        if faults:
            raise SpecError("; ".join(faults), "1 or more", "Correct the build's options.")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What a build or an append did."""

    written: int
    """Rows written by this run, both modalities."""
    skipped: int
    """Rows that were there already, both modalities."""
    replaced: int
    """Rows that new ones of their ids took the place of."""
    failed: int
    """Rows in the ledger of what the source brought, by this run and earlier ones."""
    elapsed_s: float
    """Seconds of this run."""


def build(
    reader: Reader,
    path: str | os.PathLike[str],
    encoder: Encoder,
    *,
    spec: BuildSpec | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Build a store, or go on with one that was interrupted.

    Parameters
    ----------
    reader : Reader
        The source.
    path : path or URL
        The store: absent, or begun from the same source with the same encoder.
    encoder : Encoder
        Saved into the store.
    spec : BuildSpec, optional
    progress : Progress, optional
        Told after every batch.

    Returns
    -------
    BuildReport

    Raises
    ------
    StoreExistsError
        If the store has rows from another source.
    EncoderError
        If the store was begun with another encoder.
    SourceError
        If not one row of the source could be encoded.
    WriteFailedError
        If the disk is full or cannot be written; what was committed stays.
    """
    store = _open_or_create(path, encoder)
    run = _Run(store, reader, encoder, spec or BuildSpec(), "error", progress)
    if any(not name.startswith(run.plan) for name in run.present):
        raise StoreExistsError(
            f"{path} holds rows of another input, or of other options",
            "a store begun from this very input, or none",
            "Add to it with ssah-index append, or build into another path.",
        )
    return run.report()


def append(
    reader: Reader,
    store: Store,
    encoder: Encoder,
    *,
    on_duplicate: Policy = "error",
    spec: BuildSpec | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Add the items of a source to a store, or go on with an append that was interrupted.

    Parameters
    ----------
    reader : Reader
        The source; the same source is not appended twice.
    store : Store
        With ids that are strings.
    encoder : Encoder
        The one that made the store's codes.
    on_duplicate : {"error", "skip", "replace"}
        What becomes of an item whose id is there: stop, before its share is encoded and with
        the shares before it committed; leave it out, without encoding it; or encode it and
        let it take the place of the row that is there.
    spec, progress
        As `build` takes them.

    Raises
    ------
    DuplicateIdError
        If an id is there already, and that is an error.
    EncoderError
        If the encoder is another one.
    SpecError
        If the store's ids are int64, which items do not have.
    SourceError, WriteFailedError
        As `build` does.
    """
    _check_encoder(store, encoder)
    if store.format.ids != "string":
        raise SpecError(
            f"{store.place} has ids of type {store.format.ids}",
            "string ids, as items have",
            "Append codes and rows with Store.append, or ssah-index import.",
        )
    return _Run(store, reader, encoder, spec or BuildSpec(), on_duplicate, progress).report()


class _Run:
    """One run over a source, share by share."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        encoder: Encoder,
        spec: BuildSpec,
        policy: Policy,
        progress: Progress,
    ) -> None:
        self.plan = xxhash.xxh3_64_hexdigest(
            f"{reader.digest()} {encoder.fingerprint} {spec.share_rows}".encode()
        )
        self.present = {name for entry in store.newest().segments for name in entry.names}
        self._store = store
        self._reader = reader
        self._encoder = encoder
        self._spec = spec
        self._policy = policy
        self._progress = progress
        self._columns = reader.columns()
        self._skipped = self._replaced = 0

    def report(self) -> BuildReport:
        """Commit what is missing, and count."""
        begun = time.monotonic()
        already = sum(entry.rows for entry in self._own())
        written = 0
        for number in range(math.ceil(len(self._reader) / self._spec.share_rows)):
            name = f"{self.plan}-{number:06d}"
            shares = [
                _Share(
                    self._store, self._reader, self._columns, self._encoder, modality, number,
                    self._spec, self._policy, self._progress,
                )
                for modality in MODALITIES
                if f"{name}-{modality}" not in self.present
            ]  # fmt: skip
            written += self._commit(name, shares)
            self._skipped += sum(share.skipped for share in shares)
        if not any(entry.rows for entry in self._own()) and not self._skipped:
            raise SourceError(
                f"none of the {len(self._reader)} rows could be encoded",
                "at least one image or text",
                f"Read the reasons with: ssah-index info {self._store.place} --failures",
            )
        return BuildReport(
            written=written,
            skipped=already + self._skipped,
            replaced=self._replaced,
            failed=sum(entry.failed for entry in self._own()),
            elapsed_s=time.monotonic() - begun,
        )

    def _own(self) -> list[SegmentEntry]:
        """Segments that have shares of this source."""
        segments = self._store.newest().segments
        return [s for s in segments if any(name.startswith(self.plan) for name in s.names)]

    def _commit(self, name: str, shares: Sequence[_Share]) -> int:
        """Stage and commit one share in its modalities; returns the rows that are new."""
        entries: list[SegmentEntry] = []
        try:
            for share in shares:
                entries += share.stage(name)
            committed = self._store.commit(entries, self._policy)
        except BaseException:
            for entry in entries:
                self._store.discard(entry)
            raise
        published = set(committed.manifest.segments)
        for entry in entries:
            if entry not in published:  # another build of the same input was first
                self._store.discard(entry)
        self._skipped += committed.skipped
        self._replaced += committed.replaced
        return sum(entry.rows for entry in entries if entry in published) - committed.skipped


class _Share:
    """One share of the source in one modality, on its way to a segment."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        columns: pa.Schema,
        encoder: Encoder,
        modality: Modality,
        number: int,
        spec: BuildSpec,
        policy: Policy,
        progress: Progress,
    ) -> None:
        self.items: list[Item] = []
        self.failures: list[Failure] = []
        self.skipped = 0
        self._store = store
        self._reader = reader
        self._columns = columns
        self._encoder = encoder
        self._modality = modality
        self._start = number * spec.share_rows
        self._stop = min(self._start + spec.share_rows, len(reader))
        self._batch_rows = spec.batch_rows
        self._policy = policy
        self._progress = progress

    def stage(self, name: str) -> list[SegmentEntry]:
        """Encode and write the segment; none if the share has nothing of the modality."""
        started = time.monotonic()
        codes = self._encode(self._there())
        if not self.items and not self.failures:
            return []
        entry = stage_segment(
            self._store.place,
            f"{name}-{self._modality}",
            self._modality,
            codes,
            items_table(self.items, self._modality, self._columns),
            self.failures,
            fingerprint=self._encoder.fingerprint,
            elapsed_s=time.monotonic() - started,
        )
        return [entry]

    def _there(self) -> set[str]:
        """Ids of the share that the store has: known before anything is encoded.

        Raises
        ------
        DuplicateIdError
            If there are any, and that is an error.
        """
        snapshot = self._store.snapshot()
        if self._policy == "replace" or not snapshot.count(self._modality):
            return set()
        rows = self._reader.read(self._start, self._stop)
        ids = [row.id for row in rows if isinstance(row, Item) and self._has(row)]
        there = snapshot.has(ids, self._modality)
        found = [key for key, known in zip(ids, there, strict=True) if known]
        if found and self._policy == "error":
            raise refuse(found, "in the store already")
        return set(found)

    def _has(self, item: Item) -> bool:
        return getattr(item, self._modality) is not None

    def _encode(self, there: Collection[str]) -> Codes:
        """Codes of the items that could be encoded; fills `items` and `failures`."""
        parts: list[Codes] = [np.empty((0, self._encoder.bits // 8), np.uint8)]
        label = f"{self._modality}s"
        for done, items in self._batches():
            batch = [item for item in items if item.id not in there]
            self.skipped += len(items) - len(batch)
            if batch:
                parts.append(self._encode_batch(batch))
            self._progress(done, len(self._reader), label)
        return np.concatenate(parts)

    def _encode_batch(self, batch: list[Item]) -> Codes:
        values = [item.image if self._modality == "image" else item.text for item in batch]
        codes, failed = self._encoder.encode(self._modality, values)
        reasons = dict(failed)
        for position, item in enumerate(batch):
            if position in reasons:
                self._fail(item.id, item.source, reasons[position])
            else:
                self.items.append(item)
        return codes

    def _batches(self) -> Iterator[tuple[int, list[Item]]]:
        """Batches of items that have the modality, and how many rows were read so far."""
        for start in range(self._start, self._stop, self._batch_rows):
            stop = min(start + self._batch_rows, self._stop)
            batch = []
            for row in self._reader.read(start, stop):
                if isinstance(row, Failure):
                    # A row that names no modality is kept once, beside the images.
                    if (row.modality or "image") == self._modality:
                        self.failures.append(row)
                elif self._has(row):
                    batch.append(row)
            yield stop, batch

    def _fail(self, id: str, source: str, reason: str) -> None:
        self.failures.append(Failure(id=id, source=source, modality=self._modality, reason=reason))


def _open_or_create(path: str | os.PathLike[str], encoder: Encoder) -> Store:
    try:
        store = Store.open(path)
    except StoreMissingError:
        return Store.create(
            path,
            bits=encoder.bits,
            fingerprint=encoder.fingerprint,
            save_encoder=encoder.save,
        )
    _check_encoder(store, encoder)
    return store


def _check_encoder(store: Store, encoder: Encoder) -> None:
    if store.format.encoder != encoder.fingerprint:
        raise EncoderError(
            f"{store.place} was begun with encoder {store.format.encoder}, this one is "
            f"{encoder.fingerprint}",
            "the same encoder",
            "Use that encoder, or build into another path.",
        )
