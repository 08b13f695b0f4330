"""The scan against its naive twin and against Faiss, ties included."""

from importlib import import_module
from itertools import pairwise

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssah_index.codes import as_bitmap, to_words
from ssah_index.errors import CancelledError, DeadlineError, TooManyHitsError
from ssah_index.kernels import Extent, hamming_distances, scan_allowed, sparse
from ssah_index.kernels.scan import scan
from ssah_index.stop import Stop
from ssah_index.types import SearchSpec
from tests import naive
from tests.conftest import random_codes

WIDTHS = [8, 24, 64, 128, 200, 256, 320, 512, 640]
SIZES = [0, 1, 100, 1024, 1025, 5000]


def extents(codes, pieces=1):
    """The codes in so many pieces, some of them perhaps empty."""
    borders = np.linspace(0, len(codes), pieces + 1).astype(int)
    words = to_words(codes)
    return [Extent(words[i:j], int(i)) for i, j in pairwise(borders)]


def search(codes, queries, pieces=1, **spec):
    return scan_allowed(extents(codes, pieces), to_words(queries), SearchSpec(**spec))


def assert_same(actual, expected):
    np.testing.assert_array_equal(actual.lims, expected.lims)
    np.testing.assert_array_equal(actual.distances, expected.distances)
    np.testing.assert_array_equal(actual.rows, expected.rows)
    assert actual.distances.dtype == np.int32
    assert actual.rows.dtype == np.int64


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("values", [256, 2], ids=["spread", "tied"])
def test_equals_faiss_ids_and_ties(bits, n, values):
    codes, queries = random_codes(1, n, bits, values), random_codes(2, 7, bits, values)
    index = faiss.IndexBinaryFlat(bits)
    index.add(codes)
    for k in (1, 10, 3000):
        hits = search(codes, queries, k=k)
        if n:
            distances, rows = index.search(queries, min(k, n))
            np.testing.assert_array_equal(hits.distances.reshape(7, -1), distances)
            np.testing.assert_array_equal(hits.rows.reshape(7, -1), rows)
        else:
            assert not len(hits.rows)


masks = st.none() | st.sampled_from([0.0, 0.001, 0.015, 0.1, 0.5, 0.9, 1.0])


