"""Sums that are equal if an index holds the codes it is said to hold, each with its row.

Every pair of a permuted code and a row's ordinal has a mark of 64 bits. The marks of the codes
that an index covers and those of each of its tables have one sum, in whatever order they are
added; a salt that is drawn anew each time keeps anybody from making up pairs with that sum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from ssah_index.kernels.entries import REPEATED, body_type, key_at, rotate
from ssah_index.kernels.postings import UINTS
from ssah_index.kernels.signatures import CODES, NUMBER, WORD

ODD = np.uint64(0x9E3779B97F4A7C15)
LISTS = types.Tuple((UINTS, UINTS))


@njit(inline="always")
def _mix(x: Any) -> Any:
    """SplitMix64's last step."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(inline="always")
def _mark(code: Any, ordinal: Any) -> Any:
    """Of a code, which is mixed already, and a row."""
    return _mix(code ^ (np.uint64(ordinal) * ODD))


@njit(WORD(CODES, NUMBER, NUMBER, WORD), nogil=True, cache=True)
def sum_codes(codes: Any, words: int, first: int, salt: Any) -> Any:
    """Sum of the marks of permuted codes, uint64 (n * words,), whose ordinals begin at first."""
    total = np.uint64(0)
    for i in range(codes.size // words):
        code = salt
        for w in range(words):
            code = _mix(code ^ codes[i * words + w])
        total += _mark(code, first + i)
    return total


@cache
def sum_entries(compact: bool) -> Callable[..., int]:
    """Compile the kernel that sums the marks of a table's entries.

    place: (words of a code, first bit of the key, b); offsets: uint32 (2^b + 1,); entries: (body,
    tails, refs) of the table; lists: (lists, list_rows). An entry in another bucket than its key's
    counts as none.
    """
    body_t = types.Array(body_type(compact), 1, "C", readonly=True)
    bytes_t = types.Array(types.uint8, 1, "C", readonly=True)
    entries_t = types.Tuple((body_t, bytes_t, UINTS))
    signature = WORD(types.UniTuple(NUMBER, 3), UINTS, entries_t, LISTS, WORD)

    @njit(signature, nogil=True, cache=True)
    def kernel(place: Any, offsets: Any, entries: Any, lists: Any, salt: Any) -> Any:
        (words, bit, b), (body, tails, refs), (ends, rows) = place, entries, lists
        total, whole = np.uint64(0), np.empty(words, np.uint64)
        for bucket in range(offsets.size - 1):
            for j in range(np.int64(offsets[bucket]), np.int64(offsets[bucket + 1])):
                if compact:
                    rest = np.uint64(body[j]) | (np.uint64(tails[j]) << np.uint64(32))
                    whole[0] = rotate((rest << np.uint64(b)) | np.uint64(bucket), 64 - bit)
                else:
                    for w in range(words):
                        whole[w] = body[j * words + w]
                    if key_at(whole, 0, bit, b) != bucket:
                        continue
                code = salt
                for w in range(words):
                    code = _mix(code ^ whole[w])
                ref = refs[j]
                if ref & REPEATED:
                    first, last = ends[ref ^ REPEATED], ends[(ref ^ REPEATED) + np.uint32(1)]
                    for i in range(np.int64(first), np.int64(last)):
                        total += _mark(code, rows[i])
                else:
                    total += _mark(code, ref)
        return total

    return kernel
