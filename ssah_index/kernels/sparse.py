"""Search of few allowed rows: their codes are gathered side by side, then scanned densely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ssah_index.kernels.bitmap import count_bits, gather
from ssah_index.kernels.merge import merge
from ssah_index.kernels.scan import FEW_QUERIES, Extent, scan, too_many
from ssah_index.types import Bitmap, Hits, SearchSpec, Words

GATHER_ROWS = 1 << 21
"""Rows that are gathered before they are scanned; a single extent may have more."""


def gathers(queries: Words, share: float) -> bool:
    """Whether gathering is faster than scanning with a mask.

    Parameters
    ----------
    queries : uint64 (nq, words)
    share : float
        Of rows that are allowed, 0 to 1.

    Notes
    -----
    A gathered row costs a miss in the cache, 30 to 70 ns; after that a query costs next to
    nothing. A scan with a mask reads every code for a few queries, and reads and compares
    the allowed ones alone for many, so that it loses only what it spends on empty blocks.
    Where both took equally long, at 50 million one-word codes: 1 query, 0.4 %; 16, 1 %; 64, 1 %
    to 3 %; 256, 6 %.
    """
    return share <= (0.004 if len(queries) < FEW_QUERIES else 0.02)


def scan_allowed(extents: Sequence[Extent], queries: Words, spec: SearchSpec) -> Hits:
    """Find what a spec asks for, whatever it allows; otherwise as `scan`.

    Notes
    -----
    Extra memory, where rows are gathered: their codes and 8 bytes a row, of `GATHER_ROWS`
    or of one extent, whichever is more.
    """
    if spec.allowed is None:
        return scan(extents, queries, spec)
    bitmap = spec.allowed
    counts = [count_bits(bitmap, e.first_row, len(e.words)) for e in extents]
    total = sum(len(extent.words) for extent in extents)
    if not gathers(queries, sum(counts) / max(total, 1)):
        pairs = zip(extents, counts, strict=True)
        kept = [replace(e, whole=count == len(e.words)) for e, count in pairs if count]
        return scan(kept, queries, spec)
    dense = replace(spec, allowed=None)
    parts: list[Hits] = []
    for codes, rows in _gathered(extents, counts, bitmap):
        found = scan([Extent(codes, 0)], queries, dense)
        parts.append(Hits(found.distances, rows[found.rows], found.lims))
        if spec.k is not None:
            parts = [merge(parts, len(queries), spec.k)]
        if spec.limit is not None and sum(len(part.rows) for part in parts) > spec.limit:
            raise too_many(spec)
    return merge(parts, len(queries), spec.k)


def _gathered(
    extents: Sequence[Extent], counts: Sequence[int], bitmap: Bitmap
) -> Iterator[tuple[Words, NDArray[np.int64]]]:
    """Allowed codes and their rows, of as many extents at a time as `GATHER_ROWS` has room for."""
    waiting: list[tuple[Extent, int]] = []
    room = GATHER_ROWS
    for extent, count in zip(extents, counts, strict=True):
        if count > room and waiting:
            yield _gather(waiting, bitmap)
            waiting, room = [], GATHER_ROWS
        if count:
            waiting.append((extent, count))
            room -= count
    if waiting:
        yield _gather(waiting, bitmap)


def _gather(
    waiting: Sequence[tuple[Extent, int]], bitmap: Bitmap
) -> tuple[Words, NDArray[np.int64]]:
    words = waiting[0][0].words.shape[1]
    total = sum(count for _, count in waiting)
    codes, rows = np.empty((total, words), np.uint64), np.empty(total, np.int64)
    place = 0
    for extent, count in waiting:
        here = slice(place, place + count)
        gather(
            extent.words.reshape(-1),
            words,
            (bitmap, extent.first_row),
            (codes[here].reshape(-1), rows[here]),
        )
        place += count
    return codes, rows
