"""What every exact index must pass; a new kind gives `build` and inherits the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ssah_index.codes import as_bitmap, to_words
from ssah_index.errors import DeadlineError, TooManyHitsError
from ssah_index.stop import Stop
from ssah_index.store import Store
from ssah_index.types import Index, SearchSpec
from tests import naive
from tests.conftest import random_codes

SETS = {
    "spread": lambda bits: random_codes(1, 4000, bits),
    "tied": lambda bits: random_codes(1, 4000, bits, 2),
    "equal": lambda bits: np.zeros((3000, bits // 8), np.uint8),
    "one": lambda bits: random_codes(1, 1, bits),
}


class IndexSuite:
    """Answers equal the naive twin's over one, two and many segments."""

    @pytest.fixture
    def build(self) -> Callable[[Store], Index]:
        """From a store to the index that covers all of it."""
        raise NotImplementedError

    @pytest.mark.parametrize("bits", [24, 64, 256])
    @pytest.mark.parametrize("kind", SETS)
    @pytest.mark.parametrize("pieces", [1, 2, 7])
    @pytest.mark.parametrize("share", [None, 0.01, 0.5])
    def test_answers_equal_naive(self, make_store, build, bits, kind, pieces, share):
        codes = SETS[kind](bits)
        n = len(codes)
        queries = np.concatenate([random_codes(9, 3, bits), codes[:2]])
        index = build(make_store(*np.array_split(codes, pieces), bits=bits))
        allowed = None if share is None else np.random.default_rng(5).random(n) < share
        bitmap = None if allowed is None else as_bitmap(allowed, n)
        for k, radius in ((1, None), (10, None), (5000, None), (None, bits // 4), (7, bits // 3)):
            spec = SearchSpec(k=k, radius=radius, allowed=bitmap, threads=2)
            hits = index.search(to_words(queries), spec)
            expected = naive.search(codes, queries, k, radius, allowed)
            np.testing.assert_array_equal(hits.lims, expected.lims)
            np.testing.assert_array_equal(hits.distances, expected.distances)
            np.testing.assert_array_equal(hits.rows, expected.rows)

    def test_top_k_is_a_prefix_of_top_k_plus_one(self, make_store, build):
        index = build(make_store(random_codes(1, 300, 64, 3), random_codes(3, 200, 64, 3)))
        query = to_words(random_codes(2, 1, 64, 3))
        whole = index.search(query, SearchSpec(k=500)).rows
        for k in range(1, 500):
            np.testing.assert_array_equal(index.search(query, SearchSpec(k=k)).rows, whole[:k])

    def test_it_heeds_stop_and_limit(self, make_store, build):
        codes = np.zeros((100, 8), np.uint8)
        index = build(make_store(codes))
        with pytest.raises(TooManyHitsError, match="limit of 99"):
            index.search(to_words(codes[:1]), SearchSpec(radius=0, limit=99))
        with pytest.raises(DeadlineError):
            index.search(to_words(codes[:1]), SearchSpec(k=1, stop=Stop(timeout_s=0)))
