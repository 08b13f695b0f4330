"""Evaluation of packed codes whose labels are names; `report` and `ranking` do the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.data import label_matrix
from encoders.ranking import map_of
from encoders.report import Report, Side, make_report
from encoders.retrieval import Retrieval
from ssah_index.types import Codes, Labelled, Modality, Progress, no_progress


def evaluate(
    queries: Mapping[Modality, Labelled],
    database: Mapping[Modality, Labelled],
    *,
    pairs: NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
) -> Report:
    """The report of `report.make_report`; relevant is what shares a label with the query.

    Parameters
    ----------
    queries, database : mapping of modality to Labelled
        Disjoint. What has no label is never relevant.
    pairs : int64 (m, 2), optional
        Database rows of an image and of a text that are one item.
    progress : Progress, optional
        Told of the queries ranked.

    Raises
    ------
    InputError
        If in some direction no query has a relevant item.

    Notes
    -----
    Beside what `make_report` takes, label matrices of 4 bytes an item and name.
    """
    sides = [*queries.values(), *database.values()]
    names = sorted({name for side in sides for own in side.labels for name in own})

    def with_matrices(given: Mapping[Modality, Labelled]) -> dict[Modality, Side]:
        return {
            modality: Side(
                codes=side.codes,
                labels=label_matrix(side.labels, names).numpy(),
                activations=side.activations,
                seen=side.seen,
            )
            for modality, side in given.items()
        }

    return make_report(
        with_matrices(queries), with_matrices(database), pairs=pairs, progress=progress
    )


def mean_average_precision(
    query_codes: Codes,
    query_labels: Sequence[Sequence[str]],
    database_codes: Codes,
    database_labels: Sequence[Sequence[str]],
) -> float:
    """MAP over the whole ranking, and nothing else.

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
    task = Retrieval(
        queries=query_codes,
        query_labels=label_matrix(query_labels, names).numpy(),
        database=database_codes,
        database_labels=label_matrix(database_labels, names).numpy(),
    )
    return map_of(task)
