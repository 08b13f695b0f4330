"""Slow, obvious twins of everything fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssah_index.types import Hits


def distances(codes: NDArray[np.uint8], queries: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Hamming distances of every query to every code, bit by bit; int32 (nq, n)."""
    bits = np.unpackbits(codes, axis=1).astype(bool)
    wanted = np.unpackbits(queries, axis=1).astype(bool)
    if not len(codes):
        return np.empty((len(queries), 0), np.int32)
    return np.stack([(bits != one).sum(axis=1) for one in wanted]).astype(np.int32)


def search(
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    k: int | None = None,
    radius: int | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> Hits:
    """Sort everything that is allowed by (distance, row) and cut."""
    found, rows, lims = [], [], [0]
    for line in distances(codes, queries) if len(queries) else []:
        order = np.lexsort((np.arange(len(line)), line))
        if allowed is not None:
            order = order[allowed[order]]
        if radius is not None:
            order = order[line[order] <= radius]
        order = order[:k]
        found.append(line[order])
        rows.append(order)
        lims.append(lims[-1] + len(order))
    return Hits(
        np.concatenate([np.empty(0, np.int32), *found]),
        np.concatenate([np.empty(0, np.int64), *rows]),
        np.array(lims, np.int64),
    )


def average_precision(relevant: list[bool]) -> float:
    """AP of one ranking by its definition."""
    hits, total = 0, 0.0
    for place, is_relevant in enumerate(relevant, 1):
        if is_relevant:
            hits += 1
            total += hits / place
    return total / hits
