"""Pass 1 of the scan: the least distance of each query to each block of codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from ssah_index.kernels.popcount import popcount

FAR = np.uint64(65535)
"""Farther than any code can be."""


@cache
def block_minima(words: int) -> Callable[..., None]:
    """Compile the kernel for codes of ``words`` words."""

    # The loops over a block must stay bare reductions over a one-dimensional slice: a
    # branch, a store or a second axis in them costs a factor of ten. They are written
    # out here because a helper in the closure would keep Numba from caching on disk.
    @njit(nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, out: Any) -> None:
        """Least distances.

        codes: uint64 (n * words,); queries: uint64 (nq, words); block: codes a block;
        out: uint8 or uint16 (nq, ceil(n / block)), bits.
        """
        nq = queries.shape[0]
        for b in range(out.shape[1]):
            chunk = codes[b * block * words : (b + 1) * block * words]
            n = chunk.size // words
            q = 0
            while q + 4 <= nq:  # four queries share one pass over a block held in L1
                q0, q1, q2, q3 = queries[q], queries[q + 1], queries[q + 2], queries[q + 3]
                m0 = m1 = m2 = m3 = FAR
                for i in range(n):
                    d0 = d1 = d2 = d3 = np.uint64(0)
                    for w in range(words):
                        code = chunk[i * words + w]
                        d0 += popcount(code ^ q0[w])
                        d1 += popcount(code ^ q1[w])
                        d2 += popcount(code ^ q2[w])
                        d3 += popcount(code ^ q3[w])
                    m0, m1, m2, m3 = min(m0, d0), min(m1, d1), min(m2, d2), min(m3, d3)
                out[q, b], out[q + 1, b], out[q + 2, b], out[q + 3, b] = m0, m1, m2, m3
                q += 4
            while q < nq:
                q0 = queries[q]
                m0 = FAR
                for i in range(n):
                    d0 = np.uint64(0)
                    for w in range(words):
                        d0 += popcount(chunk[i * words + w] ^ q0[w])
                    m0 = min(m0, d0)
                out[q, b] = m0
                q += 1

    return kernel
