from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ssah_index
from ssah_index.errors import CodeError, QueryError
from ssah_index.kernels import merge
from tests import naive
from tests.conftest import append, random_codes


@pytest.fixture
def store(make_store):
    """Images, texts, images."""
    segments = [random_codes(seed, 400, 64, 4) for seed in range(3)]
    return make_store(*segments, modalities=["image", "text", "image"])


def all_codes(store):
    return np.concatenate([segment.codes for segment in store.snapshot().segments])


def test_a_search_by_k_unpacks_to_matrices(store):
    queries = random_codes(9, 5, 64, 4)
    distances, ids = ssah_index.open(store.path).search(queries, k=3)
    expected = naive.search(all_codes(store), queries, 3)
    np.testing.assert_array_equal(distances, expected.distances.reshape(5, 3))
    assert ids.shape == (5, 3)
    row = int(expected.rows[0])
    assert ids[0, 0] == f"s{row // 400}-{row % 400}"


def test_a_search_by_radius_is_ragged_and_inclusive(store):
    queries = random_codes(9, 5, 64, 4)
    result = ssah_index.open(store.path).search(queries, radius=9)
    expected = naive.search(all_codes(store), queries, radius=9)
    np.testing.assert_array_equal(result.lims, expected.lims)
    np.testing.assert_array_equal(result.rows, expected.rows)
    assert result.distances.max() == 9
    distances, ids = result
    assert len(distances) == len(ids) == result.lims[-1]


def test_one_modality_is_searched_alone(store):
    result = ssah_index.open(store.path).search(random_codes(9, 1, 64, 4), k=2000, modality="text")
    assert sorted(result.rows) == list(range(400, 800))


def test_results_become_arrow(store):
    result = ssah_index.open(store.path).search(random_codes(9, 2, 64, 4), k=2)
    table = pa.table(result)
    assert table.column_names == ["query", "rank", "distance", "row", "id"]
    assert table.column("query").to_pylist() == [0, 0, 1, 1]
    assert table.column("rank").to_pylist() == [0, 1, 0, 1]
    assert table.column("id").to_pylist() == result.ids.tolist()


def test_results_become_data_frames(store):
    frame = ssah_index.open(store.path).search(random_codes(9, 2, 64, 4), k=2).to_pandas()
    assert list(frame.columns) == ["query", "rank", "distance", "row", "id"]
    assert len(frame) == 4


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_only_the_rows_chosen_are_found(store, share):
    """Rows count over all modalities, whichever is searched."""
    where = np.random.default_rng(3).random(1200) < share
    queries = random_codes(9, 5, 64, 4)
    searcher = ssah_index.open(store.path)
    found = searcher.search(queries, k=2000, where_rows=pa.array(where))
    assert sorted(found.rows[: found.lims[1]]) == np.flatnonzero(where).tolist()
    texts = np.arange(1200) // 400 == 1
    found = searcher.search(queries, k=20, where_rows=where, modality="text")
    expected = naive.search(all_codes(store), queries, 20, None, where & texts)
    np.testing.assert_array_equal(found.rows, expected.rows)
    with pytest.raises(QueryError, match="7 flags meets 1200 rows"):
        searcher.search(queries, where_rows=[True] * 7)


def test_pairs_of_a_modality(store):
    append(store, "again", all_codes(store)[[3, 500]], "text")
    searcher = ssah_index.open(store.path)
    pairs = [
        pair
        for batch in searcher.pairs(0)
        for pair in zip(batch.rows.tolist(), batch.others.tolist(), strict=True)
    ]
    assert {(3, 1200), (500, 1201)} <= set(pairs)
    texts = np.concatenate([batch.rows for batch in searcher.pairs(0, modality="text")])
    assert 500 in texts
    assert 3 not in texts
    with pytest.raises(QueryError, match="radius is -1"):
        searcher.pairs(-1)


def test_refresh_swaps_the_snapshot(store):
    searcher = ssah_index.open(store.path)
    append(store, "late", random_codes(7, 10, 64))
    assert len(searcher) == 1200
    assert searcher.refresh() == 4
    assert len(searcher) == 1210


def test_an_empty_store_answers_with_nothing(make_store):
    result = ssah_index.open(make_store().path).search(np.zeros((2, 8), np.uint8), k=3)
    assert result.lims.tolist() == [0, 0, 0]
    assert pa.table(result).schema.field("id").type == pa.string()
    assert [part.shape for part in result] == [(2, 0), (2, 0)]


def test_no_queries_have_no_answers(store):
    result = ssah_index.open(store.path).search(np.zeros((0, 8), np.uint8), k=3)
    assert len(result) == 0
    assert pa.table(result).num_rows == 0


def test_bad_queries_are_refused(store):
    searcher = ssah_index.open(store.path)
    with pytest.raises(CodeError, match=r"16 bytes \(128 bits\).*8 bytes \(64 bits\)"):
        searcher.search(np.zeros((1, 16), np.uint8))
    with pytest.raises(QueryError, match="k is 0"):
        searcher.search(np.zeros((1, 8), np.uint8), k=0)
    with pytest.raises(QueryError, match="threads is True"):
        searcher.search(np.zeros((1, 8), np.uint8), threads=True)
    with pytest.raises(QueryError, match="modality is 'texts'"):
        searcher.search(np.zeros((1, 8), np.uint8), modality="texts")


def test_more_hits_than_rows_may_be_asked_for(store):
    result = ssah_index.open(store.path).search(np.zeros((1, 8), np.uint8), k=10**30)
    assert len(result.rows) == 1200


def test_many_threads_get_the_answers_of_one(store):
    searcher = ssah_index.open(store.path)
    queries = random_codes(9, 50, 64, 4)
    alone = searcher.search(queries, k=20)
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: searcher.search(queries, k=20), range(32)):
            np.testing.assert_array_equal(result.rows, alone.rows)


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 4), st.none() | st.integers(1, 9))
def test_merge_equals_one_search_over_all(n, pieces, nq, k):
    codes, queries = random_codes(n, n, 8, 4), random_codes(n + 1, nq, 8, 4)
    parts = []
    for rows in np.array_split(np.arange(n), pieces):
        hits = naive.search(codes[rows], queries, k, 8)
        parts.append(
            type(hits)(hits.distances, hits.rows + (rows[0] if len(rows) else 0), hits.lims)
        )
    merged, expected = merge(parts, nq, k), naive.search(codes, queries, k, 8)
    np.testing.assert_array_equal(merged.rows, expected.rows)
    np.testing.assert_array_equal(merged.distances, expected.distances)
    np.testing.assert_array_equal(merged.lims, expected.lims)
