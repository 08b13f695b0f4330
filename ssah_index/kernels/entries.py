"""How the tables of an index hold codes: permuted, rotated, and in one of two forms.

The bits of a code are permuted once, so that the key of table t is the bits from t * b on. An
entry is a permuted code and a reference: the ordinal of its row (its place among all the rows
that an index covers), or, with `REPEATED` set, the list of all the rows that have this code.

The full form keeps the words of a code (body: uint64, tails: empty). The compact form, for
codes of one word, turns the key of the table to the low end and leaves it out, since the
bucket says it: at most 40 bits remain (body: uint32, tails: uint8), 9 bytes an entry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ssah_index.kernels.bitmap import ONE
from ssah_index.kernels.cache import njit
from ssah_index.kernels.signatures import CODES, NOTHING, NUMBER, WORD

REPEATED = np.uint32(1 << 31)
"""Marks a reference to a list of rows; so an index covers fewer than 2^31 rows."""
COMPACT_BITS = 40
"""Bits of a code that the compact form can hold."""

OFFSETS = types.Array(types.uint32, 1, "C")
REFS = types.Array(types.uint32, 1, "C")
TAILS = types.Array(types.uint8, 1, "C")


def body_type(compact: bool) -> types.Type:
    """Of the first part of an entry."""
    return types.uint32 if compact else types.uint64


@njit(inline="always")
def key_at(codes: Any, first: Any, bit: Any, b: Any) -> Any:
    """Bits ``bit`` to ``bit + b - 1`` of the permuted code whose words begin at ``first``.

    No slice is handed over: counting its references costs more than all this.
    """
    word, shift = np.uint64(first + (bit >> 6)), np.uint64(bit & 63)
    key = codes[word] >> shift
    if (bit & 63) + b > 64:
        key |= codes[word + ONE] << (np.uint64(64) - shift)
    return np.int64(key & ((ONE << np.uint64(b)) - ONE))


@njit(WORD(WORD, NUMBER), nogil=True, cache=True)
def rotate(word: Any, bit: int) -> Any:
    """Bit ``bit`` comes to the low end, and those below it to the high one."""
    shift = np.uint64(bit & 63)
    # Two shifts, because one by 64 is undefined.
    return (word >> shift) | ((word << ONE) << (np.uint64(63) - shift))


@njit(NOTHING(CODES, CODES, NUMBER, types.Array(types.uint64, 1, "C")), nogil=True, cache=True)
def permute(codes: Any, lut: Any, words: int, out: Any) -> None:
    """Permute the bits of codes.

    codes, out: uint64 (n * words,); lut: uint64 (8 * words * 256 * words,): the words that value v
    of byte i becomes begin at (256 * i + v) * words.
    """
    wide = np.uint64(words)
    for i in range(0, codes.size, words):
        for w in range(words):
            word = np.uint64(0)
            for j in range(8 * words):
                value = codes[np.uint64(i + (j >> 3))] >> np.uint64(8 * (j & 7))
                place = np.uint64(256 * j) + (value & np.uint64(255))
                word |= lut[place * wide + np.uint64(w)]
            out[i + w] = word


BODY = types.Array(types.uint32, 1, "C", readonly=True)


@njit(
    NOTHING(
        types.Tuple((BODY, types.Array(types.uint8, 1, "C", readonly=True))),
        types.Array(types.uint32, 1, "C", readonly=True),
        types.UniTuple(NUMBER, 3),
        types.Array(types.uint64, 1, "C"),
    ),
    nogil=True,
    cache=True,
)
def restore(entries: Any, offsets: Any, place: Any, out: Any) -> None:
    """Put the keys back into entries of the compact form.

    entries: (body, tails), some of table 0; offsets: uint32 (2^b + 1,), of the table; place: (which
    entry of the table the first is, its bucket, b); out: uint64 (count,), permuted codes.
    """
    body, tails = entries
    first, bucket, b = place
    for i in range(out.size):
        while offsets[bucket + 1] <= first + i:
            bucket += 1
        rest = np.uint64(body[i]) | (np.uint64(tails[i]) << np.uint64(32))
        out[i] = (rest << np.uint64(b)) | np.uint64(bucket)
