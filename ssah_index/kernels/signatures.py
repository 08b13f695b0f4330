"""Types of what kernels take: one signature each, so that one compilation serves all callers.

Read-only arrays accept writable ones too; mapped codes are read-only.
"""

from __future__ import annotations

from numba import types

NUMBER = types.int64
WORD = types.uint64
NOTHING = types.void

CODES = types.Array(types.uint64, 1, "C", readonly=True)
"""(n * words,): the words of code i are at i * words."""
QUERIES = types.Array(types.uint64, 2, "C", readonly=True)
"""(nq, words)."""
BITMAP = types.Array(types.uint64, 1, "C", readonly=True)
"""Rows that may be found, see `bitmap`; size 0: all of them."""
FLAG = types.Array(types.uint8, 1, "C", readonly=True)
"""(1,): not 0 when it is time to stop."""
INDICES = types.Array(types.int64, 1, "C", readonly=True)
NUMBERS = types.Array(types.int64, 1, "C")
TABLE = types.Array(types.int64, 2, "C")
DISTANCES = types.Array(types.int32, 1, "C")
MASK = types.Tuple((BITMAP, NUMBER))
"""A bitmap, and the row in it of the first code."""


def minima_type(words: int) -> types.Type:
    """Of least distances: one byte where every distance is below 255."""
    return types.uint8 if 64 * words < 255 else types.uint16
