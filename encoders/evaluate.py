"""Mean average precision of packed codes whose labels are names; `ranking` does the work."""

from __future__ import annotations

from collections.abc import Sequence

from encoders.data import label_matrix
from encoders.ranking import map_of
from encoders.retrieval import Retrieval
from ssah_index.types import Codes


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
    task = Retrieval(
        queries=query_codes,
        query_labels=label_matrix(query_labels, names).numpy(),
        database=database_codes,
        database_labels=label_matrix(database_labels, names).numpy(),
    )
    return map_of(task)
