import numpy as np
import pytest

from ssah_index.codes import as_bitmap
from ssah_index.index import FlatIndex, flat
from ssah_index.types import SearchSpec
from tests import naive
from tests.conftest import random_codes
from tests.index.suite import IndexSuite


class TestFlat(IndexSuite):
    @pytest.fixture
    def build(self):
        return lambda store: FlatIndex.over(store.snapshot().select(None))


@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize("values", [1, 2, 256])
def test_pairs_are_all_rows_near_each_other_once(monkeypatch, share, values):
    monkeypatch.setattr(flat, "PAIR_ROWS", 37)
    monkeypatch.setattr(flat, "EXTENT_BYTES", 8 * 100)
    n, radius = 250, 9
    codes = random_codes(1, n, 64, values)
    codes[200:220] = codes[10:30]
    allowed = np.ones(n, bool) if share is None else np.random.default_rng(2).random(n) < share
    bitmap = None if share is None else as_bitmap(allowed, n)
    found = list(FlatIndex.of(codes).pairs(SearchSpec(radius=radius, allowed=bitmap)))
    expected = [
        (row, int(d), row + 1 + other)
        for row, line in enumerate(naive.distances(codes, codes))
        for d, other in sorted((d, j) for j, d in enumerate(line[row + 1 :]))
        if d <= radius and allowed[row] and allowed[row + 1 + other]
    ]
    assert len(expected) > 4
    assert expected == [
        (row, d, other)
        for batch in found
        for row, other, d in zip(
            batch.rows.tolist(), batch.others.tolist(), batch.distances.tolist(), strict=True
        )
    ]
