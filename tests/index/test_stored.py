"""Indexes that lie in a store: the same answers as without, whatever becomes of the store."""

import json
import time

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import (
    CancelledError,
    ConflictError,
    CorruptError,
    SpecError,
    TooManyHitsError,
)
from ssah_index.index import FlatIndex, building
from ssah_index.index.building import build_index, drop_indexes
from ssah_index.index.mih import MihIndex
from ssah_index.index.stored import Stored, open_index
from ssah_index.stop import Stop
from ssah_index.store import Store, collect, compact, indexes, repair, verify
from tests.commands import run_cli
from tests.conftest import append, random_codes
from tests.index.suite import IndexSuite

BUDGET = 1 << 30


@pytest.mark.slow
class TestStored(IndexSuite):
    @pytest.fixture
    def build(self):
        def build(store):
            build_index(store, "image", kind="mih", budget_bytes=BUDGET)
            return open_index(store.snapshot(), None)

        return build


def clustered(seed, n, values=4):
    """Codes that repeat and lie near each other, around the same centres for every seed."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).integers(0, 256, (values, 8), dtype=np.uint8)
    codes = centres[random.integers(0, values, n)]
    codes[np.arange(n), random.integers(0, 8, n)] ^= 1 << random.integers(0, 3, n).astype(np.uint8)
    return codes


@pytest.fixture
def store(make_store):
    """Images, texts and images."""
    made = make_store(
        clustered(1, 3000), clustered(2, 500), clustered(1, 2000),
        modalities=["image", "text", "image"],
    )  # fmt: skip
    for modality in ("image", "text"):
        build_index(made, modality, kind="mih", budget_bytes=BUDGET)
    return made


def same_as_scan(store):
    """Every kind of search equals the scan's."""
    searcher = ssah_index.open(store.path)
    scanned = ssah_index.open(store.path)
    flat = Store.open(store.path)
    drop = flat.snapshot()
    drop.indexes.clear()
    scanned._pinned = (drop, {})
    queries = np.concatenate([clustered(9, 4), random_codes(3, 2, 64)])
    even = np.arange(len(searcher.snapshot)) % 2 == 0
    for options in (
        {"k": 1}, {"k": 50}, {"k": 20, "modality": "image"}, {"radius": 6}, {"k": 9, "radius": 4},
        {"radius": 5, "modality": "text"}, {"k": 30, "where_rows": even},
    ):  # fmt: skip
        found, expected = searcher.search(queries, **options), scanned.search(queries, **options)
        np.testing.assert_array_equal(found.lims, expected.lims)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.distances, expected.distances)
        np.testing.assert_array_equal(found.ids, expected.ids)
    return searcher


def kinds(store, modality=None):
    index = open_index(store.snapshot(), modality)
    parts = getattr(index, "_parts", [index])
    return [type(p.engine(patient=True) if isinstance(p, Stored) else p) for p in parts]


def test_a_search_uses_what_is_built(store):
    assert kinds(store) == [MihIndex, MihIndex]
    assert kinds(store, "text") == [MihIndex]
    same_as_scan(store)
    assert verify(store) == []


def test_appends_are_scanned_and_deletions_heeded(store):
    append(store, "later", clustered(1, 300))
    assert kinds(store, "image") == [MihIndex, FlatIndex]
    store.delete([f"s0-{i}" for i in range(0, 3000, 3)])
    store.append(clustered(1, 2), {"id": ["s0-1", "new"]}, on_duplicate="replace")
    searcher = same_as_scan(store)
    assert len(searcher) == 5500 + 300 - 1000 + 1
    build_index(store, "image", kind="mih", budget_bytes=BUDGET)
    assert kinds(store, "image") == [MihIndex, MihIndex]
    same_as_scan(store)


def covered(store):
    """Rows of each index of images, in the order they were published."""
    rows = {entry.folder: entry.rows for entry in store.newest().segments}
    return [
        sum(rows[folder] for folder in entry.segments)
        for entry in store.newest().indexes
        if entry.modality == "image"
    ]


