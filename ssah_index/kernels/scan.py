"""Exact search of arrays of codes by block minima, in two passes over all of them.

Pass 1 finds the least distance of each query to each block (`minima`), the pick between
them where hits can be (`pick`), and pass 2 the hits themselves (`hits`). All extents are
one search: pass 2 looks into at most k blocks a query, however many extents there are, and
what it writes needs no merging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import TooManyHitsError
from ssah_index.kernels import team
from ssah_index.kernels.hits import count_hits, emit_hits
from ssah_index.kernels.minima import masked_minima, row_minima, tile_minima, wide_minima
from ssah_index.kernels.pick import list_blocks, measure_reach
from ssah_index.types import Bitmap, Hits, SearchSpec, Words

BLOCK_BYTES = 8192
"""Codes of one block; with the queries it stays in the first-level cache."""
FEW_BLOCK_BYTES = 16384
"""The same for few queries, which read it once: what a block costs beside is halved."""
GROUP_BYTES = 64 << 20
"""Most memory for minima and counts; larger batches are searched group by group."""
FEW_QUERIES = 4
"""Fewer than these read codes as they lie; more are worth a tile."""
MOST_WORDS = 8
"""Kernels are compiled for each number of words up to this, and once for all above."""
NARROW_WORDS = 4
"""Codes of more words than this fill a vector, and a few queries read them so."""
TASK_QUERIES = 256
"""Most queries of one kernel call."""
TASK_PAIRS = 1 << 30
"""Most words that one kernel call compares: 0.04 to 0.3 s on a core."""
TASK_BYTES = 2 << 20
"""Fewest codes worth a kernel call of their own."""
INLINE_PAIRS = 1 << 24
"""Words that are compared, in 0.5 ms or so, about as soon as another thread is woken."""
NO_BITMAP = np.empty(0, np.uint64)
"""What kernels take where all rows are allowed."""
EVERYTHING = 1 << 62
"""Hits asked for by a search without k."""

Mask: TypeAlias = tuple[Bitmap, int]
Kept: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Blocks (total,), numbered within their extent; borders (nq, extents + 1) of those of a query
in an extent; greatest distance of interest (nq,)."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Codes that lie side by side in memory or in one file."""

    words: Words
    """(n, words), C-contiguous."""
    first_row: int
    """Row of the first code."""
    prefetch: Callable[[], None] | None = None
    """Asks for the codes to be read ahead; called before the extent in front is scanned."""
    whole: bool = False
    """Whether all its rows are allowed, so that no mask needs to be looked at."""


