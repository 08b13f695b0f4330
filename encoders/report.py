"""One evaluation as one report: every direction, the codes themselves, and a verdict.

Directions are named "image->text" and so on: what asks, then what is searched. Within one
modality the queries are not in the database, so that no item is left out of any ranking.
The metrics are those of `ranking`, `curves` and `bits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.bits import BitReport, ModalityGap, bit_report, modality_gap
from encoders.curves import (
    RadiusCurve,
    plot_precision_at,
    plot_radius_curves,
    precision_at,
    radius_curve,
)
from encoders.ranking import expected_precisions, has_collapsed, map_of, mean_over_queries
from encoders.retrieval import Labels, Retrieval
from ssah_index.errors import InputError
from ssah_index.types import MODALITIES, Codes, Modality, Progress, no_progress

CUTS = (50, 500, 5000)
ALWAYS_RANKED = 5
"""Times that a direction goes through its queries: counts (for the chance, the MAP with expected
ties and the curves), the MAP, and the precisions; once more for each cut."""
RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """Queries or database of one modality."""

    codes: Codes
    """uint8 (n, nbytes)."""
    labels: Labels
    """(n, c) 0/1, the same classes on every side; a row of zeros is never relevant."""
    activations: NDArray[np.floating[Any]] | None = None
    """(n, bits) before the sign; of queries only, for asymmetric ranking."""
    seen: NDArray[np.bool_] | None = None
    """(n,) True for rows that training has seen; of a database only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """How queries of one modality find items of one modality.

    Every mean is over the queries that have a relevant item, every figure but
    ``map_expected`` has equal distances in database order.
    """

    queries: int
    """Number of them."""
    unmatched: int
    """Queries without a relevant item in the database; no figure counts them."""
    database: int
    """Rows that are ranked."""
    unlabelled: int
    """Rows of the database without a label: ranked, and never relevant."""
    prevalence: float
    """Share of relevant pairs, 0 to 1."""
    map_chance: float
    """MAP of codes that know nothing, all orders being equally likely: the prevalence for a
    large database, a little above it for a small one."""
    map: float
    """MAP over the whole ranking, 0 to 1."""
    map_expected: float
    """The same, as the mean over all orders of equal distances."""
    map_at: dict[int, float]
    """MAP@R by R."""
    precision_at: dict[int, float]
    """Share of relevant items among the first N, by N."""
    by_radius: RadiusCurve
    """Precision and recall by radius, micro-averaged."""
    map_asymmetric: float | None
    """MAP of the queries' activations against stored bits; None without activations."""
    map_unseen: float | None
    """MAP over the rows that training has not seen; None without a mask."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All figures of one evaluation."""

    directions: dict[str, Direction]
    """By name, such as "image->text"."""
    codes: dict[Modality, BitReport]
    """How the database's codes use their bits."""
    gap: ModalityGap | None
    """Of the database's pairs; None where none are known."""

    @property
    def collapsed(self) -> bool | None:
        """Whether images among images, or texts among texts, are found no better than by chance.

        By `ranking.has_collapsed`, of the MAP with expected ties, as constant codes tie
        everywhere. None where it says nothing, or nothing searches its own modality.
        """
        within = [self.directions.get(f"{modality}->{modality}") for modality in MODALITIES]
        verdicts = [has_collapsed(d.map_expected, d.map_chance) for d in within if d is not None]
        known = [verdict for verdict in verdicts if verdict is not None]
        return any(known) if known else None

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists, strings and numbers; what is undefined (NaN) is None."""
        figures = {
            "collapsed": self.collapsed,
            "directions": {name: asdict(figure) for name, figure in self.directions.items()},
            "codes": {modality: own.summary() for modality, own in self.codes.items()},
            "gap": None if self.gap is None else asdict(self.gap) | {"gap": self.gap.gap},
        }
        plain: dict[str, Any] = _plain(figures)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(own) for own in value.tolist()]
    return None if isinstance(value, float) and np.isnan(value) else value


def make_report(
    queries: Mapping[Modality, Side],
    database: Mapping[Modality, Side],
    *,
    pairs: NDArray[np.int64] | None = None,
    cuts: Sequence[int] = CUTS,
    ranks: Sequence[int] = RANKS,
    progress: Progress = no_progress,
) -> Report:
    """Measure codes in every direction that the modalities given allow.

    Parameters
    ----------
    queries, database : mapping of modality to Side
        Disjoint: an item that stands in both finds itself first.
    pairs : int64 (m, 2), optional
        Database rows of an image and of a text that are one item, for the modality gap.
    cuts : sequence of int
        R of MAP@R; those beyond the smallest database stand for its size.
    ranks : sequence of int
        N of precision@N; those beyond the smallest database are left out.
    progress : Progress, optional
        Told of each direction by its name, in queries, each counted once a ranking.

    Raises
    ------
    InputError
        If a side is missing, shapes do not fit together, or in some direction no query has
        a relevant item.

    Notes
    -----
    Codes are unpacked batch by batch, never as a whole. Beside the arguments the peak is
    about 60 MB of pairs and 48 MB of unpacked bits, 16 (bits + 1) bytes a query, and for a
    database row three copies of its packed code; past 4 million rows, where a batch is one
    query, 30 bytes a row for its ranking.
    """
    sizes = [[len(side.codes) for side in sides.values()] for sides in (queries, database)]
    if not all(own and min(own) for own in sizes):
        raise InputError(
            f"{sizes[0]} codes of queries and {sizes[1]} of the database, by modality",
            "a modality of both, and none without codes",
            "Encode images, texts, or both, and leave out what is empty.",
        )
    smallest = min(sizes[1])
    cuts = sorted({min(cut, smallest) for cut in cuts})
    ranks = [rank for rank in ranks if rank <= smallest]
    gap = None
    if pairs is not None and len(pairs) and len(database) == len(MODALITIES):
        images, texts = (
            database[modality].codes[pairs[:, i]] for i, modality in enumerate(MODALITIES)
        )
        gap = modality_gap(images, texts)
    return Report(
        directions={
            f"{asking}->{found}": _direction(
                f"{asking}->{found}", queries[asking], database[found], cuts, ranks, progress
            )
            for asking, found in _ways(queries, database)
        },
        codes={modality: bit_report(side.codes) for modality, side in database.items()},
        gap=gap,
    )


def _ways(
    queries: Mapping[Modality, Side], database: Mapping[Modality, Side]
) -> list[tuple[Modality, Modality]]:
    """Pairs of modalities that can be measured, those across modalities first."""
    ways = [(asking, found) for asking in queries for found in database]
    return sorted(ways, key=lambda way: way[0] == way[1])


class _Count:
    """Counts the queries of all rankings of one direction, and tells of them."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress, self._name, self._total, self._done = progress, name, total, 0

    def __call__(self, queries: int) -> None:
        self._done = min(self._done + queries, self._total - 1)
        self._progress(self._done, self._total, self._name)

    def finish(self) -> None:
        self._progress(self._total, self._total, self._name)


