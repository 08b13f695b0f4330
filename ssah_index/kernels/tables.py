"""Tables of an index by counting sort, and equal codes collapsed into one entry.

A table is cut into parts, runs of buckets: cores fill parts side by side, and each pass writes
to one stretch of a table only, which may lie on disk. Table 0 is filled from the codes of the
rows, sorted within its buckets and collapsed; the others from the entries of table 0. All take
permuted codes: uint64 (n * words,), chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from ssah_index.kernels.entries import OFFSETS, REFS, REPEATED, TAILS, body_type, key_at, rotate
from ssah_index.kernels.signatures import CODES, NOTHING, NUMBER, NUMBERS, TABLE

PLACE = types.UniTuple(NUMBER, 3)
"""(words of a code, first bit of the key, b)."""
PART = types.UniTuple(NUMBER, 2)
"""Buckets of the part: from the first, to before the second."""
BORDERS = types.Tuple((OFFSETS, NUMBER))
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


@njit(NOTHING(OFFSETS), nogil=True, cache=True)
def accumulate(counts: Any) -> None:
    """Turn counts at j + 1 into where bucket j begins, still at j + 1: there `spread` counts on."""
    total = np.uint32(0)
    for j in range(1, counts.size):
        count = counts[j]
        counts[j] = total
        total += count


@cache
def spread(compact: bool) -> Callable[..., None]:
    """Compile the kernel that writes codes into their buckets, in the order they come."""
    refs_t = types.Array(types.uint32, 1, "C", readonly=True)
    table = types.Tuple((types.Array(body_type(compact), 1, "C"), TAILS, REFS))
    signature = NOTHING(types.Tuple((CODES, refs_t)), PLACE, PART, OFFSETS, table)

    @njit(signature, nogil=True, cache=True)
    def kernel(source: Any, place: Any, part: Any, offsets: Any, table: Any) -> None:
        """Fill buckets.

        source: (codes, references uint32 (n,)); offsets: uint32 (2^b + 1,), of which j + 1
        says where the next entry of bucket j goes, advanced here; table: (body, tails, refs).
        """
        codes, refs = source
        words, bit, b = place
        low, high = part
        body, tails, out = table
        for i in range(refs.size):
            key = key_at(codes, i * words, bit, b)
            if low <= key < high:
                j = np.int64(offsets[key + 1])
                offsets[key + 1] = np.uint32(j + 1)
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
    signature = NOTHING(NUMBER, PART, BORDERS, table)

    @njit(signature, nogil=True, cache=True)
    def kernel(words: int, part: Any, borders: Any, table: Any) -> None:
        """Sort by a mark: the code itself, or a hash of its words.

        borders: (offsets uint32 (2^b + 1,), where buckets begin; end of the part); table: (body,
        tails, refs). Codes of equal hash may lie mixed; then some equal ones stay apart.
        """
        offsets, end = borders
        body, tails, refs = table
        low, high = part
        for key in range(low, high):
            j = np.int64(offsets[key])
            stop = np.int64(offsets[key + 1]) if key + 1 < high else end
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
    signature = NOTHING(NUMBER, PART, BORDERS, table, LISTS, NUMBERS)

    @njit(signature, nogil=True, cache=True)
    def kernel(words: int, part: Any, borders: Any, table: Any, lists: Any, out: Any) -> None:
        """Collapse a part towards its first entry, ``begin``.

        borders, table: as `sort_buckets` left them; offsets are kept up to date; lists: (ends,
        rows), uint32: from ``rows[begin]`` on come the rows of the part's lists, and from
        ``ends[begin // 2 + 1]`` on where each list ends among them; out: int64 (3,): entries,
        lists, and rows in lists.
        """
        offsets, end = borders
        body, tails, refs = table
        ends, rows = lists
        low, high = part
        begin = np.int64(offsets[low])
        place, i, n_lists, n_rows = begin, begin, 0, 0
        for key in range(low, high):
            stop = np.int64(offsets[key + 1]) if key + 1 < high else end
            offsets[key] = np.uint32(place)
            while i < stop:
                last, ref = i + 1, refs[i]
                while last < stop and _equal(body, tails, words, i, last):
                    last += 1
                if last - i > 1:
                    for j in range(i, last):
                        rows[begin + n_rows] = refs[j]
                        n_rows += 1
                    ref = REPEATED | np.uint32(n_lists)
                    n_lists += 1
                    ends[begin // 2 + n_lists] = np.uint32(n_rows)
                refs[place] = ref
                for w in range(words):
                    body[place * words + w] = body[i * words + w]
                if compact:
                    tails[place] = tails[i]
                place += 1
                i = last
        out[0], out[1], out[2] = place - begin, n_lists, n_rows

    return kernel


@cache
def settle(compact: bool) -> Callable[..., None]:
    """Compile the kernel that moves a collapsed part down to where the one before it ends."""
    table = types.Tuple((types.Array(body_type(compact), 1, "C"), TAILS, REFS))
    signature = NOTHING(NUMBER, PART, OFFSETS, table, LISTS, TABLE)

    @njit(signature, nogil=True, cache=True)
    def kernel(words: int, part: Any, offsets: Any, table: Any, lists: Any, moves: Any) -> None:
        """Move entries, lists and rows of lists, and number them anew.

        moves: int64 (3, 3): of entries, ends of lists and rows of lists, each (from, to, how
        many).
        """
        body, tails, refs = table
        ends, rows = lists
        start, to, n = moves[0]
        for j in range(n):
            ref = refs[start + j]
            refs[to + j] = ref + np.uint32(moves[1, 1]) if ref & REPEATED else ref
            for w in range(words):
                body[(to + j) * words + w] = body[(start + j) * words + w]
            if compact:
                tails[to + j] = tails[start + j]
        for key in range(part[0], part[1]):
            offsets[key] -= np.uint32(start - to)
        start, to, n = moves[1]
        for j in range(1, n + 1):
            ends[to + j] = ends[start + j] + np.uint32(moves[2, 1])
        start, to, n = moves[2]
        for j in range(n):
            rows[to + j] = rows[start + j]

    return kernel
