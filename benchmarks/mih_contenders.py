"""Who searches by an index: multi-index hashing, the scan, and what Faiss has for binary codes.

A contender is built of codes on all cores, in one or several shapes, and then asked by its normal
call; what is approximate is swept over settings, from fast to thorough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.search import OWN
from ssah_index.codes import to_words
from ssah_index.index.flat import EXTENT_BYTES, FlatIndex
from ssah_index.index.mih import MihIndex
from ssah_index.kernels import Extent, cores
from ssah_index.types import Hits, SearchSpec

Codes: TypeAlias = NDArray[np.uint8]
Options: TypeAlias = dict[str, int]
"""A shape that an index is built in, or a setting that it is asked with."""
TRAINING = 64
"""Codes that Faiss trains a list with, for each list."""
MOST_MAPS = 8
BUDGET_BYTES = 8 * 10**9
"""Of our index; the peers of which more is expected are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What is asked of an index."""

    k: int | None
    """Hits a query, or None."""
    radius: int | None
    """Greatest distance, or None."""
    threads: int
    """Cores."""

    def spec(self) -> SearchSpec:
        """The same as our own indexes take it."""
        return SearchSpec(k=self.k, radius=self.radius, threads=self.threads)


def _always(n: int, bits: int) -> list[Options]:
    del n, bits
    return [{}]


def _once(shape: Options, ask: Ask) -> list[Options]:
    del shape, ask
    return [{}]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """How one is built and asked."""

    build: Callable[[Codes, Options], Any]
    """An index in a shape."""
    facts: Callable[[Any], dict[str, Any]] = lambda _: {}
    """What to tell of an index."""
    queries: Callable[[Codes], Any] = lambda codes: codes
    """Queries as its call takes them."""
    asker: Callable[[Any, Options, Ask], Callable[[Any], Any]]
    """The call, ready for queries; its answer is for `hits_of`."""
    shapes: Callable[[int, int], list[Options]] = _always
    """Of an index of n codes of so many bits."""
    settings: Callable[[Options, Ask], Sequence[Options]] = _once
    """Ascending; the sweep ends where everything is found."""
    exact: bool = False
    """Distances must be those of the scan."""
    ordered: bool = False
    """And the rows."""
    unfit: Callable[[int, int, Ask], str] = lambda _n, _bits, _ask: ""
    """Why it is left out, or nothing."""


def _extents(codes: Codes) -> list[Extent]:
    words = to_words(codes)
    step = EXTENT_BYTES // (8 * words.shape[1])
    return [Extent(words[i : i + step], i) for i in range(0, len(words), step)]


def _mih(codes: Codes, shape: Options) -> MihIndex:
    del shape  # it plans itself
    return MihIndex.of(_extents(codes), 8 * codes.shape[1], BUDGET_BYTES)


def _shape_of(index: MihIndex) -> dict[str, Any]:
    shape = index.shape
    return {"m": shape.m, "b": shape.b, "compact": shape.compact}


def _ours(index: MihIndex | FlatIndex, setting: Options, ask: Ask) -> Callable[[Any], Hits]:
    del setting
    spec = ask.spec()
    return lambda words: index.search(words, spec)


def _faiss(index: Any, setting: Options, ask: Ask) -> Callable[[Any], Any]:
    import faiss

    faiss.omp_set_num_threads(ask.threads)
    for name, value in setting.items():
        setattr(index.hnsw if name == "efSearch" else index, name, value)
    if ask.radius is not None:
        beyond = ask.radius + 1  # Faiss leaves out its radius
        return lambda queries: index.range_search(queries, beyond)
    return lambda queries: index.search(queries, ask.k)


def _filled(index: Any, codes: Codes) -> Any:
    """A Faiss index with codes, trained if it learns, on all cores."""
    import faiss

    faiss.omp_set_num_threads(cores())
    if not index.is_trained:
        some = np.random.default_rng(0).choice(len(codes), min(len(codes), TRAINING * index.nlist))
        index.train(codes[np.sort(some)])
    index.add(codes)
    return index


def _faiss_flat(codes: Codes, shape: Options) -> Any:
    import faiss

    del shape
    return _filled(faiss.IndexBinaryFlat(8 * codes.shape[1]), codes)


def _ivf(codes: Codes, shape: Options) -> Any:
    import faiss

    bits = 8 * codes.shape[1]
    return _filled(faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, shape["nlist"]), codes)


def _hnsw(codes: Codes, shape: Options) -> Any:
    import faiss

    return _filled(faiss.IndexBinaryHNSW(8 * codes.shape[1], shape["M"]), codes)


def _multi_hash(codes: Codes, shape: Options) -> Any:
    import faiss

    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], shape["nhash"], shape["b"])
    return _filled(index, codes)


def _lists(n: int, bits: int) -> list[Options]:
    del bits
    return [{"nlist": 4096 if n > 10**7 else min(1024, max(n // 50, 1))}]


def _maps(n: int, bits: int) -> list[Options]:
    """Keys about as long as there are bits in n, as the scan of buckets wants, and shorter ones."""
    few = max(bits // n.bit_length(), 1)
    counts = [count for count in (few, few + 1) if count <= MOST_MAPS] or [MOST_MAPS]
    return [{"nhash": count, "b": min(bits // count, n.bit_length())} for count in counts]


def _flips(shape: Options, ask: Ask) -> list[Options]:
    """Bits turned in each key; all within a radius are found with this many."""
    if ask.radius is not None:
        return [{"nflip": ask.radius // shape["nhash"]}]
    return [{"nflip": flips} for flips in range(7)]


def _doubling(name: str, first: int, last: int) -> list[Options]:
    values = [first << i for i in range(last.bit_length()) if first << i < last]
    return [{name: value} for value in [*values, last]]


def _no_graph(n: int, bits: int, ask: Ask) -> str:
    if ask.radius is not None:
        return "finds no radius"
    if n > 10**6 or bits != 64:
        return "takes too long to build: 10^6 codes of 64 bits at most"
    return ""


CONTENDERS: dict[str, Contender] = {
    OWN: Contender(
        build=_mih, facts=_shape_of, queries=to_words, asker=_ours, exact=True, ordered=True
    ),
    "flat": Contender(
        build=lambda codes, _: FlatIndex.of(codes),
        queries=to_words,
        asker=_ours,
        exact=True,
        ordered=True,
    ),
    "faiss flat": Contender(build=_faiss_flat, asker=_faiss, exact=True),
    "faiss IVF": Contender(
        build=_ivf,
        asker=_faiss,
        shapes=_lists,
        settings=lambda shape, _: _doubling("nprobe", 1, shape["nlist"]),
        unfit=lambda _n, _bits, ask: "" if ask.radius is None else "is not exact within a radius",
    ),
    "faiss HNSW": Contender(
        build=_hnsw,
        asker=_faiss,
        shapes=lambda _n, _bits: [{"M": 32}],
        settings=lambda _shape, _ask: _doubling("efSearch", 16, 2048),
        unfit=_no_graph,
    ),
    "faiss MultiHash": Contender(
        build=_multi_hash,
        asker=_faiss,
        shapes=_maps,
        settings=_flips,
        unfit=lambda n, _bits, _ask: (
            "" if n <= 10**7 else f"its tables would take more than {BUDGET_BYTES // 10**9} GB"
        ),
    ),
}
"""By name; the first two are ours."""


def hits_of(answer: Any) -> Hits:
    """Any contender's answer as ours are: by (distance, row), what it did not find left out."""
    if isinstance(answer, Hits):
        return answer
    if len(answer) == 2:
        distances, rows = answer
        found = rows >= 0
        lims = np.concatenate([[0], found.sum(axis=1).cumsum()])
        distances, rows = distances[found], rows[found]
    else:
        lims, distances, rows = answer
    lims = lims.astype(np.int64)
    order = np.lexsort((rows, distances, np.repeat(np.arange(len(lims) - 1), np.diff(lims))))
    return Hits(distances[order].astype(np.int32), rows[order], lims)
