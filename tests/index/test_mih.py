"""Multi-index hashing against the naive twin and the flat index, ties included."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssah_index.codes import as_bitmap, to_words
from ssah_index.errors import CancelledError, SpecError, TooManyHitsError
from ssah_index.index import FlatIndex, mih, mih_build
from ssah_index.index.mih import MihIndex
from ssah_index.index.mih_build import build
from ssah_index.index.mih_plan import MihPlan, draw, plan
from ssah_index.kernels import Extent
from ssah_index.stop import Stop
from ssah_index.types import SearchSpec
from tests import naive
from tests.conftest import random_codes
from tests.index.suite import IndexSuite

MUCH = 1 << 40


@pytest.fixture
def never_scan(monkeypatch):
    """Small sets are faster scanned; the tables must be exact all the same."""
    monkeypatch.setattr(mih, "SCAN_NS", 1e18)


def extents(codes, pieces=1, gap=0):
    """The codes in so many pieces, with rows of others between them."""
    borders = np.linspace(0, len(codes), pieces + 1).astype(int)
    words = to_words(codes)
    return [Extent(words[i:j], int(i) + e * gap) for e, (i, j) in enumerate(pairwise(borders))]


def assert_same(actual, expected):
    np.testing.assert_array_equal(actual.lims, expected.lims)
    np.testing.assert_array_equal(actual.distances, expected.distances)
    np.testing.assert_array_equal(actual.rows, expected.rows)
    assert actual.distances.dtype == np.int32
    assert actual.rows.dtype == np.int64


def shaped(m, b, bits, n, compact=False):
    """A plan of a shape that would not be chosen."""
    order = tuple(np.random.default_rng(m).permutation(bits).tolist())
    return MihPlan(
        n=n, bits=bits, m=m, b=b, order=order, compact=compact, build_s=0, query_s=0, scan_s=0
    )


def built(pieces, shape, threads=2):
    arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
    return MihIndex(build(pieces, shape, arrays, threads=threads), shape, pieces)


class TestMih(IndexSuite):
    @pytest.fixture
    def build(self, never_scan):
        def build(store):
            pieces = [
                Extent(s.files.words, s.first_row, s.files.prefetch)
                for s in store.snapshot().select(None)
            ]
            return MihIndex.of(pieces, store.format.bits, MUCH)

        return build


def uniform(rng, n, bits):
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def clustered(rng, n, bits):
    centres = uniform(rng, 5, bits)
    noise = np.packbits(rng.random((n, bits)) < 0.05, axis=1)
    return centres[rng.integers(0, 5, n)] ^ noise


def equal(rng, n, bits):
    return np.repeat(uniform(rng, 1, bits), n, axis=0)


def half_constant(rng, n, bits):
    codes = uniform(rng, n, bits)
    codes[:, : max(bits // 16, 1)] = 0
    return codes


def two_ends(rng, n, bits):
    codes = np.packbits(rng.random((n, bits)) < 0.02, axis=1)
    codes[n // 2 :] ^= 255
    return codes


def few_values(rng, n, bits):
    return rng.integers(0, 2, (n, bits // 8), dtype=np.uint8)


KINDS = [uniform, clustered, equal, half_constant, two_ends, few_values]
SHAPES = [(1, 8), (2, 4), (1, 1), (3, 2), (4, 2)]


@settings(deadline=None, max_examples=120)
@given(
    kind=st.sampled_from(KINDS),
    bits=st.sampled_from([8, 24, 64, 72, 128, 200, 320, 512]),
    n=st.one_of(st.integers(0, 6), st.integers(0, 1500)),
    shape=st.sampled_from([*SHAPES, *SHAPES, None]),
    k=st.none() | st.integers(1, 1600),
    radius=st.none() | st.integers(0, 600),
    share=st.none() | st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    pieces=st.integers(1, 4),
    threads=st.integers(1, 3),
    scan_ns=st.sampled_from([1e18, 1e18, 2e3, 0.0]),
    seed=st.integers(0, 9),
)
def test_equals_flat(kind, bits, n, shape, k, radius, share, pieces, threads, scan_ns, seed):
    if k is None and radius is None:
        radius = bits // 5
    rng = np.random.default_rng(seed)
    codes = kind(rng, n, bits)
    queries = np.concatenate([uniform(rng, 2, bits), codes[:1], kind(rng, 2, bits)])
    parts = extents(codes, pieces, gap=70)
    rows = n + 70 * pieces
    allowed = None if share is None else as_bitmap(rng.random(rows) < share, rows)
    spec = SearchSpec(k=k, radius=radius, allowed=allowed, threads=threads)
    if shape is None:
        index = MihIndex.of(parts, bits, MUCH)
    else:
        index = built(parts, shaped(*shape, bits, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mih, "SCAN_NS", scan_ns)
        hits = index.search(to_words(queries), spec)
        alone = [index.search(to_words(query[None]), spec) for query in queries]
    assert_same(hits, FlatIndex(parts).search(to_words(queries), spec))
    np.testing.assert_array_equal(np.concatenate([one.rows for one in alone]), hits.rows)
    np.testing.assert_array_equal(np.concatenate([one.distances for one in alone]), hits.distances)
    assert [one.lims.tolist() for one in alone] == [[0, n] for n in np.diff(hits.lims).tolist()]


@pytest.mark.parametrize("kind", [clustered, equal, uniform])
@pytest.mark.parametrize(("bits", "m", "b"), [(64, 2, 24), (48, 2, 24), (64, 1, 25)])
def test_the_compact_form_is_exact(never_scan, monkeypatch, kind, bits, m, b):
    """Also over many parts and chunks, which are cut short of a bucket's end."""
    monkeypatch.setattr(mih_build, "CHUNK_CODES", 700)
    monkeypatch.setattr(mih_build, "PART_ENTRIES", 900)
    codes = kind(np.random.default_rng(0), 3000, bits)
    parts = extents(codes, 3)
    index = built(parts, shaped(m, b, bits, 3000, compact=True))
    queries = np.concatenate([codes[:3], codes[:3] ^ np.uint8(1)])
    for k in (1, 40):
        spec = SearchSpec(k=k, radius=7)
        assert_same(index.search(to_words(queries), spec), naive.search(codes, queries, k, 7))


