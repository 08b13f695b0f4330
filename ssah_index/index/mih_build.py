"""Builds the arrays of a `MihIndex` from codes, by counting sort in bounded memory.

Relies on the kernels of `ssah_index.kernels.tables` and on the plan for sizes. Arrays come about
from the front, part by part, and go to an `Output` that may lie on disk and may know how far a
killed build had come: no byte depends on the number of cores, on parts or on where it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import CorruptError
from ssah_index.index.mih_check import ascends
from ssah_index.index.mih_plan import PART_ENTRIES, MihPlan
from ssah_index.kernels import Extent, cores, entries, tables, team
from ssah_index.stop import Stop
from ssah_index.types import Progress, Words, no_progress

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Chunk: TypeAlias = tuple[Words, NDArray[np.uint32]]
"""Permuted codes (c * words,), and their references (c,)."""

CHUNK_CODES = 1 << 18
"""Codes that are permuted, or restored, at a time."""


class Output(Protocol):
    """Where arrays go."""

    @property
    def mark(self) -> Mapping[str, int]:
        """What was last passed to `reached`; empty at first. What came after it is gone."""

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add to the end of an array."""

    def view(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """What was added, from one place to before another."""

    def reached(self, mark: Mapping[str, int]) -> None:
        """Say how far the work has come: a killed build may begin from here."""


@dataclass(slots=True)
class _Mark:
    """How far a build has come: parts are written in order."""

    table: int = 0
    bucket: int = 0
    """The first of the table that is not written."""
    entries: int = 0
    """Of the table, written."""
    distinct: int = 0
    """Entries of table 0, hence of each other one; known once it is written."""
    lists: int = 0
    repeated: int = 0
    """Rows in lists."""


@dataclass(slots=True)
class _Part:
    """Buckets ``low`` to before ``high`` of a table."""

    low: int
    high: int
    borders: NDArray[np.uint32]
    """(buckets + 1,), within the part."""
    entry: tuple[NDArray[Any], ...]
    """body, tails, refs."""
    lists: tuple[NDArray[np.uint32], ...]
    """(ends, rows), counted within the part; only table 0 has any."""


def build(
    extents: Sequence[Extent],
    plan: MihPlan,
    arrays: Arrays,
    *,
    threads: int | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
) -> dict[str, NDArray[Any]]:
    """Fill the arrays of an index; the rest is as for `fill`.

    Parameters
    ----------
    arrays : mapping of str to array
        One for each entry of ``plan.sizes()``, of that type and size.

    Returns
    -------
    dict of str to array
        The index: the front parts of the arrays that are in use.
    """
    memory = _Memory(arrays)
    fill(extents, plan, memory, threads=threads, stop=stop, progress=progress)
    return {name: array[: memory.used[name]] for name, array in arrays.items()}


def fill(
    extents: Sequence[Extent],
    plan: MihPlan,
    output: Output,
    *,
    threads: int | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
) -> None:
    """Make an index.

    Parameters
    ----------
    extents : sequence of Extent
        What the index covers, in the order of their rows; ``plan.n`` codes in all.
    plan : MihPlan
    output : Output
        Gets an array for each entry of ``plan.sizes()``, of that type, and at most of that size.
    threads : int, optional
        Most cores to use; all when left out.
    stop : Stop, optional
    progress : Progress
        Told of entries that are written, of all tables.

    Raises
    ------
    DeadlineError, CancelledError
        As ``stop`` says.

    Notes
    -----
    Reads the codes once to count and once for each part; for every further table the entries of
    table 0 as often. Memory: two parts a core, of up to 2^26 entries of 9 to 4 + 8 * words bytes,
    in table 0 with up to 6 bytes more; the borders of buckets; and up to 40 bytes for each entry
    of the largest bucket.
    """
    builder = _Builder(extents, plan, output, threads or cores(), stop or Stop())
    if not output.mark:
        output.append("lists", np.zeros(1, np.uint32))
    while builder.mark.table < plan.m:
        builder.fill(progress)


def balance(plan: MihPlan, output: Output) -> dict[str, Any]:
    """How a finished index divides its codes.

    Returns
    -------
    dict
        ``distinct``: codes that differ; ``largest``: entries of the largest bucket of each table;
        ``met``: of the bucket of an entry, on average, for each table.
    """
    largest, met = [], []
    distinct = 0
    for table in range(plan.m):
        start = table * (plan.buckets + 1)
        sizes = np.diff(output.view("offsets", start, start + plan.buckets + 1)).astype(np.float64)
        distinct = int(sizes.sum())
        largest.append(int(sizes.max()))
        met.append(round(float(sizes @ sizes) / max(distinct, 1), 2))
    return {"distinct": distinct, "largest": largest, "met": met}


class _Memory:
    """An `Output` of arrays that are there already."""

    mark: Mapping[str, int] = {}

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.used = dict.fromkeys(arrays, 0)

    def append(self, name: str, values: NDArray[Any]) -> None:
        start = self.used[name]
        self.used[name] += len(values)
        self._arrays[name][start : self.used[name]] = values

    def view(self, name: str, start: int, stop: int) -> NDArray[Any]:
        return self._arrays[name][start:stop]

    def reached(self, mark: Mapping[str, int]) -> None:
        """Memory does not outlive its process."""


def _resumed(plan: MihPlan, output: Output) -> _Mark:
    """Where a killed build is taken up; its files may be anybody's.

    Raises
    ------
    CorruptError
        If that cannot be: a kernel would read what is not there.
    """
    most = {
        "table": plan.m, "bucket": plan.buckets, "entries": plan.n, "distinct": plan.n,
        "lists": plan.n // 2, "repeated": plan.n,
    }  # fmt: skip
    mark = dict.fromkeys(most, 0) | dict(output.mark)
    sound = mark.keys() == most.keys() and all(mark[name] <= most[name] for name in most)
    if sound and mark["table"]:
        size, words = mark["distinct"], plan.words
        ends = {"body": size * words, "tails": size * plan.compact, "refs": size}
        borders = output.view("offsets", 0, plan.buckets + 1)
        sound = len(borders) > plan.buckets and ascends(borders, size)
        sound = sound and all(len(output.view(name, 0, end)) == end for name, end in ends.items())
    if not sound:
        raise CorruptError(
            f"the draft of an index says that it came as far as {dict(output.mark)}",
            f"what a build of {plan.n} codes may have reached",
            "Remove the folders that end in .draft below indexes/ of the store, and build again.",
        )
    return _Mark(**mark)


class _Builder:
    def __init__(
        self, extents: Sequence[Extent], plan: MihPlan, output: Output, threads: int, stop: Stop
    ) -> None:
        self._extents, self._plan, self._output = extents, plan, output
        self._threads, self._stop = threads, stop
        self._lut = plan.lut()
        self.mark = _resumed(plan, output)

    def fill(self, progress: Progress) -> None:
        """Make a table, or what a killed build has left of it."""
        table = self.mark.table
        borders = self._count()
        parts = self._parts(borders)
        written: Future[None] | None = None
        # Written by a thread of its own, which waits for the disk while the next parts are made.
        with ThreadPoolExecutor(1, "ssah-index-write") as writer:
            for i in range(0, len(parts), self._threads):
                wave = [self._part(borders, *part) for part in parts[i : i + self._threads]]
                self._run([partial(self._make, table, part) for part in wave])
                if written:
                    written.result()
                written = writer.submit(self._write, wave)
                done = table + int(borders[wave[-1].high]) / max(int(borders[-1]), 1)
                progress(int(done * self._plan.n), self._plan.m * self._plan.n, "entries")
        if written:
            written.result()

    def _run(self, tasks: Sequence[team.Task]) -> None:
        team.run(tasks, self._threads, self._stop)

    def _count(self) -> NDArray[np.uint32]:
        """Where each bucket of the table would begin if all that is read were an entry."""
        plan, table = self._plan, self.mark.table
        borders = np.zeros(plan.buckets + 1, np.uint32)

        def count(low: int, high: int) -> None:
            for codes, _ in self._chunks(table):
                tables.count_keys(codes, self._place(table), (low, high), borders)

        shares = np.linspace(0, plan.buckets, self._threads + 1).astype(np.int64).tolist()
        self._run([partial(count, *share) for share in pairwise(shares)])
        return np.cumsum(borders, dtype=np.uint32, out=borders)

    def _parts(self, borders: NDArray[np.uint32]) -> list[tuple[int, int]]:
        """Runs of buckets with about as many entries each, from the mark on."""
        total = int(borders[-1])
        size = max(min(PART_ENTRIES, -(-total // self._threads)), 1)
        cuts = np.searchsorted(borders[1:], np.arange(size, max(total, 1), size)).tolist()
        begin, end = self.mark.bucket, self._plan.buckets
        return list(pairwise(sorted({begin, end, *(cut for cut in cuts if begin < cut < end)})))

    def _part(self, borders: NDArray[np.uint32], low: int, high: int) -> _Part:
        """A part that is to be made."""
        plan, within = self._plan, borders[low : high + 1] - borders[low]
        size = int(within[-1])
        body = np.empty(size * plan.words, np.uint32 if plan.compact else np.uint64)
        tails = np.empty(size if plan.compact else 0, np.uint8)
        rows = 0 if self.mark.table else size
        lists = np.empty(rows // 2, np.uint32), np.empty(rows, np.uint32)
        return _Part(low, high, within, (body, tails, np.empty(size, np.uint32)), lists)

    def _make(self, table: int, part: _Part) -> None:
        """Fill a part."""
        plan, heads = self._plan, part.borders[:-1].copy()
        place, buckets = self._place(table), (part.low, part.high)
        for chunk in self._chunks(table):
            tables.spread(plan.compact)(chunk, place, buckets, heads, part.entry)
        if table or self._stop.flag[0]:
            return
        found = np.zeros(2, np.int64)
        tables.sort_buckets(plan.compact)(plan.words, part.borders, part.entry)
        tables.collapse(plan.compact)(plan.words, part.borders, part.entry, part.lists, found)
        part.lists = part.lists[0][: found[0]], part.lists[1][: found[1]]

    def _write(self, wave: Sequence[_Part]) -> None:
        """Add parts, which are the next ones, to the output."""
        for part in wave:
            self._append(part)
            self.mark.bucket = part.high
        if self.mark.bucket == self._plan.buckets:
            self._close()
        self._output.reached(asdict(self.mark))

    def _append(self, part: _Part) -> None:
        output, mark, plan = self._output, self.mark, self._plan
        used = int(part.borders[-1])
        body, tails, refs = part.entry
        ends, rows = part.lists
        refs = refs[:used]
        if mark.table == 0:  # others have them from there
            np.add(refs, np.uint32(mark.lists), out=refs, where=refs >= entries.REPEATED)
        output.append("offsets", part.borders[:-1] + np.uint32(mark.entries))
        output.append("body", body[: used * plan.words])
        output.append("tails", tails[:used])
        output.append("refs", refs)
        output.append("lists", ends + np.uint32(mark.repeated))
        output.append("list_rows", rows)
        mark.entries += used
        mark.lists += len(ends)
        mark.repeated += len(rows)

    def _close(self) -> None:
        """End a table."""
        mark = self.mark
        self._output.append("offsets", np.array([mark.entries], np.uint32))
        if mark.table == 0:
            mark.distinct = mark.entries
        mark.table, mark.bucket, mark.entries = mark.table + 1, 0, 0

    def _place(self, table: int) -> tuple[int, int, int]:
        return self._plan.words, table * self._plan.b, self._plan.b

    def _chunks(self, table: int) -> Iterator[Chunk]:
        """What a table is made from, until stopped."""
        for chunk in self._entries() if table else self._rows():
            if self._stop.flag[0]:
                return
            yield chunk

    def _rows(self) -> Iterator[Chunk]:
        """All rows, and their ordinals."""
        words, ordinal = self._plan.words, 0
        out = np.empty(CHUNK_CODES * words, np.uint64)
        for extent in self._extents:
            for i in range(0, len(extent.words), CHUNK_CODES):
                codes = extent.words[i : i + CHUNK_CODES]
                permuted = out[: codes.size]
                entries.permute(codes.reshape(-1), self._lut, words, permuted)
                yield permuted, np.arange(ordinal, ordinal + len(codes), dtype=np.uint32)
                ordinal += len(codes)

    def _entries(self) -> Iterator[Chunk]:
        """All entries of table 0."""
        view, plan, distinct = self._output.view, self._plan, self.mark.distinct
        offsets = view("offsets", 0, plan.buckets + 1)
        out = np.empty(CHUNK_CODES, np.uint64)
        for i in range(0, distinct, CHUNK_CODES):
            end = min(i + CHUNK_CODES, distinct)
            permuted = view("body", i * plan.words, end * plan.words)
            if plan.compact:
                entry = permuted, view("tails", i, end)
                permuted = out[: end - i]
                bucket = int(np.searchsorted(offsets, np.uint32(i), "right")) - 1
                entries.restore(entry, offsets, (i, bucket, plan.b), permuted)
            yield permuted, view("refs", i, end)