class Layout:
    """How extents are cut into blocks; no block reaches over the end of an extent."""

    def __init__(self, extents: Sequence[Extent], queries: Words) -> None:
        self.extents = extents
        self.words = queries.shape[1]
        self.bits = 64 * self.words
        size = FEW_BLOCK_BYTES if len(queries) < FEW_QUERIES else BLOCK_BYTES
        self.block = max(size // (8 * self.words) // 64 * 64, 64)
        counts = [-(-len(extent.words) // self.block) for extent in extents]
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])

    @property
    def blocks(self) -> int:
        """Of all extents."""
        return int(self.starts[-1])

    def group(self, k: int | None) -> int:
        """Queries whose minima, kept blocks and counts fit `GROUP_BYTES`."""
        minima = self.blocks * (1 if self.bits < 255 else 2)
        kept = 16 * (self.blocks if k is None else min(k, self.blocks))
        counts = 8 * (self.bits + 1) * (2 * len(self.extents) + 3)
        return max(GROUP_BYTES // (minima + kept + counts), 1)


def scan(extents: Sequence[Extent], queries: Words, spec: SearchSpec) -> Hits:
    """Find what a spec asks for.

    Parameters
    ----------
    extents : sequence of Extent
        In the order of their rows.
    queries : uint64 (nq, words), C-contiguous
    spec : SearchSpec

    Returns
    -------
    Hits
        Ascending (distance, row).

    Raises
    ------
    TooManyHitsError
        If there are more than ``spec.limit``.
    DeadlineError, CancelledError
        As ``spec.stop`` says.

    Notes
    -----
    Reads 8 * n * words bytes once a group of queries. Extra memory: the hits (12 bytes
    each, twice while groups are joined), and `GROUP_BYTES`, or more only if a single query
    needs more: at most 18 bytes a block of 8 KiB of codes.
    """
    layout = Layout(extents, queries)
    step = layout.group(spec.k)
    parts: list[Hits] = []
    left = spec.limit
    for i in range(0, len(queries), step):
        parts.append(_Group(layout, queries[i : i + step], spec).search(left))
        if left is not None:
            left -= len(parts[-1].rows)
    return concatenate(parts)


def concatenate(parts: list[Hits]) -> Hits:
    """Join the answers of consecutive groups of queries."""
    if len(parts) == 1:
        return parts[0]
    counts = [np.diff(part.lims) for part in parts]
    return Hits(
        np.concatenate([part.distances for part in parts] or [np.empty(0, np.int32)]),
        np.concatenate([part.rows for part in parts] or [np.empty(0, np.int64)]),
        np.concatenate([np.zeros(1, np.int64), *counts]).cumsum(),
    )


def too_many(spec: SearchSpec) -> TooManyHitsError:
    """What to raise where there are more hits than the limit."""
    return TooManyHitsError(
        f"there are more hits than the limit of {spec.limit}",
        f"at most {spec.limit} for all queries together",
        "Lower k or the radius, ask fewer queries at once, or raise the limit.",
    )


class _Group:
    """A group of queries on its way through both passes."""

    def __init__(self, layout: Layout, queries: Words, spec: SearchSpec) -> None:
        self._layout = layout
        self._queries = queries
        self._spec = spec
        self._bitmap = NO_BITMAP if spec.allowed is None else spec.allowed
        self._kind = layout.words if layout.words <= MOST_WORDS else 0

    def search(self, limit: int | None) -> Hits:
        """Hits of the group, of which there may be at most ``limit``."""
        layout, nq = self._layout, len(self._queries)
        minima = np.empty((nq, layout.blocks), np.uint8 if layout.bits < 255 else np.uint16)
        self._run(self._first_pass(minima), nq * layout.blocks)
        kept = self._pick(minima)
        del minima
        strips = np.empty(len(kept[0]), np.uint64)
        counts = np.zeros((len(layout.extents), nq, layout.bits + 1), np.int64)
        count, emit = count_hits(self._kind), emit_hits(self._kind)
        self._run(
            self._second_pass(count, kept, lambda e, q: ((strips, counts[e, q]),)), len(strips)
        )
        lims, places = self._places(counts, limit)
        out = np.empty(lims[-1], np.int32), np.empty(lims[-1], np.int64)
        ends = lims[1:]
        self._run(
            self._second_pass(emit, kept, lambda e, q: ((strips, ends[q], places[e, q]), out)),
            len(strips),
        )
        return Hits(*out, lims)

    def _run(self, tasks: Sequence[team.Task], visits: int) -> None:
        """Run tasks that visit a block for a query so many times."""
        small = visits * self._layout.block * self._layout.words <= INLINE_PAIRS
        team.run(tasks, self._spec.threads, self._spec.stop, inline=small)

    def _mask(self, extent: Extent, first_row: int) -> Mask:
        return NO_BITMAP if extent.whole else self._bitmap, first_row

    def _first_pass(self, minima: NDArray[Any]) -> list[team.Task]:
        """Kernel calls by extent, run of blocks and queries."""
        layout, flag = self._layout, self._spec.stop.flag
        tasks: list[team.Task] = []
        for number, extent in enumerate(layout.extents):
            codes = extent.words.reshape(-1)
            ahead = layout.extents[number + 1 : number + 2]
            kernel = self._first_kernel(extent)
            for b, end in self._runs_of_blocks(number):
                row = (b - layout.starts[number]) * layout.block
                stop = (end - layout.starts[number]) * layout.block
                part = codes[row * layout.words : stop * layout.words]
                mask = self._mask(extent, extent.first_row + row)
                for q in range(0, len(self._queries), TASK_QUERIES):
                    some = slice(q, q + TASK_QUERIES)
                    out = minima[some, b:end]
                    call = partial(kernel, part, self._queries[some], layout.block, mask, flag, out)
                    tasks.append(_after_prefetch(ahead, call) if row == q == 0 else call)
        return tasks

    def _runs_of_blocks(self, number: int) -> Iterator[tuple[int, int]]:
        """Cut the blocks of an extent, as numbered over all extents.

        A run has half of what is left for each core, over all extents: long runs first, short
        ones at the end, so that cores end together.
        """
        layout = self._layout
        block_words = layout.words * layout.block
        least = max(TASK_BYTES // (8 * block_words), 1)
        most = max(TASK_PAIRS // (block_words * min(len(self._queries), TASK_QUERIES)), 1)
        b, end = int(layout.starts[number]), int(layout.starts[number + 1])
        while b < end:
            share = (layout.blocks - b) // (2 * self._spec.threads)
            step = min(max(share, least), most)
            yield b, min(b + step, end)
            b += step

    def _first_kernel(self, extent: Extent) -> Callable[..., None]:
        words, few = self._layout.words, len(self._queries) < FEW_QUERIES
        if words > (NARROW_WORDS if few else MOST_WORDS):
            return wide_minima(words)
        if not few:
            return tile_minima(words)
        masked = self._bitmap.size and not extent.whole
        return (masked_minima if masked else row_minima)(words)

    def _pick(self, minima: NDArray[Any]) -> Kept:
        """Find the blocks to look into."""
        spec, layout, nq = self._spec, self._layout, len(minima)
        k = EVERYTHING if spec.k is None else spec.k
        farthest = layout.bits if spec.radius is None else min(spec.radius, layout.bits)
        reach, needed, kept = (np.empty(nq, np.int64) for _ in range(3))
        measure_reach(layout.words)(minima, k, farthest, (reach, needed, kept))
        places = kept.cumsum() - kept
        blocks = np.empty(kept.sum(), np.int64)
        borders = np.empty((nq, len(layout.starts)), np.int64)
        list_blocks(layout.words)(minima, (reach, needed, places), layout.starts, borders, blocks)
        return blocks, borders, reach

    def _second_pass(
        self,
        kernel: Callable[..., None],
        kept: Kept,
        rest: Callable[[int, slice], tuple[Any, ...]],
    ) -> list[team.Task]:
        """Kernel calls by extent and queries; ``rest`` gives a call's last arguments."""
        blocks, borders, reach = kept
        layout, nq = self._layout, len(self._queries)
        step = -(-nq // (4 * self._spec.threads))
        tasks: list[team.Task] = []
        for number, extent in enumerate(layout.extents):
            codes = extent.words.reshape(-1)
            for q, stop in pairwise([*range(0, nq, step), nq]):
                some = slice(q, stop)
                first = np.ascontiguousarray(borders[some, number])
                last = np.ascontiguousarray(borders[some, number + 1])
                if (first == last).all():
                    continue
                looked = blocks, first, last, reach[some]
                mask = self._mask(extent, extent.first_row)
                head = codes, self._queries[some], layout.block, looked, mask
                tasks.append(partial(kernel, *head, self._spec.stop.flag, *rest(number, some)))
        return tasks

    def _places(
        self, counts: NDArray[np.int64], limit: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Borders of the queries' hits, and where each extent's hits at a distance begin."""
        spec = self._spec
        by_distance = counts.sum(axis=0)
        totals = by_distance.sum(axis=1)
        if spec.k is not None:
            totals = np.minimum(totals, spec.k)
        lims = np.concatenate([np.zeros(1, np.int64), totals.cumsum()])
        if limit is not None and lims[-1] > limit:
            raise too_many(spec)
        places = lims[:-1, None] + by_distance.cumsum(axis=1) - by_distance
        return lims, places + counts.cumsum(axis=0) - counts


def _after_prefetch(ahead: Sequence[Extent], call: team.Task) -> team.Task:
    """The call, once the next extent has been asked for."""
    prefetches = [extent.prefetch for extent in ahead if extent.prefetch is not None]
    if not prefetches:
        return call

    def task() -> None:
        for prefetch in prefetches:
            prefetch()
        call()

    return task