def test_equal_codes_are_one_entry_with_a_list_of_rows():
    codes = random_codes(1, 5000, 64, 2)
    shape = plan(to_words(codes), 5000, 64, MUCH)
    arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
    index = build(extents(codes, 3), shape, arrays)
    distinct, counts = np.unique(codes, axis=0, return_counts=True)
    assert index["refs"].size == shape.m * len(distinct)
    assert index["lists"].size == (counts > 1).sum() + 1
    assert index["list_rows"].size == counts[counts > 1].sum()


def test_the_plan_keeps_to_its_budget_and_projects_its_bytes():
    codes = to_words(random_codes(1, 20_000, 64))
    parts = [Extent(codes, 0)]
    rich, poor = (plan(draw(parts), 20_000, 64, 20_000 * budget) for budget in (1000, 30))
    assert poor.m < rich.m
    assert poor.nbytes <= 20_000 * 30
    for shape in (rich, poor):
        arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
        real = sum(array.nbytes for array in build(parts, shape, arrays).values())
        assert 0.95 * shape.nbytes < real <= shape.nbytes
    with pytest.raises(SpecError, match="at least"):
        plan(codes, 20_000, 64, 1000)
    with pytest.raises(SpecError, match="fewer than 2147483648"):
        plan(codes, 1 << 31, 64, MUCH)