@settings(deadline=None, max_examples=300)
@given(
    bits=st.sampled_from(WIDTHS),
    n=st.integers(0, 3000),
    nq=st.integers(0, 9),
    values=st.sampled_from([1, 2, 256]),
    k=st.none() | st.integers(1, 3500),
    radius=st.none() | st.integers(0, 700),
    share=masks,
    pieces=st.integers(1, 4),
    threads=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_equals_naive(bits, n, nq, values, k, radius, share, pieces, threads, seed):
    """All widths, sizes, duplicates, masks, extents and thread counts."""
    if k is None and radius is None:
        radius = bits // 3
    codes, queries = random_codes(seed, n, bits, values), random_codes(seed + 1, nq, bits, values)
    allowed = None if share is None else np.random.default_rng(seed).random(n) < share
    bitmap = None if allowed is None else as_bitmap(allowed, n)
    hits = search(codes, queries, pieces, k=k, radius=radius, allowed=bitmap, threads=threads)
    assert_same(hits, naive.search(codes, queries, k, radius, allowed))


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("share", [0.002, 0.02, 0.4, 0.97])
@pytest.mark.parametrize("bits", [64, 128, 192, 320, 640])
@pytest.mark.parametrize("nq", [1, 3, 6])
def test_both_ways_of_masking_are_exact(monkeypatch, gathered, share, bits, nq):
    """Also beyond the selectivity at which either is chosen, and over several gatherings."""
    monkeypatch.setattr(sparse, "gathers", lambda *_: gathered)
    monkeypatch.setattr(sparse, "GATHER_ROWS", 50)
    codes, queries = random_codes(1, 9000, bits, 3), random_codes(2, nq, bits, 3)
    allowed = np.random.default_rng(3).random(9000) < share
    allowed[2000:3700] = False
    allowed[5300:7300] = True  # a whole extent
    bitmap = as_bitmap(allowed, 9000)
    for k, radius in ((1, None), (10, None), (4000, None), (None, bits // 8), (20, bits // 8)):
        hits = search(codes, queries, 5, k=k, radius=radius, allowed=bitmap)
        assert_same(hits, naive.search(codes, queries, k, radius, allowed))


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("nq", [1, 100])
def test_large_searches_are_split_over_threads(monkeypatch, threads, nq):
    """Small tasks, none in the caller's own thread: the split itself must lose nothing."""
    module = import_module("ssah_index.kernels.scan")
    monkeypatch.setattr(module, "INLINE_PAIRS", 0)
    monkeypatch.setattr(module, "TASK_BYTES", 8192)
    monkeypatch.setattr(module, "TASK_PAIRS", 1 << 16)
    codes, queries = random_codes(1, 60_000, 64, 3), random_codes(2, nq, 64, 3)
    hits = search(codes, queries, 3, k=50, threads=threads)
    assert_same(hits, naive.search(codes, queries, 50))


def test_ties_take_the_least_rows_though_blocks_compete():
    """The k-th distance is shared by rows inside nearer blocks and in many blocks of their own."""
    codes = np.zeros((20_000, 8), np.uint8)
    codes[:, 0] = 3  # distance 2 everywhere
    codes[[5000, 12_000, 19_999], 0] = 1  # distance 1 in three blocks
    query = np.zeros((1, 8), np.uint8)
    for k in (1, 2, 3, 4, 5, 100, 20_000):
        assert_same(search(codes, query, 3, k=k), naive.search(codes, query, k))


def test_groups_of_queries_join(monkeypatch):
    module = import_module("ssah_index.kernels.scan")
    monkeypatch.setattr(module, "GROUP_BYTES", 8)
    codes, queries = random_codes(1, 3000, 64), random_codes(2, 11, 64)
    assert_same(search(codes, queries, k=4, radius=30), naive.search(codes, queries, 4, 30))


@pytest.mark.parametrize("share", [None, 0.1, 0.6])
def test_more_hits_than_the_limit_are_refused(monkeypatch, share):
    """The limit is for all queries, groups and gatherings together, and is inclusive."""
    module = import_module("ssah_index.kernels.scan")
    monkeypatch.setattr(module, "GROUP_BYTES", 8)
    monkeypatch.setattr(sparse, "GATHER_ROWS", 10)
    codes, queries = random_codes(1, 3000, 64, 3), random_codes(2, 4, 64, 3)
    allowed = None if share is None else np.random.default_rng(3).random(3000) < share
    expected = naive.search(codes, queries, None, 10, allowed)
    total = len(expected.rows)
    assert total > 100
    spec = {"radius": 10, "allowed": None if share is None else as_bitmap(allowed, 3000)}
    assert_same(search(codes, queries, 3, limit=total, **spec), expected)
    with pytest.raises(TooManyHitsError, match=f"more hits than the limit of {total - 1}"):
        search(codes, queries, 3, limit=total - 1, **spec)


def test_a_scan_asks_for_the_next_extent_before_it_reads_one():
    asked = []
    codes = to_words(random_codes(1, 3000, 64))
    parts = [Extent(codes[i : i + 1000], i, lambda i=i: asked.append(i)) for i in (0, 1000, 2000)]
    scan(parts, codes[:1], SearchSpec(k=1))
    assert asked == [1000, 2000]


def test_a_stopped_search_ends_with_an_error():
    codes = random_codes(1, 3000, 64)
    stopped = Stop()
    stopped.cancel()
    with pytest.raises(CancelledError):
        search(codes, codes[:1], k=1, stop=stopped)
    with pytest.raises(DeadlineError, match="no answer within 0 s"):
        search(codes, codes[:1], k=1, stop=Stop(timeout_s=0))


@pytest.mark.parametrize("bits", WIDTHS)
def test_distances_equal_naive(bits):
    codes, queries = random_codes(1, 50, bits), random_codes(2, 5, bits)
    np.testing.assert_array_equal(
        hamming_distances(codes, queries), naive.distances(codes, queries)
    )
