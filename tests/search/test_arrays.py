import numpy as np
import pyarrow as pa
import pytest
import torch

import ssah_index
from ssah_index.errors import CodeError, QueryError, TooManyHitsError
from ssah_index.kernels import hits, minima, pick
from tests import naive
from tests.conftest import random_codes

CODES, QUERIES = random_codes(1, 500, 64, 3), random_codes(2, 4, 64, 3)


def fixed(codes):
    return pa.array([row.tobytes() for row in codes], pa.binary(8))


@pytest.mark.parametrize(
    "as_input",
    [
        lambda codes: codes,
        lambda codes: np.unpackbits(codes, axis=1, bitorder="little").astype(bool),
        lambda codes: torch.from_numpy(codes.copy()),
        fixed,
    ],
    ids=["uint8", "bool", "torch", "arrow"],
)
def test_codes_come_in_any_form(as_input):
    hits = ssah_index.search_codes(as_input(CODES), as_input(QUERIES), k=7)
    expected = naive.search(CODES, QUERIES, 7)
    np.testing.assert_array_equal(hits.rows, expected.rows)
    np.testing.assert_array_equal(hits.distances, expected.distances)


def test_rows_radius_and_threads():
    where = np.arange(500) % 3 == 0
    for threads in (1, 2, 5):
        hits = ssah_index.search_codes(CODES, QUERIES, radius=9, where_rows=where, threads=threads)
        expected = naive.search(CODES, QUERIES, None, 9, where)
        np.testing.assert_array_equal(hits.rows, expected.rows)


def test_ten_hits_unless_told():
    assert np.diff(ssah_index.search_codes(CODES, QUERIES).lims).tolist() == [10] * 4


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(CodeError, match="16 bytes"):
        ssah_index.search_codes(CODES, random_codes(2, 4, 128))
    with pytest.raises(QueryError, match="threads is 0"):
        ssah_index.search_codes(CODES, QUERIES, threads=0)
    with pytest.raises(QueryError, match=r"limit is 1\.5"):
        ssah_index.search_codes(CODES, QUERIES, limit=1.5)
    with pytest.raises(TooManyHitsError, match="more hits than the limit of 100"):
        ssah_index.search_codes(CODES, QUERIES, radius=64, limit=100)


@pytest.mark.parametrize("bits", [24, 64, 320, 1024])
def test_after_a_warm_up_nothing_is_left_to_load(bits):
    factories = [
        getattr(module, name)
        for module in (hits, minima, pick)
        for name in dir(module)
        if hasattr(getattr(module, name), "cache_info")
    ]
    ssah_index.warm_up(bits)
    loaded = [factory.cache_info().currsize for factory in factories]
    assert sum(loaded) >= 5
    codes = random_codes(1, 5000, bits)
    where = np.arange(5000) % 2 == 0
    for nq in (1, 2, 4, 9):
        for ask in ({"k": 5}, {"radius": bits // 3}, {"k": 5, "where_rows": where}):
            ssah_index.search_codes(codes, codes[:nq], **ask)
    assert [factory.cache_info().currsize for factory in factories] == loaded