def test_a_billion_codes_of_64_bits_are_planned_within_24_bytes_a_code():
    sample = to_words(random_codes(1, 2000, 64))
    shape = plan(sample, 10**9, 64, 24 * 10**9)
    assert shape.compact
    assert shape.m == 2
    assert shape.nbytes < 20 * 10**9
    assert shape.query_s < 0.1 * shape.scan_s


def test_candidates_that_do_not_fit_are_met_again(never_scan, monkeypatch):
    """A pool too small is replaced; beyond the greatest, a query is scanned."""
    monkeypatch.setattr(mih, "POOL_SIZE", 4)
    codes, queries = random_codes(1, 3000, 64), random_codes(2, 9, 64)
    index = MihIndex.of(extents(codes), 64, MUCH)
    for most in (1 << 20, 4):
        monkeypatch.setattr(mih, "MOST_CANDIDATES", most)
        hits = index.search(to_words(queries), SearchSpec(radius=24))
        assert_same(hits, naive.search(codes, queries, None, 24))


def test_a_heavy_query_is_shared_among_cores(never_scan, monkeypatch):
    """Also where the candidates of a core do not fit at first."""
    monkeypatch.setattr(mih, "SHARED_NS", 0.0)
    codes, queries = random_codes(1, 20_000, 64), random_codes(2, 5, 64)
    parts = extents(codes)
    index = built(parts, shaped(2, 12, 64, 20_000))
    for size in (1 << 14, 8):
        monkeypatch.setattr(mih, "POOL_SIZE", size)
        for k, radius in ((10, None), (None, 20), (300, None)):
            for query in queries:
                spec = SearchSpec(k=k, radius=radius, threads=3)
                hits = index.search(to_words(query[None]), spec)
                assert_same(hits, naive.search(codes, query[None], k, radius))


@pytest.mark.parametrize("scan_ns", [1e18, 0.0])
def test_the_limit_is_for_all_queries_together(monkeypatch, scan_ns):
    monkeypatch.setattr(mih, "SCAN_NS", scan_ns)
    codes, queries = random_codes(1, 3000, 64, 3), random_codes(2, 4, 64, 3)
    expected = naive.search(codes, queries, None, 10)
    total = len(expected.rows)
    assert total > 100
    index = MihIndex.of(extents(codes, 3), 64, MUCH)
    spec = {"radius": 10}
    assert_same(index.search(to_words(queries), SearchSpec(**spec, limit=total)), expected)
    with pytest.raises(TooManyHitsError, match=f"limit of {total - 1}"):
        index.search(to_words(queries), SearchSpec(**spec, limit=total - 1))


def test_a_stopped_search_and_a_stopped_build_end_with_an_error():
    parts = extents(random_codes(1, 3000, 64))
    index = MihIndex.of(parts, 64, MUCH)
    stopped = Stop()
    stopped.cancel()
    with pytest.raises(CancelledError):
        index.search(parts[0].words[:1], SearchSpec(k=1, stop=stopped))
    shape = plan(draw(parts), 3000, 64, MUCH)
    arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
    with pytest.raises(CancelledError):
        build(parts, shape, arrays, stop=stopped)


def test_arrays_may_be_mapped_from_files(tmp_path, never_scan):
    codes = random_codes(1, 2000, 64, 5)
    parts = extents(codes, 2)
    shape = plan(draw(parts), 2000, 64, MUCH)
    arrays = {
        name: np.memmap(tmp_path / name, kind, "w+", shape=size) if size else np.empty(0, kind)
        for name, (kind, size) in shape.sizes().items()
    }
    for name, array in build(parts, shape, arrays).items():
        array.tofile(tmp_path / f"{name}.bin")
    mapped = {
        name: np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)
        for name, (kind, _) in shape.sizes().items()
        for path in [tmp_path / f"{name}.bin"]
    }
    index = MihIndex(mapped, shape, parts)
    hits = index.search(to_words(codes[:5]), SearchSpec(k=20))
    assert_same(hits, naive.search(codes, codes[:5], 20))
