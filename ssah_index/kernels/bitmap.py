"""Bitmaps of rows that may be found, read 64 rows at a time at any row.

A bitmap is uint64, bit i % 64 of word i // 64 for row i, with one word of zeros behind the
last (`ssah_index.codes.as_bitmap`), so that an unaligned read never leaves it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.cache import njit
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.signatures import (
    BITMAP,
    CODES,
    MASK,
    NOTHING,
    NUMBER,
    NUMBERS,
    WORD,
)

ONE = np.uint64(1)


@njit(WORD(BITMAP, NUMBER), nogil=True, cache=True, inline="always")
def bits_at(bitmap: Any, row: Any) -> Any:
    """Bits of rows ``row`` to ``row + 63``, the first lowest."""
    word, shift = row >> 6, np.uint64(row & 63)
    low = bitmap[word] >> shift
    # Two shifts, because one by 64 is undefined.
    return low | ((bitmap[word + 1] << ONE) << (np.uint64(63) - shift))


@njit(NUMBER(BITMAP, NUMBER, NUMBER), nogil=True, cache=True)
def count_bits(bitmap: Any, first: int, n: int) -> Any:
    """How many of the rows ``first`` to ``first + n - 1`` are allowed."""
    total = np.uint64(0)
    for i in range(0, n, 64):
        bits = bits_at(bitmap, first + i)
        if n - i < 64:
            bits &= (ONE << np.uint64(n - i)) - ONE
        total += popcount(bits)
    return np.int64(total)


@njit(NUMBER(CODES, NUMBER, MASK, types.Array(WORD, 1, "C")), nogil=True, cache=True)
def lay_out_allowed(codes: Any, words: int, mask: Any, tile: Any) -> Any:
    """Copy the allowed codes of a block word by word, and return how many there are.

    codes: uint64 (n * words,); mask: (bitmap, row of the first code in it); tile: uint64
    (words * m,), of m >= n codes: word w of the i-th of them comes to w * m + i.
    """
    bitmap, first = mask
    n, m = codes.size // words, tile.size // words
    found = 0
    for s in range(0, n, 64):
        bits = bits_at(bitmap, first + s)
        if n - s < 64:
            bits &= (ONE << np.uint64(n - s)) - ONE
        while bits:
            row = s + np.int64(popcount((bits & -bits) - ONE))
            for w in range(words):
                tile[w * m + found] = codes[row * words + w]
            found += 1
            bits &= bits - ONE
    return found


@njit(
    NOTHING(CODES, NUMBER, MASK, types.Tuple((types.Array(WORD, 1, "C"), NUMBERS))),
    nogil=True,
    cache=True,
)
def gather(codes: Any, words: int, mask: Any, out: Any) -> None:
    """Copy allowed codes side by side.

    codes: uint64 (n * words,); mask: (bitmap, row of the first code in it); out: (codes
    uint64 (m * words,), rows int64 (m,)), m being the number of allowed rows.
    """
    bitmap, first = mask
    gathered, rows = out
    n = codes.size // words
    m = 0
    for i in range(0, n, 64):
        bits = bits_at(bitmap, first + i)
        if n - i < 64:
            bits &= (ONE << np.uint64(n - i)) - ONE
        while bits:
            row = i + np.int64(popcount((bits & -bits) - ONE))
            for w in range(words):
                gathered[m * words + w] = codes[row * words + w]
            rows[m] = first + row
            m += 1
            bits &= bits - ONE
