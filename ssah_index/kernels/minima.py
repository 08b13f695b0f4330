"""Pass 1 of the scan: the least distance of each query to each block of codes.

Four kernels, each the best at its own work. Loops over a block must stay bare reductions
over contiguous words: a branch, a store or a second axis in them costs a factor of ten.
They are written out, because a helper closed over would keep Numba from caching on disk.

All take codes: uint64 (m * words,), a run of whole blocks and perhaps a last short one;
queries: uint64 (nq, words); block: codes a block, a multiple of 64; mask: (bitmap, row of
the first code in it); flag: stops the work; and write out: uint8 or uint16 (nq, blocks),
bits; `FAR` where a block has no row that may be found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.bitmap import ONE, bits_at, lay_out_allowed
from ssah_index.kernels.cache import njit
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.signatures import (
    CODES,
    FLAG,
    MASK,
    NOTHING,
    NUMBER,
    QUERIES,
    minima_type,
)

FAR = np.uint64(65535)
"""Farther than any code can be; written to a byte, it is 255."""
HIDDEN = np.uint64(16)
"""A bit so high makes a distance farther than any code's, which is at most 4096."""


def _signature(words: int) -> Any:
    out = types.Array(minima_type(words), 2, "A")
    return NOTHING(CODES, QUERIES, NUMBER, MASK, FLAG, out)


@cache
def row_minima(words: int) -> Callable[..., None]:
    """Compile the kernel that reads codes as they lie: bound by memory, for a few queries.

    It knows no mask: a second loop in the same function costs this one two thirds of its speed.
    """

    @njit(_signature(words), nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, _mask: Any, flag: Any, out: Any) -> None:
        for b in range(out.shape[1]):
            if flag[0]:
                return
            chunk = codes[b * block * words : (b + 1) * block * words]
            for q in range(queries.shape[0]):
                query = queries[q]
                m0 = FAR
                for i in range(chunk.size // words):
                    d0 = np.uint64(0)
                    for w in range(words):
                        d0 += popcount(chunk[i * words + w] ^ query[w])
                    m0 = min(m0, d0)
                out[q, b] = m0

    return kernel


@cache
def masked_minima(words: int) -> Callable[..., None]:
    """Compile the same with a mask: each row starts from a handicap, 0 or too far.

    Handicaps are laid out once a block, which leaves the loop a bare reduction.
    """

    @njit(_signature(words), nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, mask: Any, flag: Any, out: Any) -> None:
        bitmap, first = mask
        handicaps = np.empty(block, np.uint64)
        for b in range(out.shape[1]):
            if flag[0]:
                return
            chunk = codes[b * block * words : (b + 1) * block * words]
            n = chunk.size // words
            allowed = np.uint64(0)
            for s in range(0, n, 64):
                bits = bits_at(bitmap, first + b * block + s)
                allowed |= bits
                strip = handicaps[s : s + 64]
                for i in range(64):
                    strip[i] = ((~bits >> np.uint64(i)) & ONE) << HIDDEN
            for q in range(queries.shape[0]):
                query = queries[q]
                m0 = FAR
                if allowed:
                    for i in range(n):
                        d0 = handicaps[i]
                        for w in range(words):
                            d0 += popcount(chunk[i * words + w] ^ query[w])
                        m0 = min(m0, d0)
                out[q, b] = m0

    return kernel


@cache
def tile_minima(words: int) -> Callable[..., None]:
    """Compile the kernel that lays a block out word by word first: bound by popcounts.

    In the tile, word w of code i is at w * block + i, so that a vector holds one word of
    consecutive codes whatever the width, and only rows that may be found are laid out. Both
    cost one pass for all queries, of which four share each load.
    """

    @njit(_signature(words), nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, mask: Any, flag: Any, out: Any) -> None:
        bitmap, first = mask
        nq = queries.shape[0]
        tile = np.empty(block * words, np.uint64)
        for b in range(out.shape[1]):
            if flag[0]:
                return
            source = codes[b * block * words : (b + 1) * block * words]
            n = source.size // words
            if bitmap.size:
                n = lay_out_allowed(source, words, (bitmap, first + b * block), tile)
                source = tile
            elif words > 1:
                for i in range(n):
                    for w in range(words):
                        tile[w * block + i] = source[i * words + w]
                source = tile
            q = 0
            while q + 4 <= nq:
                q0, q1, q2, q3 = queries[q], queries[q + 1], queries[q + 2], queries[q + 3]
                m0 = m1 = m2 = m3 = FAR
                for i in range(n):
                    d0 = d1 = d2 = d3 = np.uint64(0)
                    for w in range(words):
                        code = source[w * block + i]
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
                        d0 += popcount(source[w * block + i] ^ q0[w])
                    m0 = min(m0, d0)
                out[q, b] = m0
                q += 1

    return kernel


@cache
def wide_minima(words: int) -> Callable[..., None]:
    """Compile the kernel for codes so wide that a vector holds words of one code.

    Their number is read at run time; ``words`` decides the type of the minima alone.
    """

    @njit(_signature(words), nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, block: int, mask: Any, flag: Any, out: Any) -> None:
        bitmap, first = mask
        nq, width = queries.shape
        for b in range(out.shape[1]):
            if flag[0]:
                return
            chunk = codes[b * block * width : (b + 1) * block * width]
            n = chunk.size // width
            q = 0
            while q + 4 <= nq:
                q0, q1, q2, q3 = queries[q], queries[q + 1], queries[q + 2], queries[q + 3]
                m0 = m1 = m2 = m3 = FAR
                for i in range(n):
                    if bitmap.size and not bits_at(bitmap, first + b * block + i) & ONE:
                        continue
                    code = chunk[i * width : (i + 1) * width]
                    d0 = d1 = d2 = d3 = np.uint64(0)
                    for w in range(width):
                        d0 += popcount(code[w] ^ q0[w])
                        d1 += popcount(code[w] ^ q1[w])
                        d2 += popcount(code[w] ^ q2[w])
                        d3 += popcount(code[w] ^ q3[w])
                    m0, m1, m2, m3 = min(m0, d0), min(m1, d1), min(m2, d2), min(m3, d3)
                out[q, b], out[q + 1, b], out[q + 2, b], out[q + 3, b] = m0, m1, m2, m3
                q += 4
            while q < nq:
                q0 = queries[q]
                m0 = FAR
                for i in range(n):
                    if bitmap.size and not bits_at(bitmap, first + b * block + i) & ONE:
                        continue
                    code = chunk[i * width : (i + 1) * width]
                    d0 = np.uint64(0)
                    for w in range(width):
                        d0 += popcount(code[w] ^ q0[w])
                    m0 = min(m0, d0)
                out[q, b] = m0
                q += 1

    return kernel
