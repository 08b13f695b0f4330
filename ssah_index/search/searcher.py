"""The reader's view of a store: codes in, ordered hits with ids out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from ssah_index.codes import allowed_rows, as_codes, check_modality, to_words
from ssah_index.errors import SsahError, StoreError
from ssah_index.index import FlatIndex
from ssah_index.index.stored import open_index, whole_arrays
from ssah_index.search.arrays import warm_up
from ssah_index.search.spec import search_spec
from ssah_index.stop import Stop
from ssah_index.store import Snapshot, Store
from ssah_index.types import BitOrder, Index, Modality, Pairs, SearchResult


class Searcher:
    """Searches one snapshot; safe to call from many threads at once.

    Parameters
    ----------
    store : Store
    generation : int or str, optional
        What to pin until `refresh`, by number or tag; the newest when left out.

    Notes
    -----
    It pickles at any time, for spawned workers. The copy opens the same store by its path, and
    pins the same generation; to unpickle it raises what `open_store` does if either is gone.
    """

    def __init__(self, store: Store, generation: int | str | None = None) -> None:
        self.store = store
        self._pinned: _Pinned = (store.snapshot(generation), {})

    def __reduce__(self) -> tuple[type[Searcher], tuple[Store, int]]:
        # What answers searches has maps and locks of this process.
        return type(self), (self.store, self.snapshot.generation)

    @property
    def snapshot(self) -> Snapshot:
        """What is searched."""
        return self._pinned[0]

    @property
    def bits(self) -> int:
        """Code width."""
        return self.store.format.bits

    def __len__(self) -> int:
        """Rows of all modalities that are not deleted."""
        return self.snapshot.live

    def refresh(self) -> int:
        """Pin the newest generation and return its number; on an error the old one stays."""
        self._pinned = (self.store.snapshot(), {})
        return self.snapshot.generation

    def warm_up(self) -> None:
        """Load what searches need, so that the first is as fast as those after it.

        Kernels are loaded, or compiled, and the files of indexes compared with their hashes,
        which takes as long as to read them. Without it, searches scan until they are.
        """
        warm_up(self.bits)
        for files in self.snapshot.indexes:
            with contextlib.suppress(StoreError):  # searches say so, and scan
                whole_arrays(files)
        if len(self.snapshot):
            self.search(np.zeros(self.bits // 8, np.uint8), k=1)

    def search(
        self,
        codes: Any,
        *,
        k: int | None = None,
        radius: int | None = None,
        modality: Modality | None = None,
        where_rows: Any = None,
        limit: int | None = None,
        threads: int | None = None,
        stop: Stop | None = None,
        bitorder: BitOrder = "little",
    ) -> SearchResult:
        """Find the nearest codes, exactly.

        Parameters
        ----------
        codes : uint8 (nq, nbytes), bool (nq, bits), Arrow FixedSizeBinary, or DLPack uint8
            Query codes.
        k : int, optional
            At most this many hits a query; 10 when neither k nor radius is given.
        radius : int, optional
            Greatest distance in bits, inclusive. With k: the k nearest within it.
        modality : {"image", "text"}, optional
            What to search; both when left out.
        where_rows : bool (n,), Arrow BooleanArray, or int64 row numbers, optional
            Rows of the snapshot that may be found. The answer is as exact as without.
        limit : int, optional
            Most hits of all queries together: a guard for radius searches, which may find
            the whole store. Above it, there is an error and no hit.
        threads : int, optional
            Most cores to use; all when left out. It does not change the answer.
        stop : Stop, optional
            A deadline, and a switch for another thread.
        bitorder : {"little", "big"}
            Of the query codes: "big" for what np.packbits packs unless told otherwise.

        Returns
        -------
        SearchResult
            Ascending (distance, row).

        Raises
        ------
        CodeError
            If the codes are of another width than the store's, or no codes.
        QueryError
            If a number is too low, there is no such modality, or rows are not the snapshot's.
        TooManyHitsError, DeadlineError, CancelledError
            As limit and stop say.

        Notes
        -----
        Extra memory is the index's (`FlatIndex`), the hits, and with where_rows one bit a row.

        Examples
        --------
        >>> import ssah_index, numpy as np
        >>> searcher = ssah_index.open("photos.ssah")  # doctest: +SKIP
        >>> distances, ids = searcher.search(np.zeros(8, np.uint8), k=3)  # doctest: +SKIP
        """
        pinned = self._pinned  # one snapshot for the whole call, whatever refresh does
        snapshot = pinned[0]
        spec = search_spec(
            len(snapshot),
            k=10 if k is None and radius is None else k,
            radius=radius,
            allowed=allowed_rows(where_rows, snapshot.live_rows, len(snapshot)),
            limit=limit,
            threads=threads,
            stop=stop,
        )
        queries = to_words(as_codes(codes, self.bits, "query codes", bitorder=bitorder))
        hits = _index(pinned, modality).search(queries, spec)
        ids = snapshot.take(hits.rows, ["id"]).column("id").to_numpy()
        return SearchResult(hits.distances, hits.rows, ids, hits.lims, ragged=radius is not None)

    def pairs(
        self,
        radius: int,
        *,
        modality: Modality | None = None,
        where_rows: Any = None,
        threads: int | None = None,
        stop: Stop | None = None,
    ) -> Iterator[Pairs]:
        """Find all pairs of rows within ``radius`` bits of each other, to remove duplicates.

        Every row is compared with every other: n * n / 2 comparisons.

        Parameters
        ----------
        radius : int
            In bits, inclusive; 0 finds equal codes.
        modality, where_rows, threads, stop
            As `search` takes them; both rows of a pair are of the modality and allowed.

        Yields
        ------
        Pairs
            Batch by batch; ascending (row, distance, other) over all batches.
        """
        snapshot = self.snapshot
        allowed = allowed_rows(where_rows, snapshot.live_rows, len(snapshot))
        spec = search_spec(
            len(snapshot), radius=radius, allowed=allowed, threads=threads, stop=stop
        )
        check_modality(modality, any_of_them=True)
        return FlatIndex.over(snapshot.select(modality)).pairs(spec)


_Pinned: TypeAlias = tuple[Snapshot, dict[Modality | None, Index]]
"""A snapshot, and what answers searches of it, made when first needed."""


def _index(pinned: _Pinned, modality: Modality | None) -> Index:
    """What answers searches of a modality. Two threads may both make it; either is right."""
    check_modality(modality, any_of_them=True)
    snapshot, made = pinned
    if modality not in made:
        made[modality] = open_index(snapshot, modality)
    return made[modality]


def open_store(path: str | os.PathLike[str], generation: int | str | None = None) -> Searcher:
    """Open a store for searching; this is ``ssah_index.open``.

    Parameters
    ----------
    path : path or URL
    generation : int or str, optional
        A state to look back at, by number or tag; the newest when left out.

    Raises
    ------
    StoreMissingError, FormatError, CorruptError
        If there is no store, of another format version, or a damaged one.
    StoreError
        If it can be no path.
    QueryError
        If there is no such generation or tag.
    """
    try:
        store = Store.open(os.fsdecode(path))
    except SsahError:
        raise
    except (TypeError, ValueError, OSError) as error:  # no path at all, NUL in it, too long
        raise StoreError(
            f"there can be no store at {path!r:.200} ({error!s:.200})",
            "a path, as str or pathlib.Path, or a URL",
            "Correct it.",
        ) from error
    return Searcher(store, generation)
