"""Exact search of tables: buckets near the query's keys are read until no nearer code can be.

Once table t has been probed to radius r[t] in its key, a code that was not met differs from the
query in more than r[t] bits of each key, so in ``bound = sum(r[t] + 1)`` bits or more. A search is
over when the bound exceeds the distance it still looks for; every row at that distance
has been met, so ties are complete. Each step widens the table that is estimated to cost least.
A code met before in another table is recognised by its distance in that table's key alone.

Several cores may share one query: each takes every so many groups of buckets of each step. They
need not wait for each other, since steps follow from the query and the tables alone, and a core
that stops early has proof that whatever it leaves out is farther than k others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.cache import njit
from ssah_index.kernels.entries import body_type, key_at, permute, rotate
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.postings import POOL, POSTINGS, UINTS, weigh
from ssah_index.kernels.prefetch import prefetch
from ssah_index.kernels.signatures import (
    CODES,
    FLAG,
    NOTHING,
    NUMBER,
    NUMBERS,
    QUERIES,
    TABLE,
)
from ssah_index.kernels.worth import (
    ENTRY_NS,
    LAYOUT,
    PROBE_NS,
    STAND,
    TAKE,
    cheapest,
    worth,
)

GROUP = 64
"""Buckets that are looked up together, so that their misses overlap."""
AHEAD = 8
"""Buckets between the one whose entries are asked for and the one that is looked at; a hint for all
the lines of a bucket saves a quarter of the time that one for its first line leaves."""
STRIP = 64
"""Entries that are looked at one by one only if the least of their distances is within reach."""
FAR = np.uint64(65535)
GIVEN_UP = -1
"""Number of hits of a query for which a scan is cheaper."""

OUT = types.Tuple((POOL, TABLE))
BUCKETS = types.Tuple((NUMBERS, NUMBERS, NUMBERS))
"""(flips, starts, stops), int64 (GROUP,)."""


@njit(NUMBER(NUMBERS, NUMBER, NUMBERS), nogil=True, cache=True)
def _next_flips(flips: Any, r: int, out: Any) -> Any:
    """Write the next patterns of r bits, ascending; return how many, at most out.size.

    flips: int64 (2,): the next pattern, and what all patterns are below; advanced.
    """
    x, limit = flips[0], flips[1]
    count = 0
    while x < limit and count < out.size:
        out[count] = x
        count += 1
        if r == 0:
            x = limit
        else:
            low = x & -x
            high = x + low
            x = high | (((x ^ high) >> 2) // low)
    flips[0] = x
    return count


@njit(NUMBER(UINTS, NUMBER, NUMBER, BUCKETS), nogil=True, cache=True)
def _look_up(offsets: Any, key: int, found: int, buckets: Any) -> Any:
    """Write the borders of the first ``found`` buckets; return how many entries they have."""
    flips, starts, stops = buckets
    total = 0
    for g in range(found):
        bucket = key ^ flips[g]
        starts[g] = offsets[bucket]
        stops[g] = offsets[bucket + 1]
        total += stops[g] - starts[g]
    return total


@njit(NOTHING(LAYOUT, UINTS, NUMBER, STAND, BUCKETS), nogil=True, cache=True)
def _estimate(layout: Any, offsets: Any, t: int, stand: Any, buckets: Any) -> None:
    """Estimate what the next step of table t costs, by its first buckets."""
    b = layout[0]
    views, keys, radii, costs = stand
    if radii[t] == b:
        return
    flips = np.empty(2, np.int64)
    flips[0], flips[1] = (1 << (radii[t] + 1)) - 1, 1 << b
    found = _next_flips(flips, radii[t] + 1, buckets[0])
    size = (1 << b) + 1
    entries = _look_up(offsets[t * size : (t + 1) * size], keys[t], found, buckets)
    costs[t] = PROBE_NS + ENTRY_NS * views.shape[1] * entries / found


@njit(NOTHING(CODES, LAYOUT, UINTS, STAND, BUCKETS), nogil=True, cache=True)
def _face(query: Any, layout: Any, offsets: Any, stand: Any, buckets: Any) -> None:
    """Stand before the tables with a query, which is not permuted."""
    b, compact, lut = layout[:3]
    views, keys, radii, _ = stand
    code = np.empty(query.size, np.uint64)
    permute(query, lut, query.size, code)
    radii[:] = -1
    for t in range(keys.size):
        keys[t] = key_at(code, 0, t * b, b)
        if compact:
            views[t, 0] = rotate(code[0], t * b) >> np.uint64(b)
        else:
            views[t] = code
        _estimate(layout, offsets, t, stand, buckets)


@njit(NOTHING(TABLE, NUMBER, NUMBER, NUMBERS), nogil=True, cache=True)
def _share(hist: Any, part: int, k: int, state: Any) -> None:
    """Lessen the reach to what all cores together have found; state: see `_take`."""
    reach = state[1]
    within = hist[:, : reach + 1].sum()
    while within - hist[:, reach].sum() >= k:
        within -= hist[:, reach].sum()
        reach -= 1
    state[1], state[2] = reach, hist[part, : reach + 1].sum()


@njit(NUMBER(POOL, NUMBER, NUMBER, NUMBER), nogil=True, cache=True)
def _sift(pool: Any, begin: int, end: int, reach: int) -> Any:
    """Keep candidates within reach; return where they end."""
    kept = begin
    for j in range(begin, end):
        if np.int64(pool[j] >> np.uint64(32)) <= reach:
            pool[kept] = pool[j]
            kept += 1
    return kept


@njit(nogil=True)
def _take(entries: Any, some: Any, near: Any, asked: Any, out: Any) -> Any:
    """Take up some entries, unless another table had them; return whether there was room.

    entries: (body, tails, refs) of all tables; some: int64, which; near: (view uint64 (words,) and
    masks uint64 (m, words), as entries of the table lie; radii; table; distance of its key); asked:
    (k, postings); out: (pool; hist int64 (bits + 1,), rows taken up by distance; state int64 (4,):
    end of the pool's candidates, reach, rows within it, where the query's candidates begin).
    """
    body, tails, refs = entries
    view, masks, radii, table, base = near
    k, postings = asked
    pool, hist, state = out
    for j in some:
        d, met = base, False
        for u in range(radii.size):
            of_key, whole = np.uint64(0), np.uint64(0)
            for w in range(view.size):
                word = np.uint64(body[j * view.size + w])
                if tails.size:
                    word |= np.uint64(tails[j]) << np.uint64(32)
                of_key += popcount((word ^ view[w]) & masks[u, w])
                whole += popcount(word ^ view[w])
            met |= u != table and np.int64(of_key) <= radii[u]
            d = base + np.int64(whole)
        weight = np.int64(0) if met or d > state[1] else weigh(refs[j], k, postings)
        if weight == 0:
            continue
        if state[0] == pool.size:
            state[0] = _sift(pool, state[3], state[0], state[1])
            if 2 * state[0] > pool.size:
                return False
        pool[state[0]] = (np.uint64(d) << np.uint64(32)) | np.uint64(refs[j])
        state[0] += 1
        state[2] += weight
        hist[d] += weight
        while state[2] - hist[state[1]] >= k:
            state[2] -= hist[state[1]]
            state[1] -= 1
    return True


@njit(inline="always")
def _ask(body: Any, place: Any, buckets: Any, g: Any) -> None:
    """Ask for the words of bucket g, or for the first of them.

    place: (first entry of the table, words of a code, number of buckets).
    """
    first, words, found = place
    if g < found:
        start, stop = (first + buckets[1][g]) * words, (first + buckets[2][g]) * words
        for i in range(start, min(stop, start + 128), 8):
            prefetch(body, i)


@njit(nogil=True)
def _room(m: int, words: int) -> Any:
    """What a kernel notes: stand, buckets, flips, state, entries within reach of a strip."""
    stand = np.empty((m, words), np.uint64), np.empty(m, np.int64), np.empty(m, np.int64)
    buckets = np.empty(GROUP, np.int64), np.zeros(GROUP, np.int64), np.zeros(GROUP, np.int64)
    flips, state = np.empty(2, np.int64), np.zeros(4, np.int64)
    return (*stand, np.empty(m)), buckets, flips, state, np.empty(STRIP + 1, np.int64)


@njit(NOTHING(OUT, NUMBER, NUMBER, NUMBER, NUMBERS), nogil=True, cache=True)
def _close(out: Any, q: int, k: int, bound: int, state: Any) -> None:
    """Write the span of a query; out: (pool, spans)."""
    pool, spans = out
    over = bound > state[1]
    state[0] = _sift(pool, state[3], state[0], state[1]) if over else state[3]
    spans[q, 0], spans[q, 1] = state[3], state[0]
    spans[q, 2] = min(k, state[2]) if over else GIVEN_UP


@njit(inline="always")
def _word(compact: Any, body: Any, tails: Any, place: Any) -> Any:
    """Word of an entry."""
    word = np.uint64(body[np.uint64(place)])
    if compact:
        word |= np.uint64(tails[np.uint64(place)]) << np.uint64(32)
    return word


@njit(inline="always")
def _distance(entries: Any, compact: Any, place: Any, view: Any) -> Any:
    """Distance of an entry; place: (which, distance of its key if that is left out, words)."""
    j, base, width = place
    d = np.uint64(base)
    for w in range(width):
        d += popcount(_word(compact, entries[0], entries[1], j * width + w) ^ view[w])
    return d


def _signature(compact: bool) -> Any:
    body_t = types.Array(body_type(compact), 1, "C", readonly=True)
    bytes_t = types.Array(types.uint8, 1, "C", readonly=True)
    tables_t = types.Tuple((UINTS, body_t, bytes_t, UINTS))
    asked_t = types.Tuple((NUMBER, NUMBER, types.float64))
    core_t = types.Tuple((NUMBER, TABLE))
    return NUMBER(QUERIES, LAYOUT, tables_t, POSTINGS, asked_t, FLAG, core_t, OUT)


@cache
def probe(words: int, compact: bool) -> Callable[..., int]:
    """Compile the search for codes of ``words`` words, 0: of any number.

    It finds the candidates of queries, and returns of how many: fewer where the pool is full.

    queries: uint64 (nq, words), not permuted; tables: (offsets, body, tails, refs) of all tables;
    asked: (k, greatest distance, nanoseconds of a scan); core: (number of this core; hist int64
    (cores, bits + 1), zeroed where cores share one query); out: (pool; spans int64 (nq, 3): where
    in the pool the candidates of each query begin and end, and how many hits it has, or
    `GIVEN_UP`).
    """

    @njit(_signature(compact), nogil=True, cache=True)
    def kernel(
        queries: Any, layout: Any, tables: Any, postings: Any,
        asked: Any, flag: Any, core: Any, out: Any,
    ) -> Any:  # fmt: skip
        offsets, body, tails, refs = tables
        (k, farthest, scan_ns), (part, hist), b, patterns = asked, core, layout[0], layout[4]
        width = words if words else queries.shape[1]
        size, m = (1 << b) + 1, offsets.size // ((1 << b) + 1)
        stand, buckets, flips, state, some = _room(m, width)
        views, keys, radii, nexts = stand
        costs = np.zeros(4)
        entries, within, taken = (body, tails, refs), (k, postings), (out[0], hist[part], state)
        for q in range(queries.shape[0]):
            _face(queries[q], layout, offsets, stand, buckets)
            hist[part] = 0
            state[1], state[2], state[3], bound = farthest, 0, state[0], 0
            costs[0], costs[1], costs[3] = 0.0, scan_ns, -1.0
            while bound <= state[1] and worth(
                stand, layout, queries[q], postings[4], (k, state[1], bound), costs
            ):
                t = cheapest(radii, nexts, layout)
                radii[t] += 1
                base, first = radii[t] if compact else 0, t * (refs.size // m)
                view, near = views[t], (views[t], layout[3][t], radii, t, base)
                flips[0], flips[1] = (1 << radii[t]) - 1, 1 << b
                found, turn, looked = _next_flips(flips, radii[t], buckets[0]), 0, 0
                while found:
                    if flag[0]:
                        return q
                    found = found if turn % hist.shape[0] == part else 0
                    looked += _look_up(offsets[t * size :], keys[t], found, buckets)
                    for g in range(found):
                        _ask(body, (first, width, found), buckets, g + AHEAD)
                        stop = first + buckets[2][g]
                        for i in range(first + buckets[1][g], stop, STRIP):
                            end, least, count = min(i + STRIP, stop), FAR, 0
                            for j in range(i, end):
                                d = _distance(entries, compact, (j, base, width), view)
                                least = min(least, d)
                            if np.int64(least) > state[1]:
                                continue
                            for j in range(i, end):
                                d = _distance(entries, compact, (j, base, width), view)
                                some[count] = j
                                count += np.int64(d) <= state[1]
                            looked += TAKE * count
                            if not _take(entries, some[:count], near, within, taken):
                                return q
                    found, turn = _next_flips(flips, radii[t], buckets[0]), turn + 1
                costs[0] += (
                    PROBE_NS * patterns[radii[t]] + ENTRY_NS * width * looked * hist.shape[0]
                )
                bound = bound + 1 if radii[t] < b else 64 * width + 1
                _share(hist, part, k, state)
                _estimate(layout, offsets, t, stand, buckets)
            _close(out, q, k, bound, state)
        return queries.shape[0]

    return kernel
