"""What a source has that a store has not, decided before anything is encoded.

The source is read once, many rows at a time, and each item is looked up by its id. A row
that was made of the item as it is now is there already; one that was made of something else
has changed; an item without a row is new: it never came, it failed, or it was deleted since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssah_index.ingest.origins import Origin, is_same
from ssah_index.store import Key, Snapshot, ledger_key, once
from ssah_index.types import MODALITIES, Failure, Item, Modality, Progress, Reader

CHECK_ROWS = 1 << 16
"""Rows of the source that are looked up at once."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Rows of the store that are of no item of the source."""

    count: int
    """How many there are, deleted ones left out."""
    id: str
    """The id of the first one."""
    modality: Modality
    """The modality of the first one."""


@dataclass(slots=True)
class Plan:
    """What is to be done with each item of a source."""

    new: dict[Modality, NDArray[np.bool_]]
    """Bool (rows of the source,): the item is to be encoded, since it has no row."""
    changed: dict[Modality, NDArray[np.bool_]]
    """The same for items with a row that was made of something else."""
    again: NDArray[np.bool_]
    """The same for images whose row lacks nothing but the text."""
    changed_ids: list[str] = field(default_factory=list)
    """Ids of changed items in order of the source, those with two changed rows twice."""
    there: int = 0
    """Rows, of both modalities, that were made of the source's items as they are now."""
    failures: list[Failure] = field(default_factory=list)
    """Rows that the reader could not read."""
    recorded: set[Key] = field(default_factory=set)
    """Failures in the ledger that are about rows of the source, or all if it is alone."""
    strangers: Stranger | None = None
    """Rows of the store that are not of the source, if that was asked."""


def has(item: Item, modality: Modality) -> bool:
    """Whether the item has something to encode in the modality."""
    return getattr(item, modality) is not None


def read_rows(reader: Reader, start: int, stop: int) -> Iterator[Item | Failure]:
    """Rows of a source; items whose id or source cannot be stored are failures."""
    for row in reader.read(start, stop):
        try:
            f"{row.id}{row.source}".encode()
        except UnicodeEncodeError:
            modality = row.modality if isinstance(row, Failure) else ""
            reason = row.reason if isinstance(row, Failure) else "its id or source is no Unicode"
            yield plain_failure(row.id, row.source, modality, reason)
        else:
            yield row


def plain_failure(id: str, source: str, modality: str, reason: str) -> Failure:
    """A record that can be stored, whatever is in the words that were brought."""
    words = [
        word.encode("utf-8", "backslashreplace").decode() for word in (id, source, modality, reason)
    ]
    words[3] = words[3] or "no reason was given"  # an empty one would take the record back
    return Failure(id=words[0], source=words[1], modality=words[2], reason=words[3])


def compare(reader: Reader, snapshot: Snapshot | None, progress: Progress, *, alone: bool) -> Plan:
    """Compare a source with a store, or with none.

    Parameters
    ----------
    reader : Reader
    snapshot : Snapshot or None
        Of a store with ids that are strings.
    progress : Progress
        Told of rows of the source; not if there is no store.
    alone : bool
        Whether the store is to hold this source alone. Rows of other sources are told then,
        and a row of unknown origin is there already if its text and labels are the item's;
        otherwise it has changed.

    Raises
    ------
    DuplicateIdError
        If an id comes twice in a modality: readers make the later one a failure.
    """
    return _Comparison(reader, snapshot, progress, alone).plan()