def _direction(
    name: str,
    query: Side,
    found: Side,
    cuts: Sequence[int],
    ranks: Sequence[int],
    progress: Progress,
) -> Direction:
    optional = (query.activations is not None) + (found.seen is not None)
    count = _Count(progress, name, len(query.codes) * (ALWAYS_RANKED + len(cuts) + optional))
    task = Retrieval(
        queries=query.codes,
        query_labels=query.labels,
        database=found.codes,
        database_labels=found.labels,
        ranked=count,
    )
    total, relevant = (counts.sum(axis=1, keepdims=True) for counts in task.counts())
    if not relevant.any():
        raise InputError(
            f"none of the {len(total)} queries of {name} shares a label with the "
            f"{len(task.database)} rows of the database",
            "at least one that does",
            "Check the labels of both.",
        )
    chances = expected_precisions(total, relevant)  # one group: everything ties
    shares = np.where(relevant > 0, relevant / np.maximum(total, 1), np.nan)[:, 0]
    precisions = precision_at(task, ranks)
    figures = Direction(
        queries=len(task.queries),
        unmatched=int((relevant == 0).sum()),
        database=len(task.database),
        unlabelled=int((~found.labels.any(axis=1)).sum()),
        prevalence=mean_over_queries(shares),
        map_chance=mean_over_queries(chances),
        map=map_of(task),
        map_expected=map_of(task, ties="expected"),
        map_at={cut: map_of(task, cut=cut) for cut in cuts},
        precision_at=dict(zip(ranks, map(float, precisions), strict=True)),
        by_radius=radius_curve(task),
        map_asymmetric=_asymmetric(task, query),
        map_unseen=None if found.seen is None else _unseen(task, found.seen),
    )
    count.finish()
    return figures


def _asymmetric(task: Retrieval, query: Side) -> float | None:
    return None if query.activations is None else map_of(replace(task, queries=query.activations))


def _unseen(task: Retrieval, seen: NDArray[np.bool_]) -> float:
    if seen.all():
        raise InputError(
            f"training has seen all {len(seen)} rows of the database",
            "some that it has not, for the MAP over these",
            "Leave out --trained-on, or the mask of what training has seen.",
        )
    return map_of(task.unseen(seen))


def plot(report: Report, folder: Path) -> None:
    """Draw all directions into precision-recall.png and precision-at-n.png of a folder.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    directions = report.directions
    curves = {name: figures.by_radius for name, figures in directions.items()}
    plot_radius_curves(curves, folder / "precision-recall.png")
    lines = {
        name: np.array(list(figures.precision_at.values())) for name, figures in directions.items()
    }
    ranks = list(next(iter(directions.values())).precision_at)
    plot_precision_at(ranks, lines, folder / "precision-at-n.png")
