"""The reader's view of a store: codes in, ordered hits with ids out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssah_index.codes import as_codes, check_k_and_radius, to_words
from ssah_index.errors import QueryError
from ssah_index.index import FlatIndex
from ssah_index.search.merge import merge
from ssah_index.store import Snapshot, Store
from ssah_index.types import MODALITIES, Index, Modality, SearchResult


class Searcher:
    """Searches one snapshot; safe to call from many threads at once.

    Parameters
    ----------
    store : Store
        Its newest generation is pinned until `refresh`.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.snapshot: Snapshot = store.snapshot()

    @property
    def bits(self) -> int:
        """Code width."""
        return self.store.format.bits

    def __len__(self) -> int:
        """Rows of all modalities."""
        return len(self.snapshot)

    def refresh(self) -> int:
        """Pin the newest generation and return its number; on an error the old one stays."""
        self.snapshot = self.store.snapshot()
        return self.snapshot.generation

    def search(
        self,
        codes: Any,
        *,
        k: int | None = None,
        radius: int | None = None,
        modality: Modality | None = None,
    ) -> SearchResult:
        """Find the nearest codes, exactly.

        Parameters
        ----------
        codes : uint8 (nq, nbytes), or Arrow FixedSizeBinary
            Packed query codes.
        k : int, optional
            At most this many hits a query; 10 when neither k nor radius is given.
        radius : int, optional
            Greatest distance in bits, inclusive. With k: the k nearest within it.
        modality : {"image", "text"}, optional
            What to search; both when left out.

        Returns
        -------
        SearchResult
            Ascending (distance, row).

        Raises
        ------
        CodeError
            If the codes are of another width than the store's, or no codes.
        QueryError
            If k is below 1, radius below 0, or there is no such modality.

        Examples
        --------
        >>> import ssah_index, numpy as np
        >>> searcher = ssah_index.open("photos.ssah")  # doctest: +SKIP
        >>> distances, ids = searcher.search(np.zeros(8, np.uint8), k=3)  # doctest: +SKIP
        """
        if k is None and radius is None:
            k = 10
        check_k_and_radius(k, radius)
        if modality not in (None, *MODALITIES):
            raise QueryError(
                f"modality is {modality!r}", "'image', 'text' or None", "Correct the spelling."
            )
        queries = to_words(as_codes(codes, self.bits, what="query codes"))
        snapshot = self.snapshot  # one snapshot for the whole call, whatever refresh does
        k = None if k is None else min(k, max(len(snapshot), 1))
        indexes: Sequence[Index] = FlatIndex.over(snapshot.select(modality))
        hits = merge(
            [index.search(queries, k=k, radius=radius) for index in indexes], len(queries), k
        )
        column = snapshot.take(hits.rows, ["id"]).column("id")
        ids = np.array(column.to_pylist(), dtype=object)
        return SearchResult(hits.distances, hits.rows, ids, hits.lims, ragged=radius is not None)


def open_store(path: str | os.PathLike[str]) -> Searcher:
    """Open a store for searching; this is ``ssah_index.open``.

    Raises
    ------
    StoreMissingError, FormatError, CorruptError
        If there is no store, of another format version, or a damaged one.
    """
    return Searcher(Store.open(path))
