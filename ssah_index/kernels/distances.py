"""Whole rows of distances, for evaluation of rankings; searches use `scan`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from ssah_index.codes import to_words
from ssah_index.kernels.cache import njit
from ssah_index.kernels.popcount import popcount
from ssah_index.kernels.signatures import CODES, NOTHING, QUERIES
from ssah_index.types import Codes

OUT = types.Array(types.uint16, 2, "C")


@cache
def _fill(words: int) -> Callable[..., None]:
    @njit(NOTHING(CODES, QUERIES, OUT), nogil=True, cache=True)
    def kernel(codes: Any, queries: Any, out: Any) -> None:
        """codes: uint64 (n * words,); queries: uint64 (nq, words); out: uint16 (nq, n)."""
        for q in range(queries.shape[0]):
            query = queries[q]
            row = out[q]
            for i in range(row.size):
                d = np.uint64(0)
                for w in range(words):
                    d += popcount(codes[i * words + w] ^ query[w])
                row[i] = d

    return kernel


def hamming_distances(codes: Codes, queries: Codes) -> NDArray[np.uint16]:
    """Distances of every query to every code.

    Parameters
    ----------
    codes : uint8 (n, nbytes), C-contiguous
    queries : uint8 (nq, nbytes), C-contiguous

    Returns
    -------
    uint16 (nq, n)
        Bits. Hand in queries by batches: the whole matrix is allocated.
    """
    out = np.empty((len(queries), len(codes)), np.uint16)
    words = to_words(codes)
    _fill(words.shape[1])(words.reshape(-1), to_words(queries), out)
    return out
