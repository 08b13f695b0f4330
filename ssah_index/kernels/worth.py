"""Which step of a search of tables comes next, and whether it is worth it: a scan may cost less.

Costs are nanoseconds of one core, as measured (docs/design/0006); wrong ones cost time and no hit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from ssah_index.kernels.signatures import CODES, INDICES, NUMBER, NUMBERS

PROBE_NS = 40.0
"""What a bucket costs, however small: two misses in the cache, overlapped."""
ENTRY_NS = 0.7
"""What a word of an entry costs, not in the cache."""
TAKE = 40
"""An entry within reach costs as much as so many others."""
HIT_NS = 45.0
"""What a hit costs more than in a scan, from taking it to putting it in its place."""
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
    )
)
"""(b; 1 for the compact form; lut; masks uint64 (m, m, words), the key of each table u as entries
of each table t hold it; float64 (b + 1,), how many keys there are at each distance)."""
STAND = types.Tuple((types.Array(types.uint64, 2, "C"), NUMBERS, NUMBERS, FLOATS))
"""(views uint64 (m, words): the query as entries of each table lie; keys int64 (m,); radii int64
(m,), -1 before the first step; costs float64 (m,): nanoseconds a bucket of the next step)."""
ASKED = types.Tuple((NUMBER, types.boolean))
"""(k, whether there is a mask)."""
TAKEN = types.Tuple((types.Array(types.uint64, 1, "C"), NUMBERS, NUMBERS))
"""(pool; hist int64 (bits + 1,), rows taken up by distance; state int64 (4,): end of the pool's
candidates, reach, rows within it, where the query's candidates begin)."""


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
def _ahead_ns(stand: Any, layout: Any, steps: int) -> Any:
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


@njit(types.float64(INDICES, LAYOUT, NUMBER, NUMBER), nogil=True, cache=True)
def _share_met(radii: Any, layout: Any, bits: int, distance: int) -> Any:
    """Of all codes at a distance, those that were met if the bits that differ lie anywhere."""
    part = layout[0] / bits
    missed = 1.0
    for t in range(radii.size):
        of_key, term = 0.0, (1.0 - part) ** distance
        for r in range(min(radii[t], distance) + 1):
            of_key += term
            term *= (distance - r) / (r + 1) * part / (1.0 - part + 1e-9)
        missed *= max(1.0 - of_key, 0.0)
    return 1.0 - missed


@njit(types.float64(INDICES, LAYOUT, NUMBERS, NUMBER, NUMBERS), nogil=True, cache=True)
def _foresee(radii: Any, layout: Any, hist: Any, k: int, state: Any) -> Any:
    """Estimate how many hits a query will have: each found stands for those not met yet."""
    bits, total = hist.size - 1, 0.0
    for d in range(state[1] + 1):
        if hist[d]:
            total += hist[d] / max(_share_met(radii, layout, bits, d), 1e-3)
    return min(total, float(k))


@njit(types.float64(STAND, LAYOUT, types.boolean), nogil=True, cache=True)
def _next_ns(stand: Any, layout: Any, all_taken: bool) -> Any:
    """Estimate what the next step costs; ``all_taken``: every entry of it lies within reach."""
    cost = _ahead_ns(stand, layout, 1)
    t = cheapest(stand[2], stand[3], layout)
    if all_taken and t >= 0:
        cost += TAKE * (cost - PROBE_NS * layout[4][stand[2][t] + 1])
    return cost


@njit(
    types.boolean(STAND, LAYOUT, types.UniTuple(types.float64, 2), ASKED, TAKEN, NUMBER),
    nogil=True,
    cache=True,
)
def worth(stand: Any, layout: Any, costs: Any, asked: Any, taken: Any, bound: int) -> Any:
    """Whether to go on until ``bound`` exceeds the reach, in place of a scan.

    costs: (nanoseconds spent, of a scan).
    """
    spent, scan_ns = costs
    k, masked = asked
    _, hist, state = taken
    next_ns = _next_ns(stand, layout, masked and state[2] < k)
    if spent + HIT_NS * state[2] + next_ns <= SPENT * scan_ns:
        return True
    steps, hits = state[1] + 1 - bound, float(min(state[2], k))
    if HIT_NS * hits > SPENT * scan_ns / 2:
        hits = _foresee(stand[2], layout, hist, k, state)
    return spent + HIT_NS * hits + _ahead_ns(stand, layout, steps) <= scan_ns
