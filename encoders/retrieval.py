"""Queries against a database with the labels of both: what is relevant, near, and ranked how.

A `Retrieval` holds packed codes and label matrices; two items belong together if they
share a label. It is worked through in batches of bounded memory. Relies on the distance
kernel and NumPy, not on torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes import as_codes, unpack
from ssah_index.errors import InputError
from ssah_index.kernels import hamming_distances
from ssah_index.types import Codes

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[Any]
"""0/1 of any numeric dtype, (items, c)."""

BATCH_PAIRS = 1 << 22
"""Query-database pairs held at once: at most about 60 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrieval:
    """Queries against a database, and the labels that say what is relevant."""

    queries: NDArray[Any]
    """uint8 (nq, nbytes) packed codes, ranked by Hamming distance; or float (nq, bits)
    activations h, ranked by <h, b> against the signs b of the stored bits."""
    query_labels: Labels
    """(nq, c) 0/1."""
    database: Codes
    """uint8 (n, nbytes) packed codes."""
    database_labels: Labels
    """(n, c) 0/1."""
    ranked: Callable[[int], None] = lambda _: None
    """Told how many queries each batch has had, once it is done."""

    def __post_init__(self) -> None:
        database = as_codes(self.database, what="the database's codes")
        bits = 8 * database.shape[1]
        object.__setattr__(self, "database", database)
        if self.asymmetric:
            _check_activations(self.queries, bits)
        else:
            object.__setattr__(self, "queries", as_codes(self.queries, bits, "the queries' codes"))
        _check_labels(self.query_labels, len(self.queries), "queries")
        _check_labels(self.database_labels, len(database), "the database")
        classes = self.query_labels.shape[1], self.database_labels.shape[1]
        if classes[0] != classes[1]:
            raise InputError(
                f"{classes[0]} label columns of queries meet {classes[1]} of the database",
                "the same classes in the same order",
                "Build both label matrices from one list of names.",
            )

    @property
    def asymmetric(self) -> bool:
        """True if the queries are real activations."""
        return self.queries.dtype.kind == "f"

    @property
    def bits(self) -> int:
        """Code width."""
        return int(8 * self.database.shape[1])

    def unseen(self, seen: NDArray[np.bool_]) -> Retrieval:
        """The same queries without the database rows that training has seen.

        Parameters
        ----------
        seen : bool (n,)
            True for rows to leave out.
        """
        if seen.dtype != np.bool_ or seen.shape != (len(self.database),):
            raise InputError(
                f"a mask of shape {seen.shape} and dtype {seen.dtype}",
                f"bool ({len(self.database)},)",
                "Give one truth value a database row.",
            )
        rest = ~seen
        return replace(
            self, database=self.database[rest], database_labels=self.database_labels[rest]
        )

    def batches(self) -> Iterator[slice]:
        """Runs of queries whose pairs fit BATCH_PAIRS."""
        size = max(BATCH_PAIRS // max(len(self.database), 1), 1)
        for start in range(0, len(self.queries), size):
            stop = min(start + size, len(self.queries))
            yield slice(start, stop)
            self.ranked(stop - start)

    def relevant(self, batch: slice) -> NDArray[np.bool_]:
        """Bool (batch, n): pairs that share a label."""
        offered = self.database_labels.astype(np.float32, copy=False)
        shared = self.query_labels[batch].astype(np.float32) @ offered.T
        return np.asarray(shared > 0)

    def distances(self, batch: slice) -> NDArray[np.uint16]:
        """Hamming distances, uint16 (batch, n), bits.

        Raises
        ------
        InputError
            If the queries are activations.
        """
        if self.asymmetric:
            raise InputError(
                f"queries of dtype {self.queries.dtype} have no Hamming distances",
                "packed codes, where tie groups or a radius are asked for",
                "Pack the activations with ssah_index.pack(), or use stable ties.",
            )
        return hamming_distances(self.database, self.queries[batch])

    def order(self, batch: slice) -> NDArray[np.int64]:
        """Database rows by rank, best first, ties in database order; int64 (batch, n)."""
        if self.asymmetric:
            return self._asymmetric_order(batch)
        distances = self.distances(batch)
        narrow = distances.astype(np.uint8) if self.bits < 256 else distances
        return np.argsort(narrow, axis=1, kind="stable")  # a radix sort for so few bits

    def _asymmetric_order(self, batch: slice) -> NDArray[np.int64]:
        activations = self.queries[batch].astype(np.float64)
        # One score a distinct code: BLAS need not round equal columns alike.
        distinct, place = self._distinct
        scores = np.empty((len(activations), len(distinct)))
        size = max(BATCH_PAIRS // self.bits, 1)
        for start in range(0, len(distinct), size):
            part = slice(start, start + size)
            scores[:, part] = activations @ unpack(distinct[part], "signs").T.astype(np.float64)
        return np.argsort(-scores[:, place], axis=1, kind="stable")

    @cached_property
    def _distinct(self) -> tuple[Codes, NDArray[np.int64]]:
        """The distinct codes, uint8 (m, nbytes), and the place of each row in them."""
        distinct, place = np.unique(self.database, axis=0, return_inverse=True)
        return distinct, place.reshape(-1)

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Items and relevant items at each distance.

        Returns
        -------
        total, relevant : int64 (nq, bits + 1)
            Column d counts the database rows at distance d.
        """
        width = self.bits + 1
        total = np.empty((len(self.queries), width), np.int64)
        hits = np.empty_like(total)
        for batch in self.batches():
            rows = batch.stop - batch.start
            cells = self.distances(batch) + width * np.arange(rows, dtype=np.int32)[:, None]
            flat, chosen = cells.reshape(-1), self.relevant(batch).reshape(-1)
            total[batch] = np.bincount(flat, minlength=rows * width).reshape(rows, width)
            hits[batch] = np.bincount(flat[chosen], minlength=rows * width).reshape(rows, width)
        return total, hits


def _check_activations(activations: NDArray[Any], bits: int) -> None:
    if activations.ndim != 2 or activations.shape[1] != bits or np.isnan(activations).any():
        raise InputError(
            f"activations of shape {activations.shape}, "
            f"{int(np.isnan(activations).sum())} of them NaN",
            f"(nq, {bits}) real numbers, as the database's codes have {bits} bits",
            "Take them from the encoder that made the codes.",
        )


def _check_labels(labels: Labels, items: int, whose: str) -> None:
    if labels.ndim != 2 or len(labels) != items:
        raise InputError(
            f"labels of shape {labels.shape} for {items} codes of {whose}",
            f"({items}, c)",
            "Give one row of 0/1 an item.",
        )
    if (labels < 0).any():
        raise InputError(
            f"labels of {whose} go down to {labels.min()}", "0 and 1", "Replace -1 by 0."
        )
