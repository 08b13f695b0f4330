"""Deleted rows are gone from every answer of later snapshots, and from no earlier one."""

import multiprocessing

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import CorruptError, QueryError
from ssah_index.store import Store
from ssah_index.store.deletions import FOLDER
from tests import naive
from tests.conftest import append, random_codes


@pytest.fixture
def store(make_store):
    """Images, texts, images; ids s0-0 to s2-49."""
    segments = [random_codes(seed, 50, 64, 4) for seed in range(3)]
    return make_store(*segments, modalities=["image", "text", "image"])


def all_codes(store):
    return np.concatenate([segment.codes for segment in store.snapshot().segments])


def ids_of(searcher, **ask):
    return set(searcher.search(np.zeros(8, np.uint8), k=1000, **ask).ids)


def test_deleted_rows_are_not_found_and_positions_stay(store):
    gone = ["s0-3", "s1-7", "s1-8", "absent"]
    before = ssah_index.open(store.path)
    assert store.delete(gone) == 3
    after = ssah_index.open(store.path)
    assert (len(before), len(after)) == (150, 147)
    assert ids_of(before) - ids_of(after) == set(gone[:3])
    alive = np.ones(150, bool)
    alive[[3, 57, 58]] = False
    queries = random_codes(9, 4, 64, 4)
    for radius, k in ((None, 20), (9, None), (9, 3)):
        found = after.search(queries, k=k, radius=radius)
        expected = naive.search(all_codes(store), queries, k, radius, alive)
        np.testing.assert_array_equal(found.rows, expected.rows)
        chosen = np.arange(150) % 2 == 0
        found = after.search(queries, k=k, radius=radius, where_rows=chosen)
        expected = naive.search(all_codes(store), queries, k, radius, alive & chosen)
        np.testing.assert_array_equal(found.rows, expected.rows)
    paired = {row for batch in after.pairs(64) for row in (*batch.rows, *batch.others)}
    assert paired == set(np.flatnonzero(alive).tolist())


def test_one_modality_is_deleted_alone_and_counted(store):
    append(store, "pair", random_codes(7, 3, 64), "image")
    append(store, "pair-text", random_codes(8, 3, 64), "text")
    assert store.delete(["pair-0", "pair-text-0", "s1-0"], modality="text") == 2
    snapshot = store.snapshot()
    assert (snapshot.count("image"), snapshot.count("text")) == (103, 51)
    assert store.delete([f"s1-{i}" for i in range(50)]) == 49
    assert [s.entry.name for s in store.snapshot().select("text")] == ["pair-text"]


def test_what_is_deleted_already_changes_nothing(store):
    assert store.delete(["s0-1"]) == 1
    newest = store.newest()
    assert store.delete(["s0-1", "absent"]) == 0
    assert store.newest() == newest
    assert store.delete(["s0-1", "s0-2"]) == 1


def test_rows_of_an_id_are_those_left(store):
    append(store, "s0", random_codes(7, 0, 64))
    assert store.snapshot().find(["s0-1", "s1-1", "absent"]).tolist() == [1, 51]
    store.delete(["s0-1"])
    assert store.snapshot().find(["s0-1", "s1-1"]).tolist() == [51]
    assert store.snapshot().find(["s0-2", "s1-1"], "image").tolist() == [2]


def test_older_generations_can_be_opened(store):
    store.delete(["s0-1"])
    store.delete(["s0-2"])
    operations = [(m.generation, m.operation) for m in store.history()]
    assert operations == [(5, "delete"), (4, "delete"), (3, "append"), (2, "append"), (1, "append")]
    sizes = [len(ssah_index.open(store.path, generation=g)) for g in range(6)]
    assert sizes == [0, 50, 100, 150, 149, 148]
    for wrong in (6, -1):
        with pytest.raises(
            QueryError, match=f"no generation {wrong}; expected 0, or one of 5 from 1 to 5"
        ):
            ssah_index.open(store.path, generation=wrong)
    times = [manifest.committed_s for manifest in store.history()]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("damage", ["missing", "cut", "flip"])
def test_a_damaged_list_of_deletions_is_refused(store, damage):
    store.delete(["s0-1", "s2-4"])
    path = next((store.path / FOLDER).iterdir())
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        spoilt = content[:-1] if damage == "cut" else bytes([*content[:-1], content[-1] ^ 1])
        path.write_bytes(spoilt)
    with pytest.raises(CorruptError, match="roaring"):
        store.snapshot()
    assert store.snapshot(3).live == 150


def delete_and_append(path, worker):
    store = Store.open(path)
    for number in range(5):
        assert store.delete([f"s0-{5 * worker + number}"]) == 1
        append(store, f"w{worker}-{number}", random_codes(worker, 2, 64))


def test_no_deletion_of_concurrent_writers_is_lost(store):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=delete_and_append, args=(store.path, worker)) for worker in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert not writer.exitcode
    snapshot = store.snapshot()
    assert list(snapshot.segments[0].deleted) == list(range(15))
    assert (len(snapshot), snapshot.live) == (180, 165)
    assert snapshot.generation == 33
