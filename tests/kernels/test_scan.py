"""The scan against its naive twin and against Faiss, ties included."""

from importlib import import_module

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssah_index.codes import to_words
from ssah_index.kernels import hamming_distances, scan
from tests import naive
from tests.conftest import random_codes

WIDTHS = [8, 24, 64, 128, 200, 256, 320]
SIZES = [0, 1, 100, 1024, 1025, 5000]


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
        hits = scan(to_words(codes), to_words(queries), k=k, radius=None)
        if n:
            distances, rows = index.search(queries, min(k, n))
            np.testing.assert_array_equal(hits.distances.reshape(7, -1), distances)
            np.testing.assert_array_equal(hits.rows.reshape(7, -1), rows)
        else:
            assert not len(hits.rows)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(WIDTHS),
    st.integers(0, 3000),
    st.integers(0, 6),
    st.sampled_from([1, 2, 256]),
    st.none() | st.integers(1, 3500),
    st.none() | st.integers(0, 330),
    st.integers(0, 9),
)
def test_equals_naive(bits, n, nq, values, k, radius, seed):
    if k is None and radius is None:
        radius = bits // 3
    codes, queries = random_codes(seed, n, bits, values), random_codes(seed + 1, nq, bits, values)
    hits = scan(to_words(codes), to_words(queries), k=k, radius=radius)
    assert_same(hits, naive.search(codes, queries, k, radius))


def test_ties_take_the_least_rows_though_blocks_compete():
    """The k-th distance is shared by rows inside nearer blocks and in many blocks of their own."""
    codes = np.zeros((20_000, 8), np.uint8)
    codes[:, 0] = 3  # distance 2 everywhere
    codes[[5000, 12_000, 19_999], 0] = 1  # distance 1 in three blocks
    query = np.zeros((1, 8), np.uint8)
    for k in (1, 2, 3, 4, 5, 100, 20_000):
        hits = scan(to_words(codes), to_words(query), k=k, radius=None)
        assert_same(hits, naive.search(codes, query, k))


def test_groups_of_queries_join(monkeypatch):
    module = import_module("ssah_index.kernels.scan")
    monkeypatch.setattr(module, "GROUP_BYTES", 8)
    codes, queries = random_codes(1, 3000, 64), random_codes(2, 11, 64)
    hits = scan(to_words(codes), to_words(queries), k=4, radius=30)
    assert_same(hits, naive.search(codes, queries, 4, 30))


@pytest.mark.parametrize("bits", WIDTHS)
def test_distances_equal_naive(bits):
    codes, queries = random_codes(1, 50, bits), random_codes(2, 5, bits)
    np.testing.assert_array_equal(
        hamming_distances(codes, queries), naive.distances(codes, queries)
    )