def test_appended_rows_get_an_index_and_small_ones_become_one(store):
    """The number of indexes grows with the logarithm of the rows."""
    for number, (rows, expected) in enumerate(
        [(1000, [5000, 1000]), (600, [5000, 1600]), (2000, [8600]), (100, [8600, 100])]
    ):
        append(store, f"more-{number}", clustered(number, rows))
        report = build_index(store, "image", kind="mih", budget_bytes=BUDGET)
        assert covered(store) == expected
        assert report.rows == sum(expected)
        assert [shape["n"] for shape in report.built] == expected[-1:]
    same_as_scan(store)
    again = build_index(store, "image", kind="mih", budget_bytes=BUDGET)
    assert (again.built, again.reason) == ((), "all rows are in an index already")
    whole = build_index(store, "image", kind="mih", budget_bytes=BUDGET, rebuild=True)
    assert covered(store) == [8700] == [shape["n"] for shape in whole.built]
    assert kinds(store) == [MihIndex, MihIndex]
    same_as_scan(store)


def test_more_rows_than_an_index_holds_get_several(store, monkeypatch):
    monkeypatch.setattr(building, "MOST_ROWS", 4000)
    drop_indexes(store)
    report = build_index(store, "image", kind="mih", budget_bytes=BUDGET)
    assert covered(store) == [3000, 2000]
    assert report.rows == 5000
    same_as_scan(store)


def test_what_takes_long_to_compare_is_scanned_meanwhile(store, monkeypatch):
    """A process that searches once never begins; one that goes on soon has the index."""
    monkeypatch.setattr(indexes, "QUICK_BYTES", 0)
    files = Store.open(store.path).snapshot().indexes[0]
    assert files.arrays(patient=False) is None
    assert files._comparing is None
    for _ in range(1000):
        if arrays := files.arrays(patient=False):
            break
        time.sleep(0.01)
    assert set(arrays) == {"offsets", "body", "tails", "refs", "lists", "list_rows"}
    same_as_scan(Store.open(store.path))
    path = store.path / "indexes" / files.entry.folder / "refs/codes/c/0/0"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.unlink()
    path.write_bytes(content)
    searcher = same_as_scan(Store.open(store.path))
    with pytest.raises(CorruptError, match="refs/codes/c/0/0 is altered"):
        searcher.snapshot.indexes[0].arrays()
    same_as_scan(Store.open(store.path))


def test_a_warm_searcher_has_its_indexes_at_hand(store, monkeypatch):
    monkeypatch.setattr(indexes, "QUICK_BYTES", 0)
    searcher = ssah_index.open(store.path)
    searcher.warm_up()
    assert all(files.arrays(patient=False) for files in searcher.snapshot.indexes)


def test_limits_hold_over_all_parts(store):
    append(store, "later", clustered(1, 300))
    searcher = ssah_index.open(store.path)
    query = clustered(9, 1)
    total = len(searcher.search(query, radius=20).rows)
    assert len(searcher.search(query, radius=20, limit=total).rows) == total
    for options in ({"radius": 20, "limit": total - 1}, {"k": 10, "limit": 9}):
        with pytest.raises(TooManyHitsError):
            searcher.search(query, **options)


