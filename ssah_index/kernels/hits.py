"""Pass 2 of the scan: exact distances inside the kept blocks, counted, then emitted.

Counting first and emitting into its places afterwards is a counting sort: hits come out
by (distance, row) without a heap, a guess or an overflow buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from ssah_index.kernels.popcount import popcount


@cache
def count_hits(words: int) -> Callable[..., None]:
    """Compile the counting kernel for codes of ``words`` words."""

    @njit(nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, kept: Any, reach: Any, out: Any) -> None:
        """Count hits by distance.

        codes: uint64 (n * words,); queries: uint64 (nq, words); block: codes a block;
        kept: (blocks int64, lims int64 (nq + 1,)), the blocks to look into, ascending;
        reach: int64 (nq,), greatest distance of interest; out: int64 (nq, bits + 1), zeroed.
        """
        n = codes.size // words
        blocks, lims = kept
        for q in range(queries.shape[0]):
            query = queries[q]
            for b in blocks[lims[q] : lims[q + 1]]:
                for i in range(b * block, min((b + 1) * block, n)):
                    d = np.uint64(0)
                    for w in range(words):
                        d += popcount(codes[i * words + w] ^ query[w])
                    if d <= np.uint64(reach[q]):
                        out[q, d] += 1

    return kernel


@cache
def emit_hits(words: int) -> Callable[..., None]:
    """Compile the emitting kernel for codes of ``words`` words."""

    @njit(nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, kept: Any, ends: Any, places: Any,
               out: Any) -> None:  # fmt: skip
        """Write hits into their places.

        As `count_hits`, and ends: int64 (nq,), the end of each query's share of ``out``;
        places: int64 (nq, bits + 1), where the next hit at a distance goes, advanced here:
        a hit whose place lies behind the end is one too many, or too far away;
        out: (distances int32 (total,), rows int64 (total,)).
        """
        n = codes.size // words
        blocks, lims = kept
        distances, rows = out
        for q in range(queries.shape[0]):
            query = queries[q]
            for b in blocks[lims[q] : lims[q + 1]]:
                for i in range(b * block, min((b + 1) * block, n)):
                    d = np.uint64(0)
                    for w in range(words):
                        d += popcount(codes[i * words + w] ^ query[w])
                    place = places[q, d]
                    if place < ends[q]:
                        distances[place] = d
                        rows[place] = i
                        places[q, d] = place + 1

    return kernel
