"""Repair keeps what is whole, tells what is lost, and leaves a store that verifies."""

import shutil

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import CorruptError
from ssah_index.store import Store, collect, repair, verify
from ssah_index.store import shard as shard_module
from ssah_index.store.manifest import manifest_name
from ssah_index.types import Failure
from tests.commands import run_cli
from tests.conftest import HashEncoder, append, random_codes
from tests.store.test_bucket import server, url  # noqa: F401 (fixtures)
from tests.store.test_kills import visible


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, monkeypatch):
    """Two segments of images and one of texts, in chunks of 32 rows, and deleted rows."""
    monkeypatch.setattr(shard_module, "CHUNK_BYTES", 256)
    path = tmp_path / "s.ssah" if request.param == "folder" else request.getfixturevalue("url")
    encoder = HashEncoder()
    made = Store.create(path, bits=64, fingerprint="f", save_encoder=encoder.save)
    for number, modality in enumerate(["image", "text", "image"]):
        key = f"x{number}"
        failure = Failure(id=key, source=f"{key}.png", modality="image", reason="no image")
        append(made, f"s{number}", random_codes(number, 100, 64), modality, [failure])
    made.delete(["s0-1"])
    made.tag("old", 3)
    made.delete(["s0-2", "s2-7"])
    return made


def whole(*lost):
    """Ids that must be there: all but the deleted and the lost."""
    ids = [f"s{s}-{i}" for s in range(3) for i in range(100)]
    return [key for key in ids if key not in {"s0-1", "s0-2", "s2-7", *lost}]


def spoil(store, name, change):
    """Change a file of the store where it lies."""
    folder = store.place
    content = bytearray(folder.read(name))
    folder.remove([name])
    if change(content) is not None:
        return
    path = folder.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    folder.keep([name])


def flip(*places):
    def change(content):
        for place in places or (len(content) // 2,):
            content[place] ^= 1

    return change


def drop(content):
    return content


def cut(content):
    del content[len(content) // 2 :]


def segment_file(store, number, name):
    return f"segments/{store.newest().segments[number].folder}/{name}"


def reopened(store):
    return Store.open(str(store.place))


def test_a_whole_store_is_left_as_it_is(store):
    report = repair(reopened(store))
    assert (report.generation, report.damages) == (store.newest().generation, ())


def test_rows_of_whole_chunks_are_kept_and_lost_ones_named(store):
    spoil(store, segment_file(store, 0, "codes/c/0/0"), flip(8 * 40))
    report = repair(reopened(store))
    gone = {f"s0-{i}" for i in range(32, 64)}
    assert report.rows_lost == {"s0": 32}
    assert (report.failures_lost, report.deletions_undone, report.left) == (0, 0, ())
    assert report.generations_lost == (1, 2, 3, 4, 5, 6)
    after = reopened(store)
    assert visible(after) == whole(*gone)
    assert verify(after) == []
    ledger = [f for f in after.snapshot().failures() if "damaged" in f.reason]
    assert {f.id for f in ledger} == gone
    assert after.newest().tags == {}
    codes = random_codes(0, 100, 64)
    found = ssah_index.open(str(store.place)).search(codes[90:], k=1, modality="image")
    assert found.ids.tolist() == [f"s0-{i}" for i in range(90, 100)]


@pytest.mark.parametrize("name", ["codes/zarr.json", "zarr.json", "idhash.u64", "idrow.u32"])
@pytest.mark.parametrize("change", [flip(), cut, drop])
def test_what_can_be_made_again_costs_nothing(store, name, change):
    spoil(store, segment_file(store, 2, name), change)
    report = repair(reopened(store))
    assert (report.rows_lost, report.failures_lost) == ({}, 0)
    assert visible(reopened(store)) == whole()
    assert verify(reopened(store)) == []


def test_an_index_behind_the_codes_costs_nothing(store):
    spoil(store, segment_file(store, 0, "codes/c/0/0"), flip(-3))
    assert repair(reopened(store)).rows_lost == {}
    assert visible(reopened(store)) == whole()


@pytest.mark.parametrize("change", [cut, drop])
def test_cut_codes_cost_the_rows_behind_the_cut(store, change):
    spoil(store, segment_file(store, 2, "codes/c/0/0"), change)
    lost = repair(reopened(store)).rows_lost["s2"]
    assert lost == (99 if change is drop else 36)
    assert verify(reopened(store)) == []


@pytest.mark.parametrize("name", ["rows.arrow", "segment.json"])
def test_rows_without_ids_are_dropped_and_come_back_with_what_brought_them(store, name):
    spoil(store, segment_file(store, 0, name), flip())
    report = repair(reopened(store))
    assert (report.rows_lost, report.failures_lost) == ({"s0": 98}, 1)
    after = reopened(store)
    assert visible(after) == whole(*(f"s0-{i}" for i in range(100)))
    append(after, "s0", random_codes(0, 100, 64))
    assert after.snapshot().count("image") == 199


def test_a_ledger_is_counted(store):
    spoil(store, segment_file(store, 1, "failed.parquet"), cut)
    report = repair(reopened(store))
    assert (report.rows_lost, report.failures_lost) == ({}, 1)
    assert len(reopened(store).snapshot().failures()) == 2


def test_a_list_of_deletions_is_replaced_by_the_one_before(store):
    newest = store.newest()
    folder = newest.segments[0].folder
    spoil(store, newest.deletions[folder].path, flip())
    report = repair(reopened(store))
    assert report.deletions_undone == 1
    assert report.generations_lost == (6,)
    assert set(visible(reopened(store))) == {*whole(), "s0-2"}
    assert reopened(store).newest().tags == {"old": 3}
    assert reopened(store).snapshot("old").live == 300


def test_a_broken_newest_manifest_costs_its_commit(store):
    number = store.newest().generation
    spoil(store, manifest_name(number), cut)
    with pytest.raises(CorruptError, match="repair STORE"):
        reopened(store).snapshot()
    report = repair(reopened(store))
    assert report.generations_lost == (number,)
    assert report.generation == number + 1
    assert set(visible(reopened(store))) == {*whole(), "s0-2", "s2-7"}
    append(store, "later", random_codes(7, 3, 64))
    assert verify(reopened(store)) == []


def test_an_encoder_is_beyond_repair(store):
    spoil(store, "encoder/encoder.json", flip())
    report = repair(reopened(store))
    assert report.left == ("encoder/encoder.json",)
    assert visible(reopened(store)) == whole()


def test_remains_are_collected(store):
    folder = store.newest().segments[0].folder
    spoil(store, f"segments/{folder}/rows.arrow", flip())
    repair(reopened(store))
    collect(store, grace_s=0)
    assert folder not in set(store.place.names("segments"))
    assert list(store.place.names("quarantine"))


def test_the_command_says_what_is_lost(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    append(store, "a", random_codes(0, 5, 64))
    shutil.rmtree(tmp_path / "s.ssah/segments" / store.newest().segments[0].folder)
    run_cli("query", store.path, "--code", "00" * 8, expect=4)
    run_cli("verify", store.path, expect=4)
    assert '"a": 5' in run_cli("repair", store.path).stdout
    run_cli("verify", store.path)
    np.testing.assert_array_equal(len(Store.open(store.path).snapshot()), 0)