def test_a_compaction_drops_what_it_moves_and_gc_the_files(store):
    store.delete(["s0-1"])
    compact(store)
    assert kinds(store, "image") == [FlatIndex]
    assert kinds(store, "text") == [MihIndex]
    same_as_scan(store)
    collect(store, grace_s=0)
    assert len(list((store.path / "indexes").iterdir())) == 1
    assert drop_indexes(store) == 1
    assert drop_indexes(store) == 0
    collect(store, grace_s=0)
    assert list((store.path / "indexes").iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_index_is_found_left_aside_and_built_anew(store, damage):
    files = [p for p in sorted((store.path / "indexes").rglob("*")) if p.is_file()]
    for path in files:
        content = path.read_bytes()
        spoilt = bytearray(content)
        spoilt[len(content) // 2] ^= 1
        path.unlink()
        if damage != "remove":
            path.write_bytes(spoilt if damage == "flip" else content[:-1])
        assert {d.file for d in verify(Store.open(store.path))} == {
            path.relative_to(store.path).as_posix()
        }
        assert FlatIndex in kinds(Store.open(store.path))
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    files[3].unlink()
    same_as_scan(store)
    for modality in ("image", "text"):
        build_index(Store.open(store.path), modality, kind="mih", budget_bytes=BUDGET)
    assert kinds(Store.open(store.path)) == [MihIndex, MihIndex]
    collect(store, grace_s=0)
    assert verify(store) == []


def test_repair_drops_a_damaged_index(store):
    path = next(p for p in sorted((store.path / "indexes").rglob("*")) if p.is_file())
    path.write_bytes(b"junk")
    report = repair(Store.open(store.path))
    assert (report.rows_lost, report.generations_lost) == ({}, ())
    assert verify(Store.open(store.path)) == []
    assert len(Store.open(store.path).snapshot().indexes) == 1
    same_as_scan(store)


def test_equal_work_makes_equal_files(store, tmp_path):
    first = store.snapshot().indexes[0]
    drop_indexes(store)
    build_index(store, "image", kind="mih", budget_bytes=BUDGET, threads=1)
    second = store.snapshot().indexes[0]
    assert first.entry.folder.split(".")[0] == second.entry.folder.split(".")[0]
    assert (first.entry.xxh3, first.entry.sizes) == (second.entry.xxh3, second.entry.sizes)
    before = store.newest()
    build_index(store, "image", kind="mih", budget_bytes=BUDGET)
    assert store.newest() == before


def test_a_build_is_stopped_or_meets_a_compaction(store, monkeypatch):
    drop_indexes(store)
    stop = Stop()
    stop.cancel()
    with pytest.raises(CancelledError):
        build_index(store, "image", kind="mih", stop=stop)
    store.delete(["s0-1"])
    fill = building.fill

    def slow(*given, **options):
        compact(store)
        fill(*given, **options)

    monkeypatch.setattr(building, "fill", slow)
    with pytest.raises(ConflictError, match="compacted while their index was built"):
        build_index(store, "image", kind="mih", budget_bytes=BUDGET)
    assert verify(store) == []
    collect(store, grace_s=0)
    assert list((store.path / "indexes").iterdir()) == []


def test_auto_builds_none_where_a_scan_is_as_fast(make_store):
    store = make_store(random_codes(1, 500, 64))
    report = build_index(store, "image")
    assert report.kind == "flat"
    assert "by a scan" in report.reason
    assert store.newest().indexes == ()
    for wrong, words in (({"modality": "text"}, "no texts"), ({"kind": "ivf"}, "'ivf'")):
        with pytest.raises(SpecError, match=words):
            build_index(store, **{"modality": "image", **wrong})
    with pytest.raises(SpecError, match="1000 bytes for an index"):
        build_index(store, "image", kind="mih", budget_bytes=1000)


def test_the_command_builds_shows_and_drops(store):
    drop_indexes(store)
    told = run_cli("index", store.path, "--kind", "mih", "--memory", "500MB")
    assert json.loads(told.stdout)["image"]["rows"] == 5000
    shown = json.loads(run_cli("info", store.path).stdout)["indexes"]
    assert [(i["kind"], i["modality"], i["rows"]) for i in shown] == [
        ("mih", "image", 5000),
        ("mih", "text", 500),
    ]
    distinct = len(np.unique(np.concatenate([clustered(1, 3000), clustered(1, 2000)]), axis=0))
    assert shown[0]["distinct"] == distinct
    assert len(shown[0]["largest"]) == len(shown[0]["met"]) == shown[0]["tables"]
    assert all(1 <= met <= most <= distinct for met, most in zip(
        shown[0]["met"], shown[0]["largest"], strict=True
    ))  # fmt: skip
    again = run_cli("index", store.path, "--rebuild", "--kind", "mih", "--modality", "image")
    assert "5,000 codes of 64 bits" in again.stderr
    assert len(json.loads(again.stdout)["image"]["built"]) == 1
    ask = ("query", store.path, "--code", "0f" * 8, "-k", 40)
    before = run_cli(*ask).stdout
    assert json.loads(run_cli("index", store.path, "--drop").stdout) == {"dropped": 2}
    assert run_cli(*ask).stdout == before
    assert "memory is 'lots'" in run_cli("index", store.path, "--memory", "lots", expect=2).stderr
