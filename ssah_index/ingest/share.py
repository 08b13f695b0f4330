"""What a run has encoded and not yet committed, and what it says to the ledger."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.ingest.plan import plain_failure
from ssah_index.store import ORIGIN_FIELDS, Key, items_table, last_records, ledger_key
from ssah_index.store.rows import combined
from ssah_index.types import MODALITIES, Codes, Failure, Modality


class Part(NamedTuple):
    """Rows of one modality."""

    codes: Codes
    """(n, nbytes)."""
    table: pa.Table
    """n rows, as a store has them."""
    origins: NDArray[np.uint64]
    """(n, ORIGIN_FIELDS): what each row was made of."""

    @classmethod
    def of_none(cls, bits: int, modality: Modality, columns: pa.Schema) -> Part:
        """No rows."""
        return cls(
            np.empty((0, bits // 8), np.uint8),
            items_table([], modality, columns),
            np.empty((0, ORIGIN_FIELDS), np.uint64),
        )

    @property
    def ids(self) -> pa.Array:
        """The rows' ids."""
        return combined(self.table.column("id"))

    def filter(self, keep: NDArray[np.bool_]) -> Part:
        """The rows where ``keep``, bool (n,), is True."""
        if keep.all():
            return self
        return Part(self.codes[keep], self.table.filter(pa.array(keep)), self.origins[keep])


class Share:
    """Rows on their way to one commit, in both modalities."""

    def __init__(self) -> None:
        self.name = f"share-{uuid.uuid4().hex[:16]}"
        self.begun_s = time.monotonic()
        self.rows_read = 0
        """Rows of the source that it covers, failed ones included."""
        self._parts: dict[Modality, list[Part]] = {modality: [] for modality in MODALITIES}

    @property
    def rows(self) -> int:
        """Rows that were added."""
        return sum(len(part.codes) for parts in self._parts.values() for part in parts)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self.begun_s

    def add(self, modality: Modality, part: Part) -> None:
        """Add rows; either all of them or, if interrupted, none."""
        self._parts[modality].append(part)

    def part(self, modality: Modality) -> Part | None:
        """All rows of a modality, in order; None if there are none."""
        parts = self._parts[modality]
        if not parts:
            return None
        return Part(
            np.concatenate([part.codes for part in parts]),
            pa.concat_tables([part.table for part in parts]).unify_dictionaries(),
            np.concatenate([part.origins for part in parts]),
        )


class Failures:
    """The rows of a source that fail now, beside those that the ledger has.

    Parameters
    ----------
    known : iterable of Failure
        What fails by the ledger.
    """

    def __init__(self, known: Iterable[Failure]) -> None:
        self._known = last_records(known)
        self._now: dict[Key, Failure] = {}
        self.pending: list[Failure] = []
        """Records that the ledger is to get."""

    def __len__(self) -> int:
        return len(self._now)

    def add(self, failure: Failure) -> None:
        """A row fails; if it failed before for the same reason, the ledger has it already."""
        failure = plain_failure(failure.id, failure.source, failure.modality, failure.reason)
        key = ledger_key(failure)
        if key not in self._now:
            self._now[key] = failure
            if self._known.get(key) != failure:
                self.pending.append(failure)

    def take_back(self, keys: Iterable[Key]) -> int:
        """Take back what the ledger has under the keys and fails no more; returns how many."""
        mended = [key for key in sorted(keys) if key in self._known and key not in self._now]
        self.pending += [replace(self._known.pop(key), reason="") for key in mended]
        return len(mended)

    def records(self, modality: Modality) -> Sequence[Failure]:
        """Pending records that go beside the rows of a modality.

        A row that names no modality is kept once, beside the images.
        """
        return [record for record in self.pending if (record.modality or "image") == modality]

    def commit(self) -> None:
        """The pending records are in the ledger."""
        self.pending = []
