"""The parts of a search of tables against obvious twins."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from ssah_index.codes import as_bitmap, to_words
from ssah_index.index.mih import MihIndex
from ssah_index.index.mih_build import build
from ssah_index.index.mih_plan import MihPlan
from ssah_index.kernels import Extent, postings, probe
from ssah_index.kernels.scan import EVERYTHING
from tests import naive
from tests.conftest import random_codes


@pytest.mark.parametrize("b", [1, 4, 9])
def test_patterns_are_all_those_of_so_many_bits(b):
    for r in range(b + 1):
        flips, out, found = np.array([(1 << r) - 1, 1 << b]), np.empty(5, np.int64), []
        while count := probe._next_flips(flips, r, out):
            found += out[:count].tolist()
        assert found == sorted(sum(1 << bit for bit in bits) for bits in combinations(range(b), r))
        assert len(found) == comb(b, r)


def index_of(codes, m, b, bits=64):
    shape = MihPlan(
        n=len(codes), bits=bits, m=m, b=b, order=tuple(range(bits)), compact=False,
        build_s=0, query_s=0, scan_s=0,
    )  # fmt: skip
    arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
    parts = [Extent(to_words(codes), 0)]
    return MihIndex(build(parts, shape, arrays), shape, parts)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_cores_that_share_a_query_need_not_keep_step(order, k):
    """Each runs alone to its end; together they hold all k nearest, none of them twice."""
    codes, queries = random_codes(1, 8000, 64), random_codes(2, 5, 64)
    index = index_of(codes, 2, 13)
    where = *index.postings, np.empty(0, np.uint64)
    for query in queries:
        hist = np.zeros((3, 65), np.int64)
        pool, hits = [], naive.search(codes, query[None], k)
        for core in order:
            out = np.empty(8000, np.uint64), np.empty((1, 3), np.int64)
            done = index.kernel(
                to_words(query[None]), index.layout, index.tables, where, (k, 64, 1e18),
                np.zeros(1, np.uint8), (core, hist), out,
            )  # fmt: skip
            assert done == 1
            pool += out[0][: out[1][0, 1]].tolist()
        assert len(set(pool)) == len(pool)
        nearest = sorted((int(c) >> 32, int(c) & 0xFFFFFFFF) for c in pool)[:k]
        assert nearest == list(zip(hits.distances.tolist(), hits.rows.tolist(), strict=True))


def test_a_search_that_costs_more_than_a_scan_is_given_up():
    codes, queries = random_codes(1, 8000, 64), to_words(random_codes(2, 3, 64))
    index = index_of(codes, 2, 13)
    where = *index.postings, np.empty(0, np.uint64)
    out = np.empty(8000, np.uint64), np.empty((3, 3), np.int64)
    core = 0, np.zeros((1, 65), np.int64)
    for scan_ns, given_up in ((1e18, False), (1e3, True)):
        asked, flag = (10, 64, scan_ns), np.zeros(1, np.uint8)
        index.kernel(queries, index.layout, index.tables, where, asked, flag, core, out)
        assert ((out[1][:, 2] == probe.GIVEN_UP) == given_up).all()


@pytest.mark.parametrize("share", [None, 0.3])
@pytest.mark.parametrize("k", [1, 7, 50, EVERYTHING])
def test_emitted_hits_are_the_least_of_the_candidates(share, k):
    """Single rows and lists, in two extents with a gap between them."""
    rng = np.random.default_rng(0)
    borders = np.array([0, 3, 40, 41, 60], np.uint32)
    list_rows = np.concatenate(
        [np.sort(rng.choice(100, n, replace=False)) for n in (3, 37, 1, 19)]
    ).astype(np.uint32)
    starts, shifts = np.array([0, 45]), np.array([10, 30])
    allowed = np.ones(200, bool) if share is None else rng.random(200) < share
    bitmap = np.empty(0, np.uint64) if share is None else as_bitmap(allowed, 200)
    refs = [200 - 101, *range(100, 105), *(i | 1 << 31 for i in range(4))]
    refs = [ref if ref < 100 or ref >= 1 << 31 else ref - 60 for ref in refs]
    distances = rng.integers(0, 3, len(refs))
    expected = []
    for d, ref in zip(distances.tolist(), refs, strict=True):
        number = ref ^ (1 << 31)
        some = list_rows[slice(*borders[number : number + 2])] if ref >= 1 << 31 else [ref]
        rows = [int(r) + (10 if r < 45 else 30) for r in some]
        expected += [(d, row) for row in rows if allowed[row]]
    expected = sorted(expected)[:k]
    pool = (distances.astype(np.uint64) << np.uint64(32)) | np.array(refs, np.uint64)
    out = np.empty(len(expected), np.int32), np.empty(len(expected), np.int64)
    spans = np.array([[0, len(pool), len(expected)]])
    where = borders, list_rows, starts, shifts, bitmap
    postings.emit(pool, spans, where, np.array([0, len(expected)]), out)
    assert list(zip(out[0].tolist(), out[1].tolist(), strict=True)) == expected
