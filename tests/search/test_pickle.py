"""What a search needs crosses to another process at any time, and finds the same there."""

import copy
import multiprocessing
import pickle
import shutil
import threading
import time

import numpy as np
import pytest

import ssah_index
from ssah_index import Stop
from ssah_index.errors import DeadlineError, QueryError, StoreMissingError, StoreReplacedError
from ssah_index.index.building import build_index
from ssah_index.store import Store
from ssah_index.types import Hits
from tests.conftest import append, random_codes

QUERIES = random_codes(9, 3, 64)


@pytest.fixture
def store(make_store):
    """Indexed images, and a deleted row."""
    store = make_store(random_codes(1, 3000, 64), random_codes(2, 20, 64))
    build_index(store, "image", kind="mih")
    store.delete(["s0-7"])
    return store


def copies(value):
    yield pickle.loads(pickle.dumps(value))
    yield copy.copy(value)
    yield copy.deepcopy(value)


def same(one, other):
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.distances, other.distances)
    np.testing.assert_array_equal(one.lims, other.lims)


def test_a_searcher_pickles_at_any_time(store):
    searcher = ssah_index.open(store.path)
    before = [*copies(searcher)]
    result = searcher.search(QUERIES, k=5)
    searcher.warm_up()
    append(store, "later", QUERIES)
    for other in (*before, *copies(searcher)):
        assert other.snapshot.generation == searcher.snapshot.generation == 4
        same(other.search(QUERIES, k=5), result)
        assert other.refresh() == 5


def test_stores_and_snapshots_pickle(store):
    snapshot = store.snapshot(2)
    snapshot.take(np.arange(3))
    snapshot.live_rows  # noqa: B018
    for other in copies(snapshot):
        assert (other.generation, len(other)) == (2, len(snapshot))
        assert other.take(np.arange(3)).equals(snapshot.take(np.arange(3)))
    for other in copies(store):
        assert other.format == store.format
        assert other.newest() == store.newest()
    for other in copies(store.snapshot(0)):
        assert len(other) == 0


def test_results_pickle(store):
    searcher = ssah_index.open(store.path)
    found = searcher.search(QUERIES, k=5)
    for other in copies(found):
        same(other, found)
        assert (other.ids == found.ids).all()
    for pairs in searcher.pairs(20):
        for other in copies(pairs):
            np.testing.assert_array_equal(other.others, pairs.others)
    hits = ssah_index.search_codes(QUERIES, QUERIES, radius=64)
    for other in copies(hits):
        assert isinstance(other, Hits)
        same(other, hits)


def test_a_generation_or_store_that_is_gone_is_told(store):
    pickled = pickle.dumps(ssah_index.open(store.path, 2))
    manifest = sorted((store.path / "manifests").iterdir())[-2]
    manifest.unlink()
    with pytest.raises(QueryError, match="has no generation 2"):
        pickle.loads(pickled)
    pickled = pickle.dumps(ssah_index.open(store.path))
    shutil.rmtree(store.path)
    with pytest.raises(StoreMissingError, match="does not exist"):
        pickle.loads(pickled)
    Store.create(store.path, bits=64)
    with pytest.raises(StoreReplacedError, match=r"is store .* as pickled"):
        pickle.loads(pickled)


def test_a_stop_pickles():
    stop = Stop(timeout_s=1000)
    for other in copies(stop):
        assert 900 < other.remaining_s() <= 1000
        other.cancel()
        assert not stop.flag[0]
    stop.cancel()
    for other in copies(stop):
        assert other.flag[0]
    for other in copies(Stop()):
        assert other.remaining_s() is None
    stop = Stop(timeout_s=0)
    time.sleep(0.001)
    with pytest.raises(DeadlineError, match="within 0 s"):
        next(copies(stop)).check()


def test_a_spawned_worker_answers(store):
    searcher = ssah_index.open(store.path)
    result = searcher.search(QUERIES, k=5)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        same(pool.apply(searcher.search, (QUERIES,), {"k": 5}), result)


def test_searchers_pickle_while_others_search(store):
    searcher = ssah_index.open(store.path)
    done = threading.Event()
    worker = threading.Thread(
        target=lambda: [searcher.search(QUERIES, k=5) for _ in iter(done.is_set, True)]
    )
    worker.start()
    for _ in range(20):
        assert len(pickle.loads(pickle.dumps(searcher))) == len(searcher)
    done.set()
    worker.join()
