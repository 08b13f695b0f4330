"""Builds the arrays of a `MihIndex` from codes, by counting sort in bounded memory.

Relies on the kernels of `ssah_index.kernels.tables` and on the plan for sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.index.mih_plan import MihPlan
from ssah_index.kernels import Extent, cores, entries, tables, team
from ssah_index.stop import Stop
from ssah_index.types import Progress, Words, no_progress

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Chunk: TypeAlias = tuple[Words, NDArray[np.uint32]]
"""Permuted codes (c * words,), and their references (c,)."""

CHUNK_CODES = 1 << 18
"""Codes that are permuted, or restored, at a time."""
PART_ENTRIES = 1 << 26
"""Most entries of a part: each pass writes to a stretch of a table so long."""


def build(
    extents: Sequence[Extent],
    plan: MihPlan,
    arrays: Arrays,
    *,
    threads: int | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
) -> dict[str, NDArray[Any]]:
    """Fill the arrays of an index.

    Parameters
    ----------
    extents : sequence of Extent
        What the index covers, in the order of their rows; ``plan.n`` codes in all.
    plan : MihPlan
    arrays : mapping of str to array
        One for each entry of ``plan.sizes()``, of that type and size: in memory, or mapped from
        files.
    threads : int, optional
        Most cores to use; all when left out.
    stop : Stop, optional
    progress : Progress
        Told of each table that is done.

    Returns
    -------
    dict of str to array
        The index: the front parts of the arrays that are in use.

    Raises
    ------
    DeadlineError, CancelledError
        As ``stop`` says; the arrays are worth nothing then.

    Notes
    -----
    Reads the codes 1 + parts times and table 0 as often for each other table. Memory, beside the
    arrays: 16 MiB or so a core, and up to 40 bytes for each entry of the largest bucket.
    """
    builder = _Builder(extents, plan, arrays, threads or cores(), stop or Stop())
    builder.fill_first()
    progress(1, plan.m, "tables")
    for table in range(1, plan.m):
        builder.fill(table)
        progress(table + 1, plan.m, "tables")
    return builder.trimmed()


class _Builder:
    def __init__(
        self, extents: Sequence[Extent], plan: MihPlan, arrays: Arrays, threads: int, stop: Stop
    ) -> None:
        self._extents, self._plan, self._arrays = extents, plan, arrays
        self._threads, self._stop = threads, stop
        self._lut = plan.lut()
        self.distinct = plan.n
        self.lists = self.repeated = 0

    def fill_first(self) -> None:
        """Make table 0 from the rows, and collapse it."""
        plan, arrays = self._plan, self._arrays
        offsets, entry = self._table(0)
        parts, borders = self._spread(0, self._rows)
        lists = arrays["lists"], arrays["list_rows"]
        found = np.zeros((len(parts), 3), np.int64)

        def task(number: int) -> None:
            part, border = parts[number], (offsets, int(borders[number + 1]))
            tables.sort_buckets(plan.compact)(plan.words, part, border, entry)
            tables.collapse(plan.compact)(plan.words, part, border, entry, lists, found[number])

        self._run([partial(task, number) for number in range(len(parts))])
        done = np.zeros(3, np.int64)
        for part, first, count in zip(parts, borders, found, strict=False):
            moves = np.stack([np.array([first, first // 2, first]), done, count], axis=1)
            if (moves[:, 0] != done).any():
                tables.settle(plan.compact)(plan.words, part, offsets, entry, lists, moves)
            done += count
        self.distinct, self.lists, self.repeated = done.tolist()
        offsets[-1] = self.distinct
        lists[0][0] = 0

    def fill(self, table: int) -> None:
        """Make another table from the entries of table 0."""
        self._spread(table, self._entries)

    def trimmed(self) -> dict[str, NDArray[Any]]:
        """The arrays, as far as they are in use."""
        plan, arrays = self._plan, self._arrays
        used = {name: array.size for name, array in arrays.items()}
        used["refs"] = plan.m * self.distinct
        used["body"] = plan.m * self.distinct * plan.words
        used["tails"] = plan.m * self.distinct if plan.compact else 0
        used["lists"], used["list_rows"] = self.lists + 1, self.repeated
        return {name: array[: used[name]] for name, array in arrays.items()}

    def _table(self, table: int) -> tuple[NDArray[np.uint32], tuple[NDArray[Any], ...]]:
        """Offsets and entries of one table."""
        plan, arrays = self._plan, self._arrays
        size = plan.buckets + 1
        here = slice(table * self.distinct, (table + 1) * self.distinct)
        words = slice(here.start * plan.words, here.stop * plan.words)
        tails = arrays["tails"][here] if plan.compact else arrays["tails"][:0]
        entry = arrays["body"][words], tails, arrays["refs"][here]
        return arrays["offsets"][table * size : (table + 1) * size], entry

    def _run(self, tasks: Sequence[team.Task]) -> None:
        team.run(tasks, self._threads, self._stop)

    def _spread(self, table: int, source: Any) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
        """Sort into buckets; return the parts that this was done in, and where each begins."""
        plan = self._plan
        place = plan.words, table * plan.b, plan.b
        offsets, entry = self._table(table)
        offsets[:] = 0

        def count(low: int, high: int) -> None:
            for codes, _ in self._chunks(source):
                tables.count_keys(codes, place, (low, high), offsets)

        def spread(low: int, high: int) -> None:
            for chunk in self._chunks(source):
                tables.spread(plan.compact)(chunk, place, (low, high), offsets, entry)

        halves = np.linspace(0, plan.buckets, self._threads + 1).astype(np.int64).tolist()
        self._run([partial(count, *part) for part in pairwise(halves)])
        tables.accumulate(offsets)
        parts = self._parts(offsets)
        borders = [int(offsets[low + 1]) for low, _ in parts] + [self.distinct]
        self._run([partial(spread, *part) for part in parts])
        return parts, np.array(borders, np.int64)

    def _parts(self, offsets: NDArray[np.uint32]) -> list[tuple[int, int]]:
        """Runs of buckets with about as many entries each."""
        size = max(min(PART_ENTRIES, self.distinct // self._threads), 1)
        wanted = np.arange(size, max(self.distinct, 1), size)
        cuts = np.searchsorted(offsets[1:], wanted).tolist()
        borders = sorted({0, *cuts, self._plan.buckets})
        return list(pairwise(borders))

    def _chunks(self, source: Any) -> Iterator[Chunk]:
        for chunk in source():
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
        offsets, (body, tails, refs) = self._table(0)
        words, b = self._plan.words, self._plan.b
        out = np.empty(CHUNK_CODES, np.uint64)
        for i in range(0, self.distinct, CHUNK_CODES):
            chunk = refs[i : i + CHUNK_CODES]
            if self._plan.compact:
                permuted = out[: len(chunk)]
                bucket = int(np.searchsorted(offsets, np.uint32(i), "right")) - 1
                entries.restore((body, tails), offsets, (i, bucket, b), permuted)
            else:
                permuted = body[i * words : (i + CHUNK_CODES) * words]
            yield permuted, chunk
