"""Exact search of one array of codes by block minima.

Pass 1 finds the least distance of each query to each block. The k-th smallest minimum T
bounds the k-th distance, so pass 2 needs only the blocks whose minimum is below T (fewer
than k) and, in row order, as many at T as are still needed: each of those holds a code at
T, and any row left out stands behind k better ones. At most k blocks are looked into,
even if all codes are equal, and ties fall to the least row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.kernels.hits import count_hits, emit_hits
from ssah_index.kernels.minima import block_minima
from ssah_index.types import Hits, Words

BLOCK_BYTES = 8192
"""Codes of one block; with the queries it stays in the first-level cache."""

GROUP_BYTES = 64 << 20
"""Most memory for minima and counts; larger batches are searched group by group."""


def scan(codes: Words, queries: Words, *, k: int | None, radius: int | None) -> Hits:
    """Find the k nearest codes, those within a radius, or the k nearest within it.

    Parameters
    ----------
    codes : uint64 (n, words), C-contiguous
    queries : uint64 (nq, words), C-contiguous
    k : int, optional
        At most this many hits a query.
    radius : int, optional
        Greatest distance in bits, inclusive. One of both must be given.

    Returns
    -------
    Hits
        Rows are positions in ``codes``; ascending (distance, row).

    Notes
    -----
    Reads 8 * n * words bytes once for every four queries. Extra memory: the hits, and
    `GROUP_BYTES` for minima and counts (more only if a single query needs more).
    """
    n, words = codes.shape
    block = max(BLOCK_BYTES // (8 * words), 16)
    nblocks = -(-n // block)
    wide = 64 * words > 255
    # A query needs its minima and their running counts, and five rows of counts by distance.
    query_bytes = 16 * nblocks + 40 * (64 * words + 1)
    group = max(GROUP_BYTES // query_bytes, 1)
    parts = [
        _scan_group(codes.reshape(-1), queries[i : i + group], block, nblocks, wide, k, radius)
        for i in range(0, len(queries), group)
    ]
    return concatenate(parts)


def concatenate(parts: list[Hits]) -> Hits:
    """Join the answers of consecutive groups of queries."""
    if len(parts) == 1:
        return parts[0]
    counts = [np.diff(part.lims) for part in parts]
    return Hits(
        np.concatenate([part.distances for part in parts] or [np.empty(0, np.int32)]),
        np.concatenate([part.rows for part in parts] or [np.empty(0, np.int64)]),
        np.concatenate([np.zeros(1, np.int64), *counts]).cumsum(),
    )


def _scan_group(
    codes: NDArray[np.uint64],
    queries: Words,
    block: int,
    nblocks: int,
    wide: bool,
    k: int | None,
    radius: int | None,
) -> Hits:
    nq, words = queries.shape
    minima = np.empty((nq, nblocks), np.uint16 if wide else np.uint8)
    block_minima(words)(codes, queries, block, minima)
    reach, kept = _keep(minima, 64 * words, k, radius)
    counts = np.zeros((nq, 64 * words + 1), np.int64)
    count_hits(words)(codes, queries, block, kept, reach, counts)
    totals = counts.sum(axis=1)
    if k is not None:
        totals = np.minimum(totals, k)
    lims = np.concatenate([np.zeros(1, np.int64), totals.cumsum()])
    places = lims[:-1, None] + counts.cumsum(axis=1) - counts
    # Beyond the reach every place is the end, so nothing is written there.
    out = np.empty(lims[-1], np.int32), np.empty(lims[-1], np.int64)
    emit_hits(words)(codes, queries, block, kept, lims[1:], places, out)
    return Hits(out[0], out[1], lims)


def _keep(
    minima: NDArray[np.unsignedinteger[Any]], bits: int, k: int | None, radius: int | None
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Greatest distance of interest of each query, and the blocks to look into."""
    nq, nblocks = minima.shape
    reach = np.full(nq, bits if radius is None else min(radius, bits), np.int64)
    keep = minima <= reach[:, None]
    if k is not None and k < nblocks:
        kth = np.partition(minima, k - 1, axis=1)[:, k - 1 : k]
        nearer = minima < kth
        tied = minima == kth
        needed = k - np.count_nonzero(nearer, axis=1, keepdims=True)
        keep &= nearer | (tied & (np.cumsum(tied, axis=1) <= needed))
        reach = np.minimum(reach, kth[:, 0])
    lims = np.concatenate([np.zeros(1, np.int64), np.count_nonzero(keep, axis=1).cumsum()])
    return reach, (np.nonzero(keep)[1], lims)
