"""Pass 2 of the scan: exact distances inside the kept blocks, counted, then emitted.

Counting first and emitting into its places afterwards is a counting sort: hits come out
by (distance, row) without a heap, a guess or an overflow buffer. Within a block, the idea
of pass 1 is used again: 64 codes are looked at one by one only if the least of their
distances is within reach: 0.07 us a block of 1024 one-word codes, where it is in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.bitmap import ONE, bits_at
from ssah_index.kernels.cache import njit
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.signatures import (
    CODES,
    DISTANCES,
    FLAG,
    INDICES,
    MASK,
    NOTHING,
    NUMBER,
    NUMBERS,
    QUERIES,
    TABLE,
)

KEPT = types.UniTuple(INDICES, 4)
STRIPS = types.Array(types.uint64, 1, "C")
STRIP = 64
"""Codes of a strip; a block has at most 64 strips."""


@cache
def count_hits(words: int) -> Callable[..., None]:
    """Compile the counting kernel for codes of ``words`` words, 0: of any number."""
    signature = NOTHING(CODES, QUERIES, NUMBER, KEPT, MASK, FLAG, types.Tuple((STRIPS, TABLE)))

    @njit(signature, nogil=True, cache=True)
    def kernel(
        codes: Any, queries: Any, block: int, kept: Any, mask: Any, flag: Any, out: Any
    ) -> None:
        """Count hits by distance.

        codes: uint64 (n * words,); queries: uint64 (nq, words); block: codes a block;
        kept: (blocks, starts, ends, reach) int64, of which query q has the blocks
        starts[q]:ends[q], ascending, and its hits lie within reach[q] bits; mask: (bitmap,
        row of the first code in it); out: (strips uint64 (len(blocks),), whose bit s says
        that strip s of the block has a hit; counts int64 (nq, bits + 1), zeroed).
        """
        width = words if words else queries.shape[1]
        n = codes.size // width
        blocks, starts, ends, reach = kept
        bitmap, first = mask
        strips, counts = out
        for q in range(queries.shape[0]):
            query = queries[q]
            limit = np.uint64(reach[q])
            for j in range(starts[q], ends[q]):
                if flag[0]:
                    return
                strips[j] = np.uint64(0)
                begin = blocks[j] * block
                chunk = codes[begin * width : min(begin + block, n) * width]
                for s in range(0, chunk.size // width, STRIP):
                    strip = chunk[s * width : (s + STRIP) * width]
                    least = np.uint64(65535)
                    for i in range(strip.size // width):
                        d = np.uint64(0)
                        for w in range(width):
                            d += popcount(strip[i * width + w] ^ query[w])
                        least = min(least, d)
                    if least > limit:
                        continue
                    strips[j] |= ONE << np.uint64(s // STRIP)
                    for i in range(strip.size // width):
                        d = np.uint64(0)
                        for w in range(width):
                            d += popcount(strip[i * width + w] ^ query[w])
                        if d <= limit and (
                            bitmap.size == 0 or bits_at(bitmap, first + begin + s + i) & ONE
                        ):
                            counts[q, d] += 1

    return kernel


@cache
def emit_hits(words: int) -> Callable[..., None]:
    """Compile the emitting kernel for codes of ``words`` words, 0: of any number."""
    places = types.Tuple((types.Array(types.uint64, 1, "C", readonly=True), INDICES, TABLE))
    outs = types.Tuple((DISTANCES, NUMBERS))
    signature = NOTHING(CODES, QUERIES, NUMBER, KEPT, MASK, FLAG, places, outs)

    @njit(signature, nogil=True, cache=True)
    def kernel(
        codes: Any, queries: Any, block: int, kept: Any, mask: Any, flag: Any, places: Any, out: Any
    ) -> None:
        """Write hits into their places.

        As `count_hits`; the row of the first code in the mask is also what rows are counted
        from; places: (strips as counted; limits int64 (nq,), the end of each query's share of
        ``out``; int64 (nq, bits + 1), where the next hit at a distance goes, advanced here): a
        hit whose place lies at or behind the end is one too many; out: (distances int32
        (total,), rows int64 (total,)).
        """
        width = words if words else queries.shape[1]
        n = codes.size // width
        blocks, starts, ends, reach = kept
        bitmap, first = mask
        strips, limits, next_place = places
        distances, rows = out
        for q in range(queries.shape[0]):
            query = queries[q]
            limit = np.uint64(reach[q])
            for j in range(starts[q], ends[q]):
                if flag[0]:
                    return
                left = strips[j]
                while left:
                    s = np.int64(popcount((left & -left) - ONE))
                    left &= left - ONE
                    begin = blocks[j] * block + s * STRIP
                    for i in range(begin, min(begin + STRIP, (blocks[j] + 1) * block, n)):
                        d = np.uint64(0)
                        for w in range(width):
                            d += popcount(codes[i * width + w] ^ query[w])
                        if d <= limit and (bitmap.size == 0 or bits_at(bitmap, first + i) & ONE):
                            place = next_place[q, d]
                            if place < limits[q]:
                                distances[place] = d
                                rows[place] = first + i
                                next_place[q, d] = place + 1

    return kernel
