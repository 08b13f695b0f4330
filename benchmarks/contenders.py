"""Who searches: ssah-index and its peers, behind one call, for correctness and for timing.

A contender is made of codes once, as its users would, and then answers queries with
(distances, rows), both (nq, k). Peers that are not installed are left out and named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Answer: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
Search: TypeAlias = Callable[[NDArray[np.uint8], int, int], Answer]
"""(queries, k, threads) to distances and rows."""


def ours(codes: NDArray[np.uint8]) -> Search:
    """The flat index over an array, where it lies."""
    import ssah_index

    def search(queries: NDArray[np.uint8], k: int, threads: int) -> Answer:
        hits = ssah_index.search_codes(codes, queries, k=k, threads=threads)
        return hits.distances.reshape(len(queries), -1), hits.rows.reshape(len(queries), -1)

    return search


def _faiss(codes: NDArray[np.uint8], use_heap: bool) -> Search:
    import faiss

    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.use_heap = use_heap
    index.add(codes)

    def search(queries: NDArray[np.uint8], k: int, threads: int) -> Answer:
        faiss.omp_set_num_threads(threads)
        answer: Answer = index.search(queries, k)
        return answer

    return search


def faiss_heap(codes: NDArray[np.uint8]) -> Search:
    """IndexBinaryFlat with a heap of hits a query, its default."""
    return _faiss(codes, use_heap=True)


def faiss_counting(codes: NDArray[np.uint8]) -> Search:
    """IndexBinaryFlat with hits sorted by counting."""
    return _faiss(codes, use_heap=False)


def usearch_exact(codes: NDArray[np.uint8]) -> Search:
    """Exact search of usearch over packed bits."""
    from usearch.index import MetricKind, search

    def answer(queries: NDArray[np.uint8], k: int, threads: int) -> Answer:
        kind = MetricKind.Hamming
        found = search(codes, queries, k, kind, exact=True, threads=threads, dtype="b1")
        shape = len(queries), -1
        return found.distances.reshape(shape), found.keys.reshape(shape)

    return answer


def numkong_matrix(codes: NDArray[np.uint8]) -> Search:
    """Distances of NumKong from codes packed for it, then NumPy's partition; one thread."""
    import numkong

    packed = numkong.hammings_pack(codes, dtype="uint1")

    def answer(queries: NDArray[np.uint8], k: int, threads: int) -> Answer:
        if threads != 1:
            raise NotImplementedError("NumKong has no threads of its own")
        distances = np.asarray(numkong.hammings_packed(queries, packed))
        rows = np.argpartition(distances, min(k, len(codes)) - 1, axis=1)[:, :k]
        near = np.take_along_axis(distances, rows, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(rows, order, axis=1)

    return answer


CONTENDERS: dict[str, Callable[[NDArray[np.uint8]], Search]] = {
    "ssah-index": ours,
    "faiss heap": faiss_heap,
    "faiss counting": faiss_counting,
    "usearch exact": usearch_exact,
    "numkong": numkong_matrix,
}
ORDERED = ("ssah-index", "faiss heap", "faiss counting")
"""Those that give ties to the least row, so that ids must be equal, too."""
