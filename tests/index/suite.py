"""What every exact index must pass; a new kind gives `build` and inherits the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ssah_index.codes import to_words
from ssah_index.search.merge import merge
from ssah_index.store import Store
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
    def build(self) -> Callable[[Store], list]:
        """From a store to the indexes that cover all of it."""
        raise NotImplementedError

    @pytest.mark.parametrize("bits", [24, 64, 256])
    @pytest.mark.parametrize("kind", SETS)
    @pytest.mark.parametrize("pieces", [1, 2, 7])
    def test_answers_equal_naive(self, make_store, build, bits, kind, pieces):
        codes = SETS[kind](bits)
        queries = np.concatenate([random_codes(9, 3, bits), codes[:2]])
        store = make_store(*np.array_split(codes, pieces), bits=bits)
        indexes = build(store)
        for k, radius in ((1, None), (10, None), (5000, None), (None, bits // 4), (7, bits // 3)):
            parts = [i.search(to_words(queries), k=k, radius=radius) for i in indexes]
            hits = merge(parts, len(queries), k)
            expected = naive.search(codes, queries, k, radius)
            np.testing.assert_array_equal(hits.lims, expected.lims)
            np.testing.assert_array_equal(hits.distances, expected.distances)
            np.testing.assert_array_equal(hits.rows, expected.rows)

    def test_top_k_is_a_prefix_of_top_k_plus_one(self, make_store, build):
        store = make_store(random_codes(1, 500, 64, 3))
        (index,) = build(store)
        query = to_words(random_codes(2, 1, 64, 3))
        whole = index.search(query, k=500, radius=None).rows
        for k in (1, 2, 17, 499):
            np.testing.assert_array_equal(index.search(query, k=k, radius=None).rows, whole[:k])
