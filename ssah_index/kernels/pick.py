"""Between the passes: how far the hits of each query reach, and which blocks can hold them.

The k-th smallest block minimum T bounds the k-th distance, so hits lie in the blocks whose
minimum is below T (fewer than k) and, in row order, in as many at T as are still needed:
each of those holds a code at T, and any row left out stands behind k better ones. At most
k blocks are looked into, even if all codes are equal, and ties fall to the least row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.cache import njit
from ssah_index.kernels.signatures import (
    INDICES,
    NOTHING,
    NUMBER,
    NUMBERS,
    TABLE,
    minima_type,
)

STRIP = 64
"""Blocks that are looked at one by one only if the least of their minima is low enough: the
scan's own idea once more, 11 us for 100,000 blocks and k = 10, against 160 without. Strips are
slices, since an index that Numba thinks might be negative keeps LLVM from vectorising."""


@njit(types.UniTuple(NUMBER, 2)(INDICES, NUMBER, NUMBER), nogil=True, cache=True)
def _reach(counts: Any, farthest: int, k: int) -> Any:
    """The distance, at most ``farthest``, within which lie k, and how many lie below it."""
    below, t = np.int64(0), np.int64(0)
    while t < farthest and below + counts[t] < k:
        below += counts[t]
        t += 1
    return t, below


@cache
def measure_reach(words: int) -> Callable[..., None]:
    """Compile the kernel that finds T; ``words`` decides the type of the minima."""
    minima_t = types.Array(minima_type(words), 2, "C", readonly=True)
    outs = types.UniTuple(NUMBERS, 3)

    @njit(NOTHING(minima_t, NUMBER, NUMBER, outs), nogil=True, cache=True)
    def kernel(minima: Any, k: int, farthest: int, out: Any) -> None:
        """For each query the greatest distance of interest, and how many blocks to keep.

        minima: (nq, blocks); k: hits wanted; farthest: greatest distance allowed, at most
        the code width; out: (reach, blocks at it that are needed, blocks kept), int64 (nq,).
        """
        reach, needed, kept = out
        counts: Any = np.empty(farthest + 2, np.int64)
        lowest: Any = np.empty(minima.shape[1] // STRIP + 1, np.int64)
        for q in range(minima.shape[0]):
            row = minima[q]
            counts[:] = 0
            for s in range(0, row.size, STRIP):
                strip = row[s : s + STRIP]
                least = strip[0]
                for i in range(strip.size):
                    least = min(least, strip[i])
                lowest[s // STRIP] = least
                counts[min(np.int64(least), farthest + 1)] += 1
            # k strips have a block within it, so k blocks do.
            bound, _ = _reach(counts, farthest, k)
            counts[:] = 0
            for s in range(0, row.size, STRIP):
                if lowest[s // STRIP] <= bound:
                    for least in row[s : s + STRIP]:
                        counts[min(np.int64(least), farthest + 1)] += 1
            reach[q], below = _reach(counts, farthest, k)
            needed[q] = min(counts[reach[q]], k - below)
            kept[q] = below + needed[q]

    return kernel


@cache
def list_blocks(words: int) -> Callable[..., None]:
    """Compile the kernel that lists the blocks to look into."""
    minima_t = types.Array(minima_type(words), 2, "C", readonly=True)
    wanted_t = types.UniTuple(INDICES, 3)

    @njit(NOTHING(minima_t, wanted_t, INDICES, TABLE, NUMBERS), nogil=True, cache=True)
    def kernel(minima: Any, wanted: Any, starts: Any, borders: Any, out: Any) -> None:
        """Write block numbers, ascending within a query.

        wanted: (reach, needed, places), int64 (nq,): as `measure_reach` found them, and
        where in ``out`` the blocks of each query begin; starts: int64 (extents + 1,), the
        first block of each extent; borders: int64 (nq, extents + 1), where in ``out`` the
        blocks of each extent begin; out: int64 (total,), numbered within their extent.
        """
        reach, needed, places = wanted
        for q in range(minima.shape[0]):
            row = minima[q]
            place, tied, limit = places[q], needed[q], reach[q]
            for e in range(starts.size - 1):
                borders[q, e] = place
                for s in range(starts[e], starts[e + 1], STRIP):
                    strip = row[s : min(s + STRIP, starts[e + 1])]
                    least = strip[0]
                    for i in range(strip.size):
                        least = min(least, strip[i])
                    if least > limit:
                        continue
                    for i in range(strip.size):
                        if strip[i] < limit or (strip[i] == limit and tied > 0):
                            tied -= strip[i] == limit
                            out[place] = s + i - starts[e]
                            place += 1
            borders[q, -1] = place

    return kernel
