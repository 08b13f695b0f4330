"""Average precision of rankings, whole or cut, with ties made explicit."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.retrieval import Floats, Retrieval
from ssah_index.errors import InputError

Ties = Literal["stable", "expected"]
"""Equal distances rank in database order, or count as the mean over all their orders."""
Unmatched = Literal["skip", "zero"]
"""Queries without a relevant item are left out of a mean, or count 0 in it."""
COLLAPSE_MARGIN = 0.02
"""MAP above chance that codes which have not collapsed exceed.
Source: the collapsed runs of SSAH's released code, which end at the prevalence itself."""


def average_precisions(task: Retrieval, *, ties: Ties = "stable", cut: int | None = None) -> Floats:
    """Average precision of each query: the mean, over relevant items, of precision there.

    Parameters
    ----------
    task : Retrieval
    ties : {"stable", "expected"}
        "expected" is exact, not sampled; it is defined for codes over the whole ranking.
    cut : int, optional
        AP@R: only ranks up to R count, and the sum is divided by the relevant items among
        them (0 if there are none). Not the field's other two definitions of it.

    Returns
    -------
    float64 (nq,)
        NaN for a query without a relevant item in the database.
    """
    if ties == "expected" and cut is not None:
        raise InputError(
            f"expected ties with a cut at rank {cut}",
            "stable ties, or no cut: the number of hits in a cut is itself random",
            "Leave one of them out.",
        )
    if cut is not None and cut < 1:
        raise InputError(f"a cut at rank {cut}", "1 or more", "Give the last rank that counts.")
    if ties == "expected":
        return expected_precisions(*task.counts())
    found = np.full(len(task.queries), np.nan)
    for batch in task.batches():
        ranked = np.take_along_axis(task.relevant(batch), task.order(batch), axis=1)
        for query, row in enumerate(ranked, batch.start):
            places = np.flatnonzero(row) + 1
            if len(places):
                within = places if cut is None else places[: np.searchsorted(places, cut, "right")]
                precisions = np.arange(1, len(within) + 1) / within
                found[query] = precisions.mean() if len(within) else 0.0
    return found


def expected_precisions(total: NDArray[np.int64], relevant: NDArray[np.int64]) -> Floats:
    """Mean of average precision over all orders of the items of equal distance.

    Parameters
    ----------
    total, relevant : int64 (nq, groups)
        Items and relevant items of each tie group, nearest first.

    Returns
    -------
    float64 (nq,)
        NaN where nothing is relevant.

    Notes
    -----
    A group of t items, r of them relevant, after a items with h hits: place j of the group
    is relevant with probability r/t, and then (j-1)(r-1)/(t-1) of the places before it in
    the group are so too on average. Its share of the sum of precisions is therefore
    r/t * sum_j (h + 1 + s(j-1)) / (a + j), s = (r-1)/(t-1), and as j-1 = (a+j) - (a+1),
    r/t * (s t + (h + 1 - s(a+1)) (H(a+t) - H(a))) with harmonic numbers H.
    Source: McSherry and Najork, ECIR 2008 (the sum); the closed form is ours.
    """
    after = np.cumsum(total, axis=1)
    before = after - total
    hits = np.cumsum(relevant, axis=1) - relevant
    longest = int(after[:, -1].max(initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, longest + 1))])
    share = (relevant - 1) / np.maximum(total - 1, 1)
    first = hits + 1 - share * (before + 1)
    sums = share * total + first * (harmonic[after] - harmonic[before])
    gains = np.where(relevant > 0, relevant / np.maximum(total, 1) * sums, 0.0).sum(axis=1)
    wanted = relevant.sum(axis=1)
    return np.where(wanted > 0, gains / np.maximum(wanted, 1), np.nan)


def mean_over_queries(values: Floats, unmatched: Unmatched = "skip") -> float:
    """Mean of one value a query.

    Parameters
    ----------
    values : float64 (nq,)
        NaN marks a query without a relevant item.
    unmatched : {"skip", "zero"}
        "zero" is what SSAH's released code does.

    Raises
    ------
    InputError
        If there is nothing to take the mean of.
    """
    matched = values[~np.isnan(values)]
    if not len(matched):
        raise InputError(
            f"none of the {len(values)} queries shares a label with the database",
            "at least one that does",
            "Check the labels of both.",
        )
    return float(matched.sum() / (len(matched) if unmatched == "skip" else len(values)))


def map_of(
    task: Retrieval,
    *,
    ties: Ties = "stable",
    cut: int | None = None,
    unmatched: Unmatched = "skip",
) -> float:
    """Mean average precision, over the whole ranking unless cut; between 0 and 1.

    Examples
    --------
    >>> codes, labels = np.array([[0], [255]], np.uint8), np.eye(2)
    >>> map_of(
    ...     Retrieval(
    ...         queries=codes, query_labels=labels, database=codes, database_labels=labels
    ...     )
    ... )
    1.0
    """
    return mean_over_queries(average_precisions(task, ties=ties, cut=cut), unmatched)


def has_collapsed(found: float, chance: float) -> bool | None:
    """Whether codes that search their own modality find no more than constant codes would.

    Parameters
    ----------
    found : float
        MAP of images among images, or of texts among texts.
    chance : float
        MAP of codes that are all equal: the prevalence, or little more.

    Returns
    -------
    bool or None
        None where nearly everything is relevant: there chance leaves no margin. Where little
        is, half of chance is the margin: a network that learns slowly is within 0.02 for long.
    """
    if chance > 1 - COLLAPSE_MARGIN:
        return None
    return found < chance + min(COLLAPSE_MARGIN, chance / 2)