class _Comparison:
    """One reading of a source beside a store."""

    def __init__(
        self, reader: Reader, snapshot: Snapshot | None, progress: Progress, alone: bool
    ) -> None:
        n = len(reader)
        self._reader = reader
        self._snapshot = snapshot
        self._progress = progress
        self._alone = alone
        self._ids: dict[Modality, list[pa.Array]] = {modality: [] for modality in MODALITIES}
        self._plan = Plan(
            new={modality: np.zeros(n, np.bool_) for modality in MODALITIES},
            changed={modality: np.zeros(n, np.bool_) for modality in MODALITIES},
            again=np.zeros(n, np.bool_),
        )
        self._unread_texts: set[str] = set()
        self._changed: list[tuple[int, str]] = []
        self._met = np.zeros(0 if snapshot is None else len(snapshot), np.bool_)
        self._recorded = _Recorded([] if snapshot is None else snapshot.failures())

    def plan(self) -> Plan:
        for start in range(0, len(self._reader), CHECK_ROWS):
            stop = min(start + CHECK_ROWS, len(self._reader))
            rows = list(read_rows(self._reader, start, stop))
            self._plan.failures += [row for row in rows if isinstance(row, Failure)]
            self._plan.recorded |= self._recorded.about(rows)
            self._unread_texts.update(_unread(rows, "text"))
            for modality in reversed(MODALITIES):  # images need to know of their texts
                self._look_up(rows, start, modality)
            if self._snapshot is not None:
                self._progress(stop, len(self._reader), "compared")
        self._plan.changed_ids = [key for _, key in sorted(self._changed)]
        for ids in self._ids.values():
            once(pa.concat_arrays([pa.array([], pa.string()), *ids]), "error")
        if self._alone and self._snapshot is not None:
            self._plan.recorded = self._recorded.keys
            self._plan.strangers = self._strangers(self._snapshot)
        return self._plan

    def _look_up(self, rows: Sequence[Item | Failure], start: int, modality: Modality) -> None:
        """Decide about the items of some rows in one modality."""
        own = [
            (start + place, row)
            for place, row in enumerate(rows)
            if isinstance(row, Item) and has(row, modality)
        ]
        positions = np.array([position for position, _ in own], np.int64)
        ids = pa.array([row.id for _, row in own], pa.string())
        self._ids[modality].append(ids)
        snapshot = self._snapshot
        if snapshot is None:
            self._plan.new[modality][positions] = True
            return
        located = snapshot.locate(ids, modality)
        self._plan.new[modality][positions[located < 0]] = True
        there = np.flatnonzero(located >= 0)
        same = self._same(snapshot, [own[i][1] for i in there], located[there], modality)
        self._met[located[there]] = True
        # The row of an item that cannot be read at the moment is no stranger.
        unread = snapshot.locate(_unread(rows, modality), modality)
        self._met[unread[unread >= 0]] = True
        self._plan.there += int(same.sum())
        changed = there[~same]
        if modality == "image" and len(changed):
            items = [own[i][1] for i in changed]
            at = positions[changed]
            changed = changed[self._judge_texts(snapshot, items, at, located[changed])]
        self._plan.changed[modality][positions[changed]] = True
        self._changed += [(own[i][0], own[i][1].id) for i in changed]

    def _judge_texts(
        self,
        snapshot: Snapshot,
        items: Sequence[Item],
        positions: NDArray[np.int64],
        located: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Decide about images whose rows have other texts beside them, but are the same else.

        A text that is new, or could not be read when the image was built, comes to the image's
        row; one that cannot be read now leaves it as it is. Of the others True is returned.
        """
        stored = snapshot.take(located, ["text"]).column("text").to_pylist()
        before = [replace(item, text=text) for item, text in zip(items, stored, strict=True)]
        same = self._same(snapshot, before, located, "image")
        come = np.array(
            [
                item.text is not None and (self._alone or self._recorded.has("text", item.id))
                for item in items
            ]
        )
        come &= same & ~self._plan.changed["text"][positions]
        gone = same & np.array(
            [item.text is None and item.id in self._unread_texts for item in items]
        )
        self._plan.again[positions[come]] = True
        self._plan.there += int(gone.sum())
        differs: NDArray[np.bool_] = ~(come | gone)
        return differs

    def _same(
        self,
        snapshot: Snapshot,
        items: Sequence[Item],
        located: NDArray[np.int64],
        modality: Modality,
    ) -> NDArray[np.bool_]:
        """Bool (len(items),): the item's row was made of it as it is now."""
        origins = snapshot.origins(located)
        same = np.zeros(len(items), np.bool_)
        for place, (item, known) in enumerate(zip(items, origins.tolist(), strict=True)):
            same[place] = bool(known[0]) and is_same(Origin(*known), item, modality)
        unknown = np.flatnonzero(origins[:, 0] == 0)
        if self._alone and len(unknown):
            stored = snapshot.take(located[unknown], ["text", "labels"]).to_pylist()
            for place, row in zip(unknown.tolist(), stored, strict=True):
                item = items[place]
                same[place] = (row["text"], tuple(row["labels"])) == (item.text, item.labels)
        return same

    def _strangers(self, snapshot: Snapshot) -> Stranger | None:
        """Rows that are not deleted and were not met."""
        live = [segment.keep() for segment in snapshot.segments]
        rows = np.flatnonzero(np.concatenate([np.zeros(0, np.bool_), *live]) & ~self._met)
        if not len(rows):
            return None
        first = snapshot.take(rows[:1], ["id", "modality"]).to_pylist()[0]
        return Stranger(len(rows), first["id"], first["modality"])


def _unread(rows: Sequence[Item | Failure], modality: Modality) -> list[str]:
    """Ids of rows that could not be read, and may have the modality."""
    return [row.id for row in rows if isinstance(row, Failure) and row.modality in ("", modality)]


class _Recorded:
    """Failures in the ledger by what they are about."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.keys = {ledger_key(failure) for failure in failures}
        self._by_source: dict[str, list[Key]] = {}
        self._by_id: dict[tuple[str, str], list[Key]] = {}
        for failure in failures:
            key = ledger_key(failure)
            self._by_source.setdefault(failure.source, []).append(key)
            for modality in [failure.modality] if failure.modality else MODALITIES:
                self._by_id.setdefault((modality, failure.id), []).append(key)

    def has(self, modality: Modality, key: str) -> bool:
        """Whether the ledger has an item of that id."""
        return (modality, key) in self._by_id

    def about(self, rows: Sequence[Item | Failure]) -> set[Key]:
        """Those of rows of a source, by the source or by id and modality."""
        if not self._by_source:
            return set()
        found: set[Key] = set()
        for row in rows:
            found.update(self._by_source.get(row.source, ()))
            for modality in MODALITIES:
                if isinstance(row, Failure) or has(row, modality):
                    found.update(self._by_id.get((modality, row.id), ()))
        return found
