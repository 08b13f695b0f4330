"""Merge ordered answers into one, by (distance, row)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssah_index.types import Hits


def merge(parts: Sequence[Hits], nq: int, k: int | None) -> Hits:
    """Merge the answers of several indexes to the same queries.

    Parameters
    ----------
    parts : sequence of Hits
        One an index; no row is in two of them.
    nq : int
        Queries, also when there is no part.
    k : int or None
        Keep at most this many a query.

    Returns
    -------
    Hits
        Ascending (distance, row) within a query.
    """
    queries = [np.repeat(np.arange(nq), np.diff(part.lims)) for part in parts]
    query = np.concatenate([np.empty(0, np.int64), *queries])
    distances = np.concatenate([np.empty(0, np.int32), *(part.distances for part in parts)])
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
    order = np.lexsort((rows, distances, query))
    counts = np.bincount(query, minlength=nq)
    if k is not None:
        starts = counts.cumsum() - counts
        order = order[np.arange(len(order)) - np.repeat(starts, counts) < k]
        counts = np.minimum(counts, k)
    lims = np.concatenate([np.zeros(1, np.int64), counts.cumsum()])
    return Hits(distances[order], rows[order], lims)
