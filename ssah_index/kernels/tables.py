"""Tables of an index by counting sort, and equal codes collapsed into one entry.

A table is made in parts, runs of buckets: cores make parts side by side, each in arrays of its
own. Parts of table 0 come from the codes of the rows, sorted within their buckets and collapsed;
those of the others from the entries of table 0. All take permuted codes: uint64 (n * words,),
chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.cache import njit
from ssah_index.kernels.entries import OFFSETS, REFS, REPEATED, TAILS, body_type, key_at, rotate
from ssah_index.kernels.signatures import CODES, NOTHING, NUMBER, NUMBERS

PLACE = types.UniTuple(NUMBER, 3)
"""(words of a code, first bit of the key, b)."""
PART = types.UniTuple(NUMBER, 2)
"""Buckets of the part: from the first, to before the second."""
LISTS = types.Tuple((OFFSETS, REFS))
MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and its bits look random."""
SMALL = 24
"""Buckets up to this size are sorted by insertion."""


@njit(NOTHING(CODES, PLACE, PART, OFFSETS), nogil=True, cache=True)
def count_keys(codes: Any, place: Any, part: Any, counts: Any) -> None:
    """Add the number of codes in bucket j to ``counts[j + 1]``; counts: uint32 (2^b + 1,)."""
    words, bit, b = place
    low, high = part
    for i in range(0, codes.size, words):
        key = key_at(codes, i, bit, b)
        if low <= key < high:
            counts[key + 1] += np.uint32(1)


@cache
def spread(compact: bool) -> Callable[..., None]:
    """Compile the kernel that writes codes into the buckets of a part, in the order they come."""
    refs_t = types.Array(types.uint32, 1, "C", readonly=True)
    table = types.Tuple((types.Array(body_type(compact), 1, "C"), TAILS, REFS))
    signature = NOTHING(types.Tuple((CODES, refs_t)), PLACE, PART, OFFSETS, table)

    @njit(signature, nogil=True, cache=True)
    def kernel(source: Any, place: Any, part: Any, heads: Any, table: Any) -> None:
        """Fill buckets.

        source: (codes, references uint32 (n,)); heads: uint32 (buckets,), where in the part the
        next entry of each of its buckets goes, advanced here; table: (body, tails, refs) of the
        part.
        """
        codes, refs = source
        words, bit, b = place
        low, high = part
        body, tails, out = table
        for i in range(refs.size):
            key = key_at(codes, i * words, bit, b)
            if low <= key < high:
                j = np.int64(heads[key - low])
                heads[key - low] = np.uint32(j + 1)
                out[j] = refs[i]
                if compact:
                    rest = rotate(codes[i], bit) >> np.uint64(b)
                    body[j] = rest & np.uint64(0xFFFFFFFF)
                    tails[j] = rest >> np.uint64(32)
                else:
                    for w in range(words):
                        body[j * words + w] = codes[i * words + w]

    return kernel


@njit(NOTHING(types.Array(types.uint64, 1, "C"), NUMBERS), nogil=True, cache=True)
def _sort(marks: Any, order: Any) -> None:
    """Sort a bucket's marks, stably; order: int64 (n,), where each was."""
    if marks.size > SMALL:
        order[:] = np.argsort(marks, kind="mergesort")
        marks[:] = marks[order]
        return
    for i in range(marks.size):
        mark, j = marks[i], i
        while j > 0 and marks[j - 1] > mark:
            marks[j], order[j] = marks[j - 1], order[j - 1]
            j -= 1
        marks[j], order[j] = mark, i


@cache
def sort_buckets(compact: bool) -> Callable[..., None]:
    """Compile the kernel that brings equal codes of a bucket together, in the order of rows."""
    table = types.Tuple((types.Array(body_type(compact), 1, "C"), TAILS, REFS))
    signature = NOTHING(NUMBER, OFFSETS, table)

    @njit(signature, nogil=True, cache=True)
    def kernel(words: int, borders: Any, table: Any) -> None:
        """Sort by a mark: the code itself, or a hash of its words.

        borders: uint32 (buckets + 1,), where the buckets of the part begin and end; table: (body,
        tails, refs) of the part. Codes of equal hash may lie mixed; then some equal ones stay
        apart.
        """
        body, tails, refs = table
        for key in range(borders.size - 1):
            j, stop = np.int64(borders[key]), np.int64(borders[key + 1])
            if stop - j < 2:
                continue
            marks, order = np.zeros(stop - j, np.uint64), np.empty(stop - j, np.int64)
            for i in range(stop - j):
                for w in range(words):
                    mark = (marks[i] * MIX) ^ np.uint64(body[(j + i) * words + w])
                    marks[i] = mark ^ (mark >> np.uint64(32)) if words > 1 else mark
                if compact:
                    marks[i] |= np.uint64(tails[j + i]) << np.uint64(32)
            _sort(marks, order)
            old_body, old_refs = body[j * words : stop * words].copy(), refs[j:stop].copy()
            for i in range(stop - j):
                refs[j + i] = old_refs[order[i]]
                for w in range(words):
                    body[(j + i) * words + w] = old_body[order[i] * words + w]
                if compact:
                    tails[j + i] = marks[i] >> np.uint64(32)

    return kernel


@njit(inline="always")
def _equal(body: Any, tails: Any, words: Any, i: Any, j: Any) -> Any:
    """Whether two entries of a bucket have the same code."""
    same = tails.size == 0 or tails[i] == tails[j]
    for w in range(words):
        same &= body[i * words + w] == body[j * words + w]
    return same


@cache
def collapse(compact: bool) -> Callable[..., None]:
    """Compile the kernel that makes one entry of equal codes that lie side by side."""
    table = types.Tuple((types.Array(body_type(compact), 1, "C"), TAILS, REFS))
    signature = NOTHING(NUMBER, OFFSETS, table, LISTS, NUMBERS)

    @njit(signature, nogil=True, cache=True)
    def kernel(words: int, borders: Any, table: Any, lists: Any, out: Any) -> None:
        """Collapse a part towards its first entry.

        borders, table: as `sort_buckets` left them, kept up to date here; lists: (ends, rows),
        uint32: the rows of the part's lists, and where each list ends among them; out: int64 (2,):
        lists, and rows in lists.
        """
        body, tails, refs = table
        ends, rows = lists
        place, i, n_lists, n_rows = 0, 0, 0, 0
        for key in range(borders.size - 1):
            stop = np.int64(borders[key + 1])
            borders[key] = np.uint32(place)
            while i < stop:
                last, ref = i + 1, refs[i]
                while last < stop and _equal(body, tails, words, i, last):
                    last += 1
                if last - i > 1:
                    for j in range(i, last):
                        rows[n_rows] = refs[j]
                        n_rows += 1
                    ref = REPEATED | np.uint32(n_lists)
                    ends[n_lists] = np.uint32(n_rows)
                    n_lists += 1
                refs[place] = ref
                for w in range(words):
                    body[place * words + w] = body[i * words + w]
                if compact:
                    tails[place] = tails[i]
                place += 1
                i = last
        borders[borders.size - 1] = np.uint32(place)
        out[0], out[1] = n_lists, n_rows

    return kernel
