"""The resumable build: items in, committed segments out.

The source is cut into shares of equal length. Each share becomes one segment a modality,
staged and committed before the next is begun, under a logical name made of the source's
digest, the encoder and the share; a build that starts again skips the names it finds.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from ssah_index.errors import EncoderError, SourceError, SpecError, StoreExistsError
from ssah_index.store import SegmentEntry, Store, items_table, stage_segment
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
    """What a build did."""

    written: int
    """Rows written by this run, both modalities."""
    skipped: int
    """Rows that were there already, both modalities."""
    failed: int
    """Rows in the store's ledger, from this run and earlier ones."""
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
    path : path
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
    spec = spec or BuildSpec()
    begun = time.monotonic()
    plan = xxhash.xxh3_64_hexdigest(
        f"{reader.digest()} {encoder.fingerprint} {spec.share_rows}".encode()
    )
    store = _open_or_create(Path(path), encoder)
    segments = store.newest().segments
    present = {name for entry in segments for name in entry.names}
    skipped = sum(entry.rows for entry in segments)
    if any(not name.startswith(plan) for name in present):
        raise StoreExistsError(
            f"{path} holds rows of another input, or of other options",
            "a store begun from this very input, or none",
            "Build into another path.",
        )
    written = 0
    for number in range(math.ceil(len(reader) / spec.share_rows)):
        work = [
            _Share(reader, encoder, modality, number, spec, progress)
            for modality in MODALITIES
            if f"{plan}-{number:06d}-{modality}" not in present
        ]
        written += _commit_shares(store, f"{plan}-{number:06d}", work)
    segments = store.newest().segments
    if not any(entry.rows for entry in segments):
        raise SourceError(
            f"none of the {len(reader)} rows could be encoded",
            "at least one image or text",
            f"Read the reasons with: ssah-index info {path} --failures",
        )
    return BuildReport(
        written=written,
        skipped=skipped,
        failed=sum(entry.failed for entry in segments),
        elapsed_s=time.monotonic() - begun,
    )


def _commit_shares(store: Store, name: str, shares: list[_Share]) -> int:
    """Stage and commit one share in its modalities; returns the rows that were published."""
    entries: list[SegmentEntry] = []
    try:
        for share in shares:
            entries += share.stage(store, name)
        published = set(store.commit(entries).manifest.segments)
    except BaseException:
        for entry in entries:
            store.discard(entry)
        raise
    for entry in entries:
        if entry not in published:  # another build of the same input was first
            store.discard(entry)
    return sum(entry.rows for entry in entries if entry in published)


class _Share:
    """One share of the source in one modality, on its way to a segment."""

    def __init__(
        self,
        reader: Reader,
        encoder: Encoder,
        modality: Modality,
        number: int,
        spec: BuildSpec,
        progress: Progress,
    ) -> None:
        self.items: list[Item] = []
        self.failures: list[Failure] = []
        self._reader = reader
        self._encoder = encoder
        self._modality = modality
        self._start = number * spec.share_rows
        self._stop = min(self._start + spec.share_rows, len(reader))
        self._batch_rows = spec.batch_rows
        self._progress = progress

    def stage(self, store: Store, name: str) -> list[SegmentEntry]:
        """Encode and write the segment; none if the share has nothing of the modality."""
        started = time.monotonic()
        codes = self._encode()
        if not self.items and not self.failures:
            return []
        entry = stage_segment(
            store.place,
            f"{name}-{self._modality}",
            self._modality,
            codes,
            items_table(self.items, self._modality),
            self.failures,
            fingerprint=self._encoder.fingerprint,
            elapsed_s=time.monotonic() - started,
        )
        return [entry]

    def _encode(self) -> Codes:
        """Codes of the items that could be encoded; fills `items` and `failures`."""
        parts: list[Codes] = [np.empty((0, self._encoder.bits // 8), np.uint8)]
        label = f"{self._modality}s"
        for done, batch in self._batches():
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
                elif getattr(row, self._modality) is not None:
                    batch.append(row)
            yield stop, batch

    def _fail(self, id: str, source: str, reason: str) -> None:
        self.failures.append(Failure(id=id, source=source, modality=self._modality, reason=reason))


def _open_or_create(path: Path, encoder: Encoder) -> Store:
    if not path.exists():
        return Store.create(
            path,
            bits=encoder.bits,
            fingerprint=encoder.fingerprint,
            save_encoder=encoder.save,
        )
    store = Store.open(path)
    if store.format.encoder != encoder.fingerprint:
        raise EncoderError(
            f"{path} was begun with encoder {store.format.encoder}, this one is "
            f"{encoder.fingerprint}",
            "the same encoder",
            "Use that encoder, or build into another path.",
        )
    return store
