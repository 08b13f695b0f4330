"""The flat index: an exact scan of all its codes, built from nothing but them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes import as_codes, to_words
from ssah_index.kernels import Extent, scan_allowed
from ssah_index.types import Bitmap, Hits, Pairs, SearchSpec, Words

if TYPE_CHECKING:  # arrays are searched without a store, and its import takes 0.1 s
    from ssah_index.store import Segment

EXTENT_BYTES = 128 << 20
"""Codes of an array that are scanned as one extent; a segment has as many at most."""
PAIR_ROWS = 1024
"""Rows that are compared with all behind them at a time, to find pairs."""


class FlatIndex:
    """Exact search by block minima; the oracle for every other index.

    Parameters
    ----------
    extents : sequence of Extent
        In the order of their rows; `over` and `of` make them.

    Notes
    -----
    Codes are read where they lie, in memory or in mapped files, which may be larger than
    memory. A search needs 24 bytes a hit; 64 MiB for what it notes of each block, or for a
    single query 18 bytes a block of 8 KiB of codes where that is more; and where few rows
    are allowed, the allowed codes of one extent with 8 bytes a row, or 2^21 of them.
    """

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = list(extents)

    @classmethod
    def over(cls, segments: Sequence[Segment]) -> FlatIndex:
        """The index of segments of one store; their codes are mapped, and read ahead.

        Codes whose nbytes is no multiple of 8 are copied into memory.
        """
        return cls([Extent(s.files.words, s.first_row, s.files.prefetch) for s in segments])

    @classmethod
    def of(cls, codes: Any) -> FlatIndex:
        """The index of an array, without a store.

        Parameters
        ----------
        codes : uint8 (n, nbytes), or whatever else `as_codes` takes

        Raises
        ------
        CodeError
            If they are no codes.
        """
        words = to_words(as_codes(codes))
        step = max(EXTENT_BYTES // (8 * words.shape[1]), 1)
        return cls([Extent(words[i : i + step], i) for i in range(0, len(words), step)])

    def search(self, queries: Words, spec: SearchSpec) -> Hits:
        """Find rows near each query.

        Parameters
        ----------
        queries : uint64 (nq, words)
        spec : SearchSpec

        Returns
        -------
        Hits
            Ascending (distance, row).

        Raises
        ------
        TooManyHitsError, DeadlineError, CancelledError
            As the spec's limit and stop say.
        """
        return scan_allowed(self._extents, queries, spec)

    def pairs(self, spec: SearchSpec) -> Iterator[Pairs]:
        """Find all pairs of rows within a radius of each other: duplicates, at radius 0.

        Parameters
        ----------
        spec : SearchSpec
            With a radius, and without k. Rows that it does not allow are in no pair; its
            limit is for each batch.

        Yields
        ------
        Pairs
            One batch for every 1024 rows that have a partner; ascending (row, distance, other).
        """
        for number, extent in enumerate(self._extents):
            for start in range(0, len(extent.words), PAIR_ROWS):
                own = extent.words[start : start + PAIR_ROWS]
                first = extent.first_row + start
                behind = [Extent(extent.words[start:], first), *self._extents[number + 1 :]]
                hits = scan_allowed(behind, own, spec)
                rows = np.repeat(np.arange(first, first + len(own)), np.diff(hits.lims))
                keep = (hits.rows > rows) & _allowed(rows, spec.allowed)
                if keep.any():
                    yield Pairs(rows[keep], hits.rows[keep], hits.distances[keep])


def _allowed(rows: NDArray[np.int64], allowed: Bitmap | None) -> NDArray[np.bool_]:
    if allowed is None:
        return np.ones(len(rows), np.bool_)
    flags: NDArray[np.uint64] = allowed[rows >> 6] >> (rows & 63).astype(np.uint64)
    return (flags & np.uint64(1)).astype(np.bool_)
