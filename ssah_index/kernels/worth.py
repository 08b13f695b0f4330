"""Whether a search of tables is worth going on: what it will cost, in place of a scan.

The next steps are judged by the sizes of the buckets that they would read, the hits by a small
sample of all codes: many hits may cost more than all the buckets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.cache import njit
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.signatures import BITMAP, CODES, INDICES, NUMBER, NUMBERS, QUERIES

PROBE_NS = 40.0
"""What a bucket costs, however small: two misses in the cache, overlapped."""
ENTRY_NS = 0.7
"""What a word of an entry costs, not in the cache."""
TAKE = 40
"""An entry within reach costs as much as so many others."""
WIDE = 3.0
"""Entries taken up, while the reach of the k-th hit is still wide, for each that stays."""
ROW_NS = 5.0
"""What a hit costs more than in a scan, beside its entry."""
SPENT = 0.05
"""Share of a scan's cost that may be lost before it is decided to scan."""

FLOATS = types.Array(types.float64, 1, "C")
LAYOUT = types.Tuple(
    (
        NUMBER,
        NUMBER,
        CODES,
        types.Array(types.uint64, 3, "C", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        QUERIES,
        types.UniTuple(types.float64, 2),
    )
)
"""(b; 1 for the compact form; lut; masks uint64 (m, m, words), the key of each table u as entries
of each table t hold it; float64 (b + 1,), how many keys there are at each distance; uint64
(s, words), a sample of the codes, not permuted; (rows that each of it stands for, share of the
codes that are distinct))."""
QUERY = types.Array(types.uint64, 1, "C", readonly=True)
STAND = types.Tuple((types.Array(types.uint64, 2, "C"), NUMBERS, NUMBERS, FLOATS))
"""(views uint64 (m, words): the query as entries of each table lie; keys int64 (m,); radii int64
(m,), -1 before the first step; costs float64 (m,): nanoseconds a bucket of the next step)."""


@njit(NUMBER(INDICES, FLOATS, LAYOUT), nogil=True, cache=True)
def cheapest(radii: Any, costs: Any, layout: Any) -> Any:
    """The table whose next step is estimated to cost least, or -1 if one knows all entries."""
    patterns = layout[4]
    best, least = -1, np.inf
    for t in range(radii.size):
        if radii[t] + 1 == patterns.size:
            return -1
        cost = costs[t] * patterns[radii[t] + 1]
        if cost < least:
            best, least = t, cost
    return best


@njit(types.float64(STAND, LAYOUT, NUMBER), nogil=True, cache=True)
def ahead_ns(stand: Any, layout: Any, steps: int) -> Any:
    """Estimate what so many more steps cost, each the cheapest there is."""
    _, _, radii, costs = stand
    radii, patterns = radii.copy(), layout[4]
    total = 0.0
    for _ in range(steps):
        t = cheapest(radii, costs, layout)
        if t < 0:
            break
        radii[t] += 1
        total += costs[t] * patterns[radii[t]]
    return total


@njit(
    types.UniTuple(types.float64, 2)(QUERY, LAYOUT, BITMAP, NUMBER, NUMBER), nogil=True, cache=True
)
def _foresee(query: Any, layout: Any, bitmap: Any, k: int, farthest: int) -> Any:
    """Estimate by the sample how far hits reach, rather too far, and nanoseconds to take them.

    It cannot see fewer rows than each of it stands for, and counts no such ones. Of a list, no
    more rows are looked at than are wanted.
    """
    sample, (each, distinct) = layout[5], layout[6]
    counts = np.zeros(64 * query.size + 1, np.int64)
    for i in range(sample.shape[0]):
        d = np.uint64(0)
        for w in range(query.size):
            d += popcount(sample[i, w] ^ query[w])
        counts[d] += 1
    wanted = k / each
    if bitmap.size:
        some, step = 0, max(bitmap.size // 256, 1)
        for i in range(0, bitmap.size, step):
            some += popcount(bitmap[i])
        wanted *= 64.0 * ((bitmap.size - 1) // step + 1) / max(some, 1)
    reach, met = 0, counts[0]
    while reach < farthest and met < wanted + 2 * np.sqrt(wanted) + 1:
        reach += 1
        met += counts[reach]
    taken_ns = met * each * distinct * TAKE * ENTRY_NS
    if wanted < sample.shape[0]:
        taken_ns *= WIDE
    return np.float64(reach), taken_ns + min(np.float64(met), wanted) * each * ROW_NS


@njit(
    types.boolean(STAND, LAYOUT, QUERY, BITMAP, types.UniTuple(NUMBER, 3), FLOATS),
    nogil=True,
    cache=True,
)
def worth(stand: Any, layout: Any, query: Any, bitmap: Any, sought: Any, costs: Any) -> Any:
    """Whether to go on, in place of a scan.

    sought: (k, reach, bound); costs: float64 (4,), nanoseconds (spent; of a scan; foreseen, of
    hits) and the reach foreseen, -1 before that, which is written here.
    """
    (k, reach, bound), each = sought, layout[6][0]
    few = k < each and bitmap.size == 0
    if few and costs[0] + ahead_ns(stand, layout, 1) <= SPENT * costs[1]:
        return True
    if costs[3] < 0:
        costs[3], costs[2] = _foresee(query, layout, bitmap, k, reach)
    steps = 1
    if max(costs[0], costs[2]) + ahead_ns(stand, layout, 1) > SPENT * costs[1]:
        steps = max(min(np.int64(costs[3]), reach) + 1 - bound, 1)
    return max(costs[0], costs[2]) + ahead_ns(stand, layout, steps) <= costs[1]
