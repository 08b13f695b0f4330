"""Compaction keeps every answer, and collection every generation that is wanted."""

import os
import time
from importlib import import_module

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import ConflictError, CorruptError, QueryError, SpecError
from ssah_index.store import Store, collect, compact, verify
from ssah_index.types import Failure
from tests.conftest import append, random_codes, staged


@pytest.fixture
def store(make_store):
    """Images, images, texts, images, of few values, so that there are many ties."""
    segments = [random_codes(seed, 40, 64, 2) for seed in range(4)]
    return make_store(*segments, modalities=["image", "image", "text", "image"])


def answers(store, generation=None):
    """Ids and distances of many searches: what a user sees."""
    searcher = ssah_index.open(store.path, generation)
    queries = random_codes(9, 5, 64, 2)
    asks = ({"k": 7}, {"k": 1000}, {"radius": 5}, {"k": 30, "modality": "text"})
    found = [searcher.search(queries, **ask) for ask in asks]
    return [(one.ids.tolist(), one.distances.tolist(), one.lims.tolist()) for one in found]


def test_answers_stay_and_deleted_rows_go(store):
    store.delete([f"s0-{i}" for i in range(5)] + ["s2-1", "s3-0"])
    before = answers(store)
    report = compact(store)
    assert (report.segments_before, report.segments_after, report.dropped) == (4, 3, 7)
    snapshot = store.snapshot()
    assert [len(segment) for segment in snapshot.segments] == [75, 39, 39]
    assert (len(snapshot), snapshot.live, snapshot.live_rows) == (153, 153, None)
    assert answers(store) == before
    assert answers(store, report.generation - 1) == before
    table = snapshot.take(np.array([0, 75]), ["id", "text", "labels", "modality"]).to_pylist()
    assert [row["id"] for row in table] == ["s0-5", "s2-0"]
    assert table[0]["labels"] == ["a", "b5"]
    assert verify(store) == []


def test_nothing_to_do_is_no_commit(store):
    compact(store)
    newest = store.newest()
    assert compact(store).generation == newest.generation
    assert store.newest() == newest


def test_what_was_merged_is_not_added_again_and_the_ledger_stays(store):
    failure = Failure(id="x", source="x.png", modality="image", reason="no image")
    append(store, "s4", random_codes(5, 3, 64), "image", [failure])
    compact(store)
    newest = store.newest()
    append(store, "s1", random_codes(1, 40, 64, 2))
    append(store, "s4", random_codes(5, 3, 64), "image", [failure])
    assert store.newest() == newest
    assert store.snapshot().failures() == [failure]
    append(store, "s5", random_codes(6, 3, 64))
    compact(store)
    newest = store.newest()
    append(store, "s1", random_codes(1, 40, 64, 2))
    assert store.newest() == newest


def test_a_segment_of_deleted_rows_alone_leaves_its_name(store):
    store.delete([f"s2-{i}" for i in range(40)])
    compact(store)
    assert [len(segment) for segment in store.snapshot().segments] == [80, 0, 40]
    newest = store.newest()
    append(store, "s2", random_codes(2, 40, 64, 2), "text")
    assert store.newest() == newest


def test_large_segments_are_left_alone(store, monkeypatch):
    monkeypatch.setattr(import_module("ssah_index.store.compact"), "SEGMENT_BYTES", 8 * 60)
    assert compact(store).segments_after == 4
    store.delete([f"s1-{i}" for i in range(25)])
    assert compact(store).segments_after == 3


def test_appends_meanwhile_are_kept_and_deletions_meanwhile_are_not_lost(store, monkeypatch):
    original, interruptions = Store.change, []

    def interrupted(self, make):
        if make.__class__.__name__ == "partial" and interruptions:
            interruptions.pop()()
        return original(self, make)

    monkeypatch.setattr(Store, "change", interrupted)
    interruptions.append(lambda: append(store, "late", random_codes(7, 3, 64, 2), "text"))
    compact(store)
    assert [s.entry.name for s in store.snapshot().segments][-1] == "late"
    store.delete(["s0-0"])
    interruptions.append(lambda: store.delete(["s0-1"]))
    compact(store)
    assert not {"s0-0", "s0-1"} & set(answers(store)[1][0])
    assert len(store.snapshot()) == store.snapshot().live == 161
    assert verify(store) == []
    store.delete(["s0-2"])
    left = [f"s0-{i}" for i in range(3, 40)]
    interruptions.extend([lambda i=i: store.delete([left[i]]) for i in range(20)])
    folders = set((store.path / "segments").iterdir())
    with pytest.raises(ConflictError, match="10 times"):
        compact(store)
    assert set((store.path / "segments").iterdir()) == folders


def age(store, seconds):
    for path in store.path.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_collection_keeps_what_is_named_young_or_tagged(store):
    store.tag("first", 1)
    store.delete(["s0-1"])
    store.delete(["s0-2"])
    compact(store)
    codes = random_codes(5, 3, 64)
    staged(store, "x", codes)
    (store.path / "manifests/.1.json.abc.tmp").write_bytes(b"cut")
    before, tagged = answers(store), answers(store, "first")
    young = collect(store, grace_s=3600)
    assert (young.generations, young.segments, young.files) == (0, 0, 0)
    age(store, 7200)
    planned = collect(store, grace_s=3600, dry_run=True)
    assert (planned.generations, planned.segments, planned.files) == (6, 2, 3)
    done = collect(store, grace_s=3600)
    assert done == planned
    assert done.removed_bytes > 1000
    assert answers(store) == before
    assert answers(store, "first") == tagged
    assert verify(store) == []
    with pytest.raises(QueryError, match="no generation 3"):
        store.snapshot(3)
    assert collect(store, grace_s=0).removed_bytes == 0


def test_a_reader_outlives_the_files_of_its_snapshot(store):
    used, unused = ssah_index.open(store.path), ssah_index.open(store.path)
    queries = random_codes(9, 3, 64, 2)
    before = used.search(queries, k=200)
    store.delete(["s0-1"])
    compact(store)
    assert collect(store, grace_s=0).segments == 2
    np.testing.assert_array_equal(used.search(queries, k=200).ids, before.ids)
    with pytest.raises(CorruptError, match="If gc has removed it since"):
        unused.search(queries)
    unused.refresh()
    assert len(unused) == 159


def test_a_generation_that_was_the_newest_within_the_grace_is_kept(store):
    age(store, 7200)
    for number in range(3):
        store.delete([f"s0-{number}"])
    assert collect(store, grace_s=3600).generations == 3
    assert [manifest.generation for manifest in store.history()] == [7, 6, 5, 4]


def test_senseless_collections_and_unknown_tags_are_refused(store):
    for wrong in ({"keep": 0}, {"grace_s": -1}):
        with pytest.raises(SpecError):
            collect(store, **wrong)
    with pytest.raises(QueryError, match="no tag 'x'; expected one of none"):
        store.snapshot("x")
    with pytest.raises(QueryError, match="no generation 99"):
        store.tag("x", 99)
    store.tag("x")
    assert store.snapshot("x").generation == 4
    assert store.untag("x").tags == {}
    newest = store.newest()
    assert store.untag("x") == newest
