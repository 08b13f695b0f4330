"""Mean average precision of packed codes by Hamming ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoders.data import label_matrix
from ssah_index.errors import InputError
from ssah_index.kernels import hamming_distances
from ssah_index.types import Codes

BATCH = 256


def mean_average_precision(
    query_codes: Codes,
    query_labels: Sequence[Sequence[str]],
    database_codes: Codes,
    database_labels: Sequence[Sequence[str]],
) -> float:
    """MAP over the whole ranking; relevant is what shares a label with the query.

    Equal distances rank in database order (a stable sort). Queries without a relevant
    item are left out of the mean.

    Parameters
    ----------
    query_codes : uint8 (nq, nbytes)
    query_labels : nq sequences of names
    database_codes : uint8 (n, nbytes)
    database_labels : n sequences of names

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        If no query has a relevant item.
    """
    names = sorted({name for labels in query_labels for name in labels})
    wanted = label_matrix(query_labels, names).numpy()
    offered = label_matrix(database_labels, names).numpy()
    total = 0.0
    counted = 0
    for start in range(0, len(query_codes), BATCH):
        relevant = wanted[start : start + BATCH] @ offered.T > 0
        distances = hamming_distances(database_codes, query_codes[start : start + BATCH])
        order = np.argsort(distances, axis=1, kind="stable")
        ranked = np.take_along_axis(relevant, order, axis=1)
        for row in ranked:
            places = np.flatnonzero(row) + 1
            if len(places):
                total += float(np.mean(np.arange(1, len(places) + 1) / places))
                counted += 1
    if not counted:
        raise InputError(
            f"none of the {len(query_codes)} queries shares a label with the database",
            "at least one that does",
            "Check the labels of both.",
        )
    return total / counted
