"""Multi-index hashing: exact search that looks at few codes; the flat index where that is faster.

Relies on the kernels of `ssah_index.kernels.probe`; `mih_plan` chooses the shape of an index, and
`mih_build` fills its arrays.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.index.mih_build import build
from ssah_index.index.mih_plan import MihPlan, draw, plan, word_ns
from ssah_index.kernels import Extent, postings, probe, scan_allowed, team
from ssah_index.kernels.scan import EVERYTHING, FEW_QUERIES, MOST_WORDS, NO_BITMAP, too_many
from ssah_index.types import Hits, SearchSpec, Words

TASK_QUERIES = 64
"""Queries of one kernel call."""
POOL_SIZE = 1 << 14
"""Candidates of one kernel call, at least."""
CANDIDATE_NS = 15.0
"""What one costs; those that do not fit cost as much as a scan, which is done instead."""
MOST_CANDIDATES = 1 << 24
"""Candidates of one kernel call, at most."""
FORESEEN = 1 << 11
"""Codes of the sample by which hits are foreseen; a microsecond or two for each query."""
KEPT_CANDIDATES = 1 << 18
"""Room that a thread keeps for the next query."""
SHARED_NS = 1e6
"""What a query must cost for several cores to share it."""
BATCH_WORD_NS = 0.035
"""What a scan needs for a word, on one core, where queries share the reading."""
SCAN_NS = 30_000.0
"""What any scan costs beside."""
HIT_NS = 350.0
"""What a scan needs for each of the blocks that hits lie in."""
FULL_NS = 2000.0
"""The same where all its codes may be hits, since there are fewer blocks than hits wanted."""
GATHER_NS = 50.0
"""What it needs for each row that is allowed, where those are few."""
BITMAP_NS = 0.02
"""What it needs for a row that is not."""


@dataclass(slots=True)
class _Found:
    """Candidates of consecutive queries."""

    first: int
    """The first query."""
    pool: NDArray[np.uint64]
    spans: NDArray[np.int64]
    """See `ssah_index.kernels.probe.probe`."""


class _Scratch(threading.local):
    """Room for candidates that a thread keeps: to ask for it anew costs as much as a probe."""

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint64)

    def pool(self, size: int) -> NDArray[np.uint64]:
        """Room for so many candidates."""
        if size > KEPT_CANDIDATES:
            return np.empty(size, np.uint64)
        if len(self._kept) < size:
            self._kept = np.empty(size, np.uint64)
        return self._kept[:size]


_scratch = _Scratch()


class MihIndex:
    """Exact search by m tables, with the very answers of `FlatIndex`.

    Parameters
    ----------
    arrays : mapping of str to array
        As `build` returns them: in memory, or mapped from files.
    shape : MihPlan
        That they were built by.
    extents : sequence of Extent
        The codes they were built from, in the same order. They are read only where a scan is
        cheaper; rows may have moved since, as far as their order is the same.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], shape: MihPlan, extents: Sequence[Extent]
    ) -> None:
        self.extents = list(extents)
        self.shape = shape
        patterns = np.array([comb(shape.b, r) for r in range(shape.b + 1)], np.float64)
        self.tables = tuple(arrays[name] for name in ("offsets", "body", "tails", "refs"))
        sizes = np.array([len(extent.words) for extent in self.extents], np.int64)
        starts = sizes.cumsum() - sizes
        firsts = np.array([extent.first_row for extent in self.extents], np.int64)
        sample = _sample(self.extents, shape.words)
        distinct = len(arrays["refs"]) / (shape.m * max(shape.n, 1))
        growth = max(shape.n, 1) / max(len(sample), 1), distinct
        keys = shape.b, int(shape.compact), shape.lut(), shape.masks(), patterns
        self.layout = *keys, sample, growth
        self.postings = arrays["lists"], arrays["list_rows"], starts, firsts - starts
        self.kernel = probe.probe(shape.words if shape.words <= MOST_WORDS else 0, shape.compact)

    @classmethod
    def of(
        cls, extents: Sequence[Extent], bits: int, budget_bytes: int, threads: int | None = None
    ) -> MihIndex:
        """Plan and build an index in memory; ``threads`` None: on all cores.

        Raises
        ------
        SpecError
            As `plan` does.
        """
        n = sum(len(extent.words) for extent in extents)
        shape = plan(draw(extents), n, bits, budget_bytes)
        arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
        return cls(build(extents, shape, arrays, threads=threads), shape, extents)

    def search(self, queries: Words, spec: SearchSpec) -> Hits:
        """Find rows near each query.

        Parameters
        ----------
        queries : uint64 (nq, words)
        spec : SearchSpec

        Returns
        -------
        Hits
            Ascending (distance, row).

        Raises
        ------
        TooManyHitsError, DeadlineError, CancelledError
            As the spec's limit and stop say.
        """
        return _Search(self, queries, spec).hits()


