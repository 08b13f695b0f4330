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
from numba import njit, types

from ssah_index.kernels.signatures import (
    INDICES,
    NOTHING,
    NUMBER,
    NUMBERS,
    TABLE,
    minima_type,
)


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
        for q in range(minima.shape[0]):
            counts[:] = 0
            for least in minima[q]:
                counts[min(np.int64(least), farthest + 1)] += 1
            total, t = np.int64(0), np.int64(0)
            while t < farthest and total + counts[t] < k:
                total += counts[t]
                t += 1
            reach[q] = t
            needed[q] = min(counts[t], k - total)
            kept[q] = total + needed[q]

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
            place, tied, limit = places[q], needed[q], reach[q]
            for e in range(starts.size - 1):
                borders[q, e] = place
                for b in range(starts[e], starts[e + 1]):
                    least = np.int64(minima[q, b])
                    if least < limit or (least == limit and tied > 0):
                        tied -= least == limit
                        out[place] = b - starts[e]
                        place += 1
            borders[q, -1] = place

    return kernel
