"""What a candidate of an index stands for: one row, or a list of all rows that share its code.

A candidate is distance << 32 | reference, see `entries`; rows are found by their ordinals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from ssah_index.kernels.bitmap import ONE, bits_at
from ssah_index.kernels.entries import REPEATED
from ssah_index.kernels.signatures import (
    BITMAP,
    DISTANCES,
    INDICES,
    NOTHING,
    NUMBER,
    NUMBERS,
    TABLE,
)

UINTS = types.Array(types.uint32, 1, "C", readonly=True)
POSTINGS = types.Tuple((UINTS, UINTS, INDICES, INDICES, BITMAP))
"""(lists uint32 (r + 1,), borders of lists in list_rows; list_rows uint32, ordinals; starts int64
(extents,), first ordinal of each extent; shifts int64 (extents,), row less ordinal; bitmap)."""
POOL = types.Array(types.uint64, 1, "C")
LOW = np.uint64(0xFFFFFFFF)


@njit(inline="always")
def _row(ordinal: Any, starts: Any, shifts: Any) -> Any:
    """Row of an ordinal."""
    low, high = 0, shifts.size
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= ordinal:
            low = middle
        else:
            high = middle
    return ordinal + shifts[low]


@njit(inline="always")
def _allowed(bitmap: Any, row: Any) -> Any:
    return bitmap.size == 0 or bits_at(bitmap, row) & ONE


@njit(NUMBER(types.uint32, NUMBER, POSTINGS), nogil=True, cache=True)
def weigh(ref: Any, most: int, postings: Any) -> Any:
    """How many rows of a reference may be found, counted up to ``most`` at least."""
    lists, list_rows, starts, shifts, bitmap = postings
    if not ref & REPEATED:
        return np.int64(bitmap.size == 0 or _allowed(bitmap, _row(np.int64(ref), starts, shifts)))
    first = np.int64(lists[ref ^ REPEATED])
    last = np.int64(lists[(ref ^ REPEATED) + np.uint32(1)])
    if bitmap.size == 0:
        return last - first
    total = np.int64(0)
    for j in range(first, last):
        if _allowed(bitmap, _row(np.int64(list_rows[j]), starts, shifts)):
            total += 1
            if total >= most:
                break
    return total


@njit(NOTHING(NUMBERS, NUMBER), nogil=True, cache=True)
def _sink(heap: Any, i: int) -> None:
    """Let element i sink to its place in a heap whose greatest is first."""
    value = heap[i]
    while 2 * i + 1 < heap.size:
        child = 2 * i + 1
        if child + 1 < heap.size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = value


@njit(
    NOTHING(POOL, TABLE, POSTINGS, INDICES, types.Tuple((DISTANCES, NUMBERS))),
    nogil=True,
    cache=True,
)
def emit(pool: Any, spans: Any, postings: Any, lims: Any, out: Any) -> None:
    """Write the hits of each query, ascending (distance, row).

    pool, spans: as `probe` left them; lims: int64 (nq + 1,), borders of the queries' hits in
    out: (distances, rows). Where a query has room for fewer rows than it met, a heap keeps the
    least; a list ascends, so that the rest of it is left out at the first row too many.
    """
    lists, list_rows, starts, shifts, bitmap = postings
    distances, rows = out
    for q in range(spans.shape[0]):
        heap = rows[lims[q] : lims[q + 1]]
        filled = 0
        for c in range(spans[q, 0], spans[q, 1]):
            d = np.int64(pool[c] >> np.uint64(32)) << 32
            ref = np.uint32(pool[c] & LOW)
            first, last = np.int64(0), np.int64(1)
            if ref & REPEATED:
                first = np.int64(lists[ref ^ REPEATED])
                last = np.int64(lists[(ref ^ REPEATED) + np.uint32(1)])
            for j in range(first, last):
                ordinal = np.int64(list_rows[j]) if ref & REPEATED else np.int64(ref)
                if filled == heap.size and (d | ordinal) >= heap[0]:
                    break
                if bitmap.size and not _allowed(bitmap, _row(ordinal, starts, shifts)):
                    continue
                if filled < heap.size:
                    heap[filled] = d | ordinal
                    filled += 1
                    if filled == heap.size:
                        for i in range(filled // 2 - 1, -1, -1):
                            _sink(heap, i)
                else:
                    heap[0] = d | ordinal
                    _sink(heap, 0)
        heap.sort()
        for j in range(lims[q], lims[q + 1]):
            distances[j] = rows[j] >> 32
            rows[j] = _row(rows[j] & np.int64(LOW), starts, shifts)
