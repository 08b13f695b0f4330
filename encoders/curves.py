"""Curves over a whole retrieval: precision-recall by radius, precision at N, and their plots."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.ranking import Ties, Unmatched, mean_over_queries
from encoders.retrieval import Floats, Retrieval
from ssah_index.errors import InputError, MissingExtraError

Average = Literal["micro", "macro"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RadiusCurve:
    """Precision and recall of the Hamming balls of radius 0 to bits about the queries."""

    average: Average
    """"micro": hits of all queries over items of all; "macro": the mean of the queries'."""
    precision: Floats
    """(bits + 1,); NaN at a radius where no ball holds anything."""
    recall: Floats
    """(bits + 1,), ascending."""
    answered: NDArray[np.int64]
    """(bits + 1,) queries whose ball is not empty."""


def radius_curve(task: Retrieval, average: Average = "micro") -> RadiusCurve:
    """Precision and recall by radius; the hash look-up curve of the field.

    Parameters
    ----------
    task : Retrieval
        Of packed codes.
    average : {"micro", "macro"}
        Queries without a relevant item are left out of both. The macro precision of a
        radius is the mean over the queries whose ball is not empty there.

    Notes
    -----
    Source: SSAH (Li et al., CVPR 2018), Fig. 4, which does not say how it averages.
    """
    total, relevant = task.counts()
    matched = relevant.sum(axis=1) > 0
    mean_over_queries(np.where(matched, 1.0, np.nan))  # refuses a task without any
    inside = np.cumsum(total[matched], axis=1)
    hits = np.cumsum(relevant[matched], axis=1)
    wanted = hits[:, -1]
    answered = (inside > 0).sum(axis=0)
    if average == "micro":
        retrieved = inside.sum(axis=0)
        precision = hits.sum(axis=0) / np.maximum(retrieved, 1)
        recall = hits.sum(axis=0) / wanted.sum()
    else:
        precision = (hits / np.maximum(inside, 1)).sum(axis=0) / np.maximum(answered, 1)
        recall = (hits / wanted[:, None]).mean(axis=0)
    return RadiusCurve(
        average=average,
        precision=np.where(answered > 0, precision, np.nan),
        recall=recall,
        answered=answered,
    )


def precision_at(
    task: Retrieval,
    ranks: Sequence[int],
    *,
    ties: Ties = "stable",
    unmatched: Unmatched = "skip",
) -> Floats:
    """Share of relevant items among the first N, for each N of ``ranks``; a mean of queries.

    Parameters
    ----------
    task : Retrieval
    ranks : sequence of int
        Each from 1 to the size of the database.
    ties : {"stable", "expected"}
    unmatched : {"skip", "zero"}

    Returns
    -------
    float64 (len(ranks),)
    """
    last = np.asarray(ranks, np.int64)
    if not len(last) or last.min() < 1 or last.max() > len(task.database):
        raise InputError(
            f"precision at ranks {list(ranks)}",
            f"one or more ranks from 1 to {len(task.database)}, the size of the database",
            "Ask for others.",
        )
    hits = _expected_hits(task, last) if ties == "expected" else _stable_hits(task, last)
    return np.array([mean_over_queries(column, unmatched) for column in (hits / last).T])


def _stable_hits(task: Retrieval, last: NDArray[np.int64]) -> Floats:
    """Hits among the first N in database order of ties, (nq, ranks); NaN if unmatched."""
    hits = np.empty((len(task.queries), len(last)))
    for batch in task.batches():
        relevant = task.relevant(batch)
        order = task.order(batch)[:, : last.max()]
        found = np.cumsum(np.take_along_axis(relevant, order, axis=1), axis=1)[:, last - 1]
        hits[batch] = np.where(relevant.any(axis=1, keepdims=True), found, np.nan)
    return hits


def _expected_hits(task: Retrieval, last: NDArray[np.int64]) -> Floats:
    """Mean over tie orders: a group that N cuts gives its relevant share of what is left."""
    total, relevant = task.counts()
    before = np.cumsum(total, axis=1) - total
    share = relevant / np.maximum(total, 1)
    taken = [np.clip(n - before, 0, total) for n in last]
    hits = np.stack([(share * part).sum(axis=1) for part in taken], axis=1)
    return np.where(relevant.any(axis=1, keepdims=True), hits, np.nan)


def import_matplotlib(module: str) -> Any:
    """A module of matplotlib.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise MissingExtraError(
            "matplotlib is not installed", "it for plots", "Run: pip install 'ssah-index[evaluate]'"
        ) from error


def plot_radius_curves(curves: Mapping[str, RadiusCurve], path: Path) -> None:
    """Draw precision over recall, one line a name, to a PNG file."""
    lines = {
        f"{name} ({curve.average})": (curve.recall, curve.precision)
        for name, curve in curves.items()
    }
    _plot(lines, "recall", "precision", path)


def plot_precision_at(ranks: Sequence[int], lines: Mapping[str, Floats], path: Path) -> None:
    """Draw precision over N, one line a name, to a PNG file."""
    places = np.asarray(ranks, np.float64)
    _plot({name: (places, line) for name, line in lines.items()}, "N", "precision at N", path)


def _plot(
    lines: Mapping[str, tuple[Floats, Floats]], across: str, upwards: str, path: Path
) -> None:
    # A Figure of its own: pyplot would keep state and choose a window system.
    figure = import_matplotlib("figure").Figure(figsize=(5, 4))
    axes = figure.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, marker=".")
    axes.set(xlabel=across, ylabel=upwards, ylim=(0, 1.02))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", dpi=120, bbox_inches="tight")
