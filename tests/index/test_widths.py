"""Codes of the least and the greatest width are planned, built, stored and searched as others."""

import numpy as np
import pytest

import ssah_index
from ssah_index.codes import as_bitmap, to_words
from ssah_index.index import FlatIndex, mih
from ssah_index.index.building import build_index
from ssah_index.index.mih import MihIndex
from ssah_index.index.mih_plan import MihPlan, plan
from ssah_index.index.stored import open_index
from ssah_index.kernels import Extent
from ssah_index.store import verify
from ssah_index.types import SearchSpec
from tests import naive
from tests.conftest import random_codes

WIDTHS = [8, 16, 24, 512, 1016, 1024, 2048, 4096]
MUCH = 1 << 40


def sets(bits):
    """Codes that are spread, tied, equal, and one alone."""
    yield random_codes(1, 200, bits)
    yield np.repeat(random_codes(1, 40, bits, 2), 4, axis=0)
    yield np.full((50, bits // 8), 255, np.uint8)
    yield random_codes(1, 1, bits)


@pytest.mark.slow
@pytest.mark.parametrize("bits", WIDTHS)
def test_answers_equal_the_naive_ones_at_every_width(bits, monkeypatch):
    monkeypatch.setattr(mih, "SCAN_NS", 1e18)
    for codes in sets(bits):
        queries = np.concatenate([codes[:2], ~codes[:1], random_codes(9, 2, bits)])
        pieces = [Extent(to_words(codes), 0)]
        engines = [MihIndex.of(pieces, bits, MUCH), FlatIndex.of(codes)]
        allowed = np.arange(len(codes)) % 3 != 1
        for k, radius in ((1, None), (7, None), (1000, None), (None, bits), (3, bits // 2)):
            for chosen in (None, allowed):
                bitmap = None if chosen is None else as_bitmap(chosen, len(codes))
                expected = naive.search(codes, queries, k, radius, chosen)
                for engine in engines:
                    spec = SearchSpec(k=k, radius=radius, allowed=bitmap, threads=2)
                    hits = engine.search(to_words(queries), spec)
                    np.testing.assert_array_equal(hits.lims, expected.lims)
                    np.testing.assert_array_equal(hits.rows, expected.rows)
                    np.testing.assert_array_equal(hits.distances, expected.distances)


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_store_of_every_width_is_indexed(make_store, bits, caplog):
    codes = random_codes(1, 150, bits, 3)
    store = make_store(codes[:100], codes[100:], bits=bits)
    report = build_index(store, "image", kind="mih")
    assert report.rows == 150
    assert isinstance(open_index(store.snapshot(), None).engine(patient=True), MihIndex)
    found = ssah_index.open(store.path).search(codes[:3], k=5)
    expected = naive.search(codes, codes[:3], 5, None, None)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert verify(store) == []
    assert caplog.messages == []


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("n", [1, 1000, 10**9])
def test_a_plan_of_every_width_is_one_that_can_be_built(bits, n):
    shape = plan(to_words(random_codes(1, 300, bits)), n, bits, MUCH)
    assert shape.m * shape.b <= bits
    assert sorted(shape.order) == list(range(bits))
    assert np.isfinite([shape.build_s, shape.query_s, shape.scan_s]).all()
    assert isinstance(shape, MihPlan)


@pytest.mark.parametrize("bits", WIDTHS)
def test_pairs_of_every_width(bits):
    codes = np.concatenate([random_codes(1, 20, bits), random_codes(1, 20, bits)])
    (equal,) = FlatIndex.of(codes).pairs(SearchSpec(radius=0, threads=1))
    assert {(i, i + 20) for i in range(20)} <= set(zip(equal.rows, equal.others, strict=True))
    (every,) = FlatIndex.of(codes).pairs(SearchSpec(radius=bits, threads=1))
    assert len(every.rows) == 40 * 39 // 2
