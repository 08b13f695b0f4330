"""One run over a source: batches encoded, shares committed, failures kept.

What is encoded is committed whenever a share of rows or of time is reached, and when the run
is interrupted, so that a kill costs little.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.encoding import encode_items, reason_of
from ssah_index.errors import SourceError, SpecError, SsahError
from ssah_index.ingest.origins import origin_of
from ssah_index.ingest.plan import Plan, has, read_rows
from ssah_index.ingest.share import Failures, Part, Share
from ssah_index.ingest.target import check_writable
from ssah_index.store import Policy, SegmentEntry, Store, items_table, stage_segment
from ssah_index.types import MODALITIES, Encoder, Failure, Item, Modality, Progress, Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSpec:
    """How a build cuts its work."""

    share_rows: int = 1 << 16
    """Rows of the source after which what is encoded is committed."""
    share_s: float = 30.0
    """Seconds after which what is encoded is committed: what a kill can cost."""
    batch_rows: int = 256
    """Items the encoder gets at once."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}"
            for name in ("share_rows", "batch_rows")
            if (value := getattr(self, name)) < 1
        ]
        if not self.share_s >= 0:
            faults.append(f"share_s is {self.share_s}")
        if faults:
            raise SpecError(
                "; ".join(faults), "1 row or more, 0 s or more", "Correct the build's options."
            )


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
    """Rows of the source that fail now; the ledger has their reasons."""
    mended: int
    """Rows of the ledger that fail no more, or are no more in the source."""
    elapsed_s: float
    """Seconds of this run."""


@dataclass(frozen=True, slots=True)
class Work:
    """What stays the same through a run."""

    reader: Reader
    encoder: Encoder
    columns: pa.Schema
    """The users' columns."""
    spec: BuildSpec
    policy: Policy
    """What becomes of rows whose ids are there when they are committed."""
    progress: Progress
    begun_s: float
    """When the run began, by the monotonic clock."""


Todo: TypeAlias = Mapping[Modality, NDArray[np.bool_]]
"""Bool (rows of the source,) by modality: what is to be encoded."""