def _sample(extents: Sequence[Extent], words: int) -> Words:
    """Codes at even distances, by which a query's hits are foreseen; uint64 (s, words)."""
    n = sum(len(extent.words) for extent in extents)
    step = max(n // FORESEEN, 1)
    some = [extent.words[::step] for extent in extents]
    return np.concatenate([np.empty((0, words), np.uint64), *some])


class _Search:
    """One search on its way: candidates, then scans of what is cheaper so, then hits."""

    def __init__(self, index: MihIndex, queries: Words, spec: SearchSpec) -> None:
        self._index, self._queries, self._spec = index, queries, spec
        bitmap = NO_BITMAP if spec.allowed is None else spec.allowed
        self._postings = *index.postings, bitmap
        self._k = EVERYTHING if spec.k is None else spec.k
        bits = index.shape.bits
        self._farthest = bits if spec.radius is None else min(spec.radius, bits)
        self._scan_ns = self._estimate_scan()
        self._shared = len(queries) < spec.threads and self._scan_ns > SHARED_NS
        self._limit_ns = SHARED_NS if self._shared else self._scan_ns

    def hits(self) -> Hits:
        """The answer."""
        spec = self._spec
        if len(self._queries) == 1 and (hits := self._alone()) is not None:
            return hits
        pieces = self._candidates()
        counts = np.concatenate([np.empty(0, np.int64), *(piece.spans[:, 2] for piece in pieces)])
        given_up = np.flatnonzero(counts < 0)
        scanned = None
        if given_up.size == len(counts):
            return scan_allowed(self._index.extents, self._queries, spec)
        if given_up.size:
            scanned = scan_allowed(self._index.extents, self._queries[given_up], spec)
            counts[given_up] = np.diff(scanned.lims)
        lims = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=lims[1:])
        if spec.limit is not None and lims[-1] > spec.limit:
            raise too_many(spec)
        out = np.empty(lims[-1], np.int32), np.empty(lims[-1], np.int64)
        self._run([partial(self._emit, piece, lims, out) for piece in pieces])
        if scanned is not None:
            for i, query in enumerate(given_up.tolist()):
                here = slice(lims[query], lims[query + 1])
                there = slice(scanned.lims[i], scanned.lims[i + 1])
                out[0][here], out[1][here] = scanned.distances[there], scanned.rows[there]
        return Hits(*out, lims)

    def _alone(self) -> Hits | None:
        """The answer to a single query, in this thread, unless several cores are to share it.

        The same as for many, without what costs as much as a probe of the tables.
        """
        spec = self._spec
        pool, spans = _scratch.pool(self._room(self._limit_ns)), np.empty((1, 3), np.int64)
        hist = np.empty((1, self._index.shape.words * 64 + 1), np.int64)
        asked = self._k, self._farthest, self._limit_ns
        done = self._search(slice(0, 1), asked, (0, hist), (pool, spans))
        spec.stop.check()
        found = int(spans[0, 2]) if done else probe.GIVEN_UP
        if found < 0:
            return None if self._shared else scan_allowed(self._index.extents, self._queries, spec)
        if spec.limit is not None and found > spec.limit:
            raise too_many(spec)
        lims = np.array([0, found], np.int64)
        out = np.empty(found, np.int32), np.empty(found, np.int64)
        postings.emit(pool, spans, self._postings, lims, out)
        return Hits(*out, lims)

    def _run(self, tasks: Sequence[team.Task]) -> None:
        team.run(tasks, self._spec.threads, self._spec.stop, inline=len(tasks) == 1)

    def _candidates(self) -> list[_Found]:
        """Candidates of all queries, in their order."""
        nq, threads = len(self._queries), self._spec.threads
        if nq == 1:  # it was tried alone
            none = np.array([[0, 0, probe.GIVEN_UP]])
            return [self._share(_Found(0, np.empty(0, np.uint64), none))]
        step = min(TASK_QUERIES, max(-(-nq // threads), 1))
        found: list[list[_Found]] = [[] for _ in range(0, nq, step)]
        self._run(
            [
                partial(self._probe, i * step, min((i + 1) * step, nq), pieces)
                for i, pieces in enumerate(found)
            ]
        )
        pieces = [piece for some in found for piece in some]
        if self._shared:
            return [self._share(piece) if piece.spans[0, 2] < 0 else piece for piece in pieces]
        return pieces

    def _probe(self, first: int, end: int, found: list[_Found]) -> None:
        """Find the candidates of some queries on this core."""
        flag, size = self._spec.stop.flag, self._room(self._limit_ns)
        asked = self._k, self._farthest, self._limit_ns
        hist = np.empty((1, self._index.shape.words * 64 + 1), np.int64)
        while first < end and not flag[0]:
            piece = _Found(first, np.empty(size, np.uint64), np.empty((end - first, 3), np.int64))
            done = self._search(slice(first, end), asked, (0, hist), (piece.pool, piece.spans))
            if done == 0:
                piece.spans[0] = 0, 0, probe.GIVEN_UP
                done = 1
            piece.spans = piece.spans[:done]
            found.append(piece)
            first += done

    def _room(self, scan_ns: float) -> int:
        """Candidates that a kernel call has room for."""
        return int(min(max(scan_ns / CANDIDATE_NS, POOL_SIZE), MOST_CANDIDATES))

    def _share(self, piece: _Found) -> _Found:
        """Find the candidates of a piece's only query on several cores."""
        cores, some = self._spec.threads, slice(piece.first, piece.first + 1)
        asked, size = (self._k, self._farthest, self._scan_ns), self._room(self._scan_ns)
        hist = np.zeros((cores, self._index.shape.words * 64 + 1), np.int64)
        pools, spans = np.empty((cores, size), np.uint64), np.full((cores, 1, 3), probe.GIVEN_UP)
        outs = zip(pools, spans, strict=True)
        self._run(
            [partial(self._search, some, asked, (core, hist), out) for core, out in enumerate(outs)]
        )
        if (spans[:, 0, 2] < 0).any():
            return piece
        pool = np.concatenate([pools[i, : spans[i, 0, 1]] for i in range(cores)])
        total = min(self._k, int(hist.sum()))
        return _Found(piece.first, pool, np.array([[0, len(pool), total]]))

    def _search(self, some: slice, asked: Any, core: Any, out: Any) -> Any:
        index = self._index
        return index.kernel(
            self._queries[some],
            index.layout,
            index.tables,
            self._postings,
            asked,
            self._spec.stop.flag,
            core,
            out,
        )

    def _emit(self, piece: _Found, lims: NDArray[np.int64], out: Any) -> None:
        here = lims[piece.first : piece.first + len(piece.spans) + 1]
        postings.emit(piece.pool, piece.spans, self._postings, here, out)

    def _estimate_scan(self) -> float:
        """Nanoseconds of a scan for one query, of all of these."""
        nq, shape, spec = len(self._queries), self._index.shape, self._spec
        words = shape.n * shape.words
        share = 1.0
        if spec.allowed is not None:
            some = spec.allowed[:: max(len(spec.allowed) // 256, 1)]
            share = float(np.bitwise_count(some).sum()) / (64 * len(some))
        scan_ns = words * (word_ns(words) if nq < FEW_QUERIES else BATCH_WORD_NS)
        if spec.k is not None:
            blocks = words / 2048
            scan_ns += self._k * HIT_NS if self._k < blocks else blocks * FULL_NS
        gather_ns = shape.n * (share * GATHER_NS + BITMAP_NS)
        return min(scan_ns, gather_ns) + SCAN_NS / max(nq, 1)
