"""Every public search at the ends of width, k, radius and size: right, or refused in words."""

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import CodeError, QueryError, StoreError, StoreMissingError
from ssah_index.search import Searcher
from tests import naive
from tests.conftest import random_codes

HUGE = [10**12, 2**63, 2**70, np.int64(2**62), np.uint64(2**63)]


@pytest.fixture(params=[8, 16, 4096])
def bits(request):
    return request.param


@pytest.fixture(params=["none", "deleted", "some"])
def searcher(request, make_store, bits):
    """A store without rows, without rows that are left, and with seven."""
    store = make_store(*[random_codes(1, 7, bits)] * (request.param != "none"), bits=bits)
    if request.param == "deleted":
        store.delete([f"s0-{i}" for i in range(7)])
    return ssah_index.open(store.path)


def test_a_searcher(searcher, bits):
    queries = random_codes(2, 3, bits)
    live = len(searcher)
    codes = random_codes(1, 7, bits)[: live or 0]
    expected = naive.search(codes, queries, 7)
    for ask in (*({"k": k} for k in HUGE), *({"radius": r} for r in (bits, bits + 1, *HUGE))):
        found = searcher.search(queries, threads=10**6, **ask)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.distances, expected.distances)
    assert len(searcher.search(queries, k=2**63, radius=2**40, limit=2**64).rows) == 3 * live
    if live:
        with pytest.raises(QueryError, match="more hits than the limit of 20"):
            searcher.search(queries, k=10**12, limit=20)
    pairs = sum(len(batch.rows) for batch in searcher.pairs(2**40, threads=10**6))
    assert pairs == live * (live - 1) // 2
    assert sum(len(batch.rows) for batch in searcher.pairs(0)) == 0
    searcher.warm_up()
    assert searcher.refresh() == searcher.snapshot.generation
    assert searcher.search(np.empty((0, bits // 8), np.uint8), k=10**12).lims.tolist() == [0]


def test_arrays(bits):
    queries = random_codes(2, 3, bits)
    for n in (0, 7):
        codes = random_codes(1, n, bits)
        expected = naive.search(codes, queries, 7)
        for ask in (*({"k": k} for k in HUGE), *({"radius": r} for r in (bits, *HUGE))):
            found = ssah_index.search_codes(codes, queries, threads=10**6, **ask)
            np.testing.assert_array_equal(found.rows, expected.rows)
    ssah_index.warm_up(bits)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", 0), ("k", -1), ("k", 1.5), ("k", True), ("k", "1"), ("k", float("nan")),
        ("radius", -1), ("radius", 0.5), ("radius", float("inf")), ("radius", "x"),
        ("limit", 0), ("limit", -(2**70)), ("limit", 1.0), ("limit", True),
        ("threads", 0), ("threads", -1), ("threads", 2.0), ("threads", "all"),
    ],
)  # fmt: skip
def test_numbers_that_are_none(name, value):
    codes = random_codes(1, 3, 16)
    with pytest.raises(QueryError, match=f"{name} is "):
        ssah_index.search_codes(codes, codes, **{name: value})


@pytest.mark.parametrize("width", [0, 4, 7, 4104, -8, 2**70, 8.0, "8", None, True])
def test_widths_that_are_none(width):
    with pytest.raises(CodeError):
        ssah_index.warm_up(width)


@pytest.mark.parametrize("generation", [1.5, "x", -1, 2**70, "", "1", True, b"1", [1]])
def test_generations_that_are_none(make_store, generation):
    store = make_store(random_codes(1, 3, 16), bits=16)
    with pytest.raises(QueryError):
        ssah_index.open(store.path, generation)
    with pytest.raises(QueryError):
        Searcher(store, generation)


@pytest.mark.parametrize("path", [12, None, 1.5, ["a"], object(), "", "a\0b", b"", "x" * 5000])
def test_paths_that_are_none(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        ssah_index.open(path)


def test_any_kind_of_path(make_store, tmp_path, monkeypatch):
    store = make_store(random_codes(1, 3, 16), bits=16)
    (tmp_path / "file").write_bytes(b"x")
    for path in (str(store.path), store.path, str(store.path).encode()):
        assert len(ssah_index.open(path)) == 3
    for path in (tmp_path, tmp_path / "file", tmp_path / "file" / "below", tmp_path / "no"):
        with pytest.raises(StoreMissingError):
            ssah_index.open(path)
    monkeypatch.chdir(store.path)
    assert len(ssah_index.open(".")) == 3