class Run:
    """One run over a source.

    Parameters
    ----------
    work : Work
    plan : Plan
    failures : Failures
    store : Store or None
        None if it is still to be made.
    make : callable
        Makes it.
    fresh : bool
        The store was absent or empty when it was compared with the source, and still must be
        when the first rows are committed: those of another build must not be mixed with ours.
    """

    def __init__(
        self,
        work: Work,
        plan: Plan,
        failures: Failures,
        store: Store | None,
        make: Callable[[], Store],
        fresh: bool = False,
    ) -> None:
        self._work = work
        self._plan = plan
        self._failures = failures
        self._store = store
        self._make = make
        self._fresh = fresh
        self._share = Share()
        self._written = self._replaced = 0
        self._skipped = plan.there
        self._policy = work.policy
        if work.policy != "replace":
            self._skipped += len(plan.changed_ids)

    def report(self) -> BuildReport:
        """Encode and commit what is missing, and count."""
        try:
            for failure in self._plan.failures:
                self._failures.add(failure)
            self._encode_again()
            self._encode_missing()
            mended = self._failures.take_back(self._plan.recorded)
            self._commit()
        except KeyboardInterrupt:
            with contextlib.suppress(SsahError):  # the interrupt is what is to be told
                self._commit()
            raise
        if not self._written and not self._skipped:
            named = self._store.place if self._store else "STORE"
            raise SourceError(
                f"none of the {len(self._work.reader)} rows could be encoded",
                "at least one image or text",
                f"Read the reasons with: ssah-index info {named} --failures",
            )
        return BuildReport(
            written=self._written,
            skipped=self._skipped,
            replaced=self._replaced,
            failed=len(self._failures),
            mended=mended,
            elapsed_s=time.monotonic() - self._work.begun_s,
        )

    def _encode_again(self) -> None:
        """Put images with their texts in the place of rows that lack them."""
        if self._plan.again.any():
            self._policy = "replace"
            self._encode_all({"image": self._plan.again})
            self._commit()
            self._policy = self._work.policy

    def _encode_missing(self) -> None:
        todo = dict(self._plan.new)
        if self._policy == "replace":
            todo = {modality: todo[modality] | self._plan.changed[modality] for modality in todo}
        self._encode_all(todo)

    def _encode_all(self, todo: Todo) -> None:
        """Encode batch by batch, and commit share by share."""
        spec, n = self._work.spec, len(self._work.reader)
        told = [modality for modality, wanted in todo.items() if wanted.any()]
        if not told:
            return
        if self._store is not None:
            check_writable(self._store)
        step = min(spec.batch_rows, spec.share_rows)
        for start in range(0, n, step):
            stop = min(start + step, n)
            if any(wanted[start:stop].any() for wanted in todo.values()):
                self._encode_rows(todo, start, stop)
            for modality in told:
                self._work.progress(stop, n, f"{modality}s")
            if self._share.rows_read >= spec.share_rows or (
                self._share.rows_read and self._share.elapsed_s >= spec.share_s
            ):
                self._commit()

    def _encode_rows(self, todo: Todo, start: int, stop: int) -> None:
        """Encode what is missing of some rows of the source."""
        rows = list(read_rows(self._work.reader, start, stop))
        for modality in todo:
            wanted = todo[modality][start:stop]
            own = [row for row, missing in zip(rows, wanted, strict=True) if missing]
            for row in own:
                if isinstance(row, Failure):  # it could be read a while ago
                    self._failures.add(row)
            items = [row for row in own if isinstance(row, Item) and has(row, modality)]
            part = self._encode(items, modality)
            if len(part.codes):
                self._share.add(modality, part)
        self._share.rows_read += stop - start

    def _encode(self, items: Sequence[Item], modality: Modality) -> Part:
        """Rows of the items that can be stored and encoded; the others are failures."""
        items, table = self._tabulate(items, modality)
        if not items:
            return Part.of_none(self._work.encoder.bits, modality, self._work.columns)
        # Taken before the file is read: one that changes meanwhile is seen as changed later.
        origins = np.array([origin_of(item, modality) for item in items], np.uint64)
        values = [getattr(item, modality) for item in items]
        codes, failed = encode_items(self._work.encoder, modality, values)
        keep = np.ones(len(items), np.bool_)
        for place, reason in failed:
            keep[place] = False
            self._fail(items[place], modality, reason)
        rows = table.filter(pa.array(keep))
        return Part(codes, rows, origins.reshape(len(items), -1)[keep])

    def _tabulate(
        self, items: Sequence[Item], modality: Modality
    ) -> tuple[Sequence[Item], pa.Table]:
        """Items that can be rows of a store, and their rows."""
        columns = self._work.columns
        try:
            return items, items_table(items, modality, columns)
        except Exception as error:
            if len(items) == 1:
                reason = f"it cannot be stored: {reason_of(error)}"
                self._fail(items[0], modality, reason)
                return [], items_table([], modality, columns)
        alone = [self._tabulate([item], modality) for item in items]
        kept = [item for own, _ in alone for item in own]
        return kept, pa.concat_tables([table for _, table in alone]).unify_dictionaries()

    def _fail(self, item: Item, modality: Modality, reason: str) -> None:
        self._failures.add(
            Failure(id=item.id, source=item.source, modality=modality, reason=reason)
        )

    def _commit(self) -> None:
        """Commit what is encoded, and what the ledger is to get, if there is any."""
        share = self._share
        if not (share.rows or self._failures.pending):
            return
        if self._store is None:
            self._store = self._make()
        entries: list[SegmentEntry] = []
        try:
            for modality in MODALITIES:
                entries += self._stage(self._store, modality)
            committed = self._store.commit(entries, self._policy, first=self._fresh)
        except BaseException:
            for entry in entries:
                self._store.discard(entry)
            raise
        published = set(committed.manifest.segments)
        for entry in entries:
            if entry not in published:  # the interrupt came when its share was there already
                self._store.discard(entry)
        written = sum(entry.rows for entry in entries) - committed.skipped
        self._share, self._fresh = Share(), False
        self._failures.commit()
        self._written += written
        self._skipped += share.rows - written
        self._replaced += committed.replaced

    def _stage(self, store: Store, modality: Modality) -> list[SegmentEntry]:
        """Stage what there is of one modality, if there is any."""
        work, part = self._work, self._share.part(modality)
        if part and self._policy == "skip":  # what another run has brought meanwhile
            part = part.filter(~store.snapshot().has(part.ids, modality))
        codes, table, origins = part or Part.of_none(work.encoder.bits, modality, work.columns)
        records = self._failures.records(modality)
        if not len(codes) and not records:
            return []
        entry = stage_segment(
            store.place,
            f"{self._share.name}-{modality}",
            modality,
            codes,
            table,
            records,
            origins=origins,
            fingerprint=work.encoder.fingerprint,
            elapsed_s=self._share.elapsed_s,
        )
        return [entry]
