"""Large sets through the shapes that are planned for them, against the flat index."""

import numpy as np
import pytest

from ssah_index.codes import as_bitmap, to_words
from ssah_index.index import FlatIndex
from ssah_index.index.mih import MihIndex
from ssah_index.kernels import Extent
from ssah_index.types import SearchSpec
from tests.index.test_mih import (
    MUCH,
    assert_same,
    clustered,
    equal,
    few_values,
    half_constant,
    two_ends,
    uniform,
)

pytestmark = pytest.mark.slow
N = 150_000
SPECS = [(1, None), (10, None), (1000, None), (20_000, None), (None, 2), (None, 9), (None, 18)]


@pytest.mark.parametrize("kind", [uniform, clustered, equal, half_constant, two_ends, few_values])
@pytest.mark.parametrize("bits", [32, 64, 128])
def test_large_sets_equal_flat(kind, bits):
    """Few hits and many, sparse masks and none; whether tables or a scan give the answer."""
    rng = np.random.default_rng(0)
    codes = kind(rng, N, bits)
    words = to_words(codes)
    parts = [Extent(words[: N // 3], 0), Extent(words[N // 3 :], N // 3)]
    index = MihIndex.of(parts, bits, MUCH)
    queries = to_words(np.concatenate([uniform(rng, 1, bits), codes[:1]]))
    for share in (None, 0.01, 0.5):
        allowed = None if share is None else as_bitmap(rng.random(N) < share, N)
        for k, radius in SPECS:
            spec = SearchSpec(k=k, radius=radius, allowed=allowed, threads=1)
            assert_same(index.search(queries, spec), FlatIndex(parts).search(queries, spec))
