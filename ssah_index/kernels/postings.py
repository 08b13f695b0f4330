"""What a candidate of an index stands for: one row, or a list of all rows that share its code.

A candidate is distance << 32 | reference, see `entries`; rows are found by their ordinals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.bitmap import ONE, bits_at
from ssah_index.kernels.cache import njit
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
DIGIT = 8
"""Bits that keys are sorted by at a time."""
FEW_KEYS = 256


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


@njit(NOTHING(NUMBERS), nogil=True, cache=True)
def _arrange(keys: Any) -> None:
    """Sort distances << 32 | ordinals.

    By digits, the lowest first: 5 to 10 ns each where comparing takes 60; few are compared. Those
    of one list ascend as they are.
    """
    rising = 1
    while rising < keys.size and keys[rising - 1] <= keys[rising]:
        rising += 1
    if rising >= keys.size:
        return
    if keys.size < FEW_KEYS:
        keys.sort()
        return
    source, target = keys, np.empty_like(keys)
    places, moves = np.empty(1 << DIGIT, np.int64), 0
    for shift in range(0, 48, DIGIT):
        places[:] = 0
        for key in source:
            places[(key >> shift) & ((1 << DIGIT) - 1)] += 1
        if places[(source[0] >> shift) & ((1 << DIGIT) - 1)] == keys.size:
            continue
        total = np.int64(0)
        for digit in range(places.size):
            total += places[digit]
            places[digit] = total - places[digit]
        for key in source:
            digit = (key >> shift) & ((1 << DIGIT) - 1)
            target[places[digit]] = key
            places[digit] += 1
        source, target = target, source
        moves += 1
    if moves % 2:
        target[:] = source


@njit(NUMBER(POOL, types.UniTuple(NUMBER, 2), POSTINGS, NUMBERS), nogil=True, cache=True)
def _fill(pool: Any, reach: Any, postings: Any, heap: Any) -> Any:
    """Fill a heap with distance << 32 | ordinal of the least rows; return how many.

    reach: the least and the greatest distance of the candidates that are taken. A list ascends, so
    that the rest of it is left out at the first row too many.
    """
    lists, list_rows, starts, shifts, bitmap = postings
    filled, heaped = 0, False
    for candidate in pool:
        d = np.int64(candidate >> np.uint64(32))
        if heap.size == 0 or d < reach[0] or d > reach[1]:
            continue
        ref = np.uint32(candidate & LOW)
        first, last = np.int64(0), np.int64(1)
        if ref & REPEATED:
            first = np.int64(lists[ref ^ REPEATED])
            last = np.int64(lists[(ref ^ REPEATED) + np.uint32(1)])
        for j in range(first, last):
            ordinal = np.int64(list_rows[j]) if ref & REPEATED else np.int64(ref)
            key = d << 32 | ordinal
            if filled == heap.size and not heaped:
                for i in range(filled // 2 - 1, -1, -1):
                    _sink(heap, i)
                heaped = True
            if heaped and key >= heap[0]:
                break
            if bitmap.size and not _allowed(bitmap, _row(ordinal, starts, shifts)):
                continue
            if heaped:
                heap[0] = key
                _sink(heap, 0)
            else:
                heap[filled] = key
                filled += 1
    return filled


@njit(
    NOTHING(POOL, TABLE, POSTINGS, INDICES, types.Tuple((DISTANCES, NUMBERS))),
    nogil=True,
    cache=True,
)
def emit(pool: Any, spans: Any, postings: Any, lims: Any, out: Any) -> None:
    """Write the hits of each query, ascending (distance, row).

    pool, spans: as `probe` left them; lims: int64 (nq + 1,), borders of the queries' hits in
    out: (distances, rows). Only the farthest may be more than there is room for.
    """
    starts, shifts = postings[2], postings[3]
    distances, rows = out
    for q in range(spans.shape[0]):
        heap, some = rows[lims[q] : lims[q + 1]], pool[spans[q, 0] : spans[q, 1]]
        far = np.int64(0)
        for candidate in some:
            far = max(far, np.int64(candidate >> np.uint64(32)))
        filled = _fill(some, (0, far - 1), postings, heap)
        _fill(some, (far, far), postings, heap[filled:])
        _arrange(heap)
        for j in range(lims[q], lims[q + 1]):
            distances[j] = rows[j] >> 32
            rows[j] = _row(rows[j] & np.int64(LOW), starts, shifts)
