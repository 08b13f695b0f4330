import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import (
    CodeError,
    CorruptError,
    FormatError,
    StoreExistsError,
    StoreMissingError,
    WriteFailedError,
)
from ssah_index.store import Store, items_table, stage_segment
from ssah_index.store.files import publish_file, writing
from ssah_index.store.manifest import Manifest, manifest_name, read_manifest, sealed
from ssah_index.types import Failure
from tests.conftest import append, items_for, random_codes, staged


def test_rows_of_all_segments_in_order_of_insertion(make_store):
    first, second = random_codes(1, 5, 64), random_codes(2, 3, 64)
    snapshot = make_store(first, second, modalities=["image", "text"]).snapshot()
    assert (len(snapshot), snapshot.count("image"), snapshot.count("text")) == (8, 5, 3)
    assert [s.first_row for s in snapshot.segments] == [0, 5]
    np.testing.assert_array_equal(snapshot.segments[1].codes, second)
    table = snapshot.take(np.array([7, 0, 4, 5, 0]), ["id", "modality", "labels"])
    assert table.column("id").to_pylist() == ["s1-2", "s0-0", "s0-4", "s1-0", "s0-0"]
    assert table.column("modality").to_pylist() == ["text", "image", "image", "text", "image"]
    assert table.column("labels").to_pylist()[0] == ["a", "b2"]


def test_a_snapshot_is_pinned(make_store):
    store = make_store(random_codes(1, 5, 64))
    snapshot = store.snapshot()
    append(store, "later", random_codes(2, 3, 64))
    assert len(snapshot) == 5
    assert len(store.snapshot()) == 8


def test_a_name_is_committed_once(make_store):
    store = make_store(random_codes(1, 5, 64))
    before = store.newest()
    append(store, "s0", random_codes(2, 9, 64))
    assert store.newest() == before


def test_an_empty_store_opens(make_store):
    snapshot = make_store().snapshot()
    assert (len(snapshot), snapshot.generation) == (0, 0)


def test_failures_are_kept_with_their_reasons(make_store):
    store = make_store()
    failure = Failure(id="x", source="x.png", modality="image", reason="no image")
    append(store, "s", random_codes(1, 0, 64), failures=[failure])
    assert store.snapshot().failures() == [failure]


def test_segment_json_counts_and_seals(make_store):
    store = make_store(random_codes(1, 5, 64))
    entry = store.newest().segments[0]
    folder = store.path / "segments" / entry.folder
    summary = json.loads((folder / "segment.json").read_bytes())
    assert (summary["rows_read"], summary["rows_written"], summary["rows_failed"]) == (5, 5, 0)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert names == {"segment.json", *summary["files"]}


def write_alone(path, worker):
    store = Store.open(path)
    for number in range(5):
        append(store, f"w{worker}-{number}", random_codes(worker, 2, 64))


def test_no_commit_of_concurrent_writers_is_lost(make_store):
    store = make_store()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_alone, args=(store.path, w)) for w in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    names = {entry.name for entry in store.newest().segments}
    assert names == {f"w{w}-{n}" for w in range(3) for n in range(5)}
    assert store.newest().generation == 15


def test_publishing_never_replaces(tmp_path):
    assert publish_file(tmp_path / "m.json", b"first")
    assert not publish_file(tmp_path / "m.json", b"second")
    assert (tmp_path / "m.json").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


def test_a_path_that_is_taken_is_refused(make_store):
    store = make_store()
    with pytest.raises(StoreExistsError, match="already"):
        Store.create(store.path, bits=64)


def test_what_is_no_store_is_told_apart(tmp_path):
    with pytest.raises(StoreMissingError, match="does not exist"):
        Store.open(tmp_path / "absent")
    with pytest.raises(StoreMissingError, match="is no store"):
        Store.open(tmp_path)


def test_another_format_version_is_refused(make_store):
    store = make_store()
    path = store.path / "format.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FormatError, match="version 2; expected version 1"):
        Store.open(store.path)
    path.write_text("{")
    with pytest.raises(CorruptError, match=r"format\.json"):
        Store.open(store.path)


def test_a_generation_this_release_would_misread_is_refused(make_store):
    store = make_store()
    body = json.loads(Manifest(generation=1).to_bytes())["manifest"] | {"vectors": []}
    (store.path / manifest_name(1)).write_bytes(sealed(body))
    with pytest.raises(FormatError, match="has 'vectors'"):
        store.snapshot()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_manifest_is_refused(make_store, damage):
    store = make_store(random_codes(1, 5, 64))
    path = store.path / manifest_name(1)
    content = path.read_bytes()
    spoilt = {
        "flip": content.replace(b'"rows":5', b'"rows":6'),
        "cut": content[:-9],
        "empty": b"",
    }[damage]
    path.write_bytes(spoilt)
    with pytest.raises(CorruptError, match="manifests"):
        store.snapshot()


def test_the_newest_name_comes_first_in_a_listing(make_store):
    store = make_store(random_codes(1, 5, 64), random_codes(2, 5, 64))
    newest = min(p.name for p in (store.path / "manifests").iterdir())
    assert f"manifests/{newest}" == manifest_name(2)
    assert read_manifest(store.place, 2) == store.newest()


@pytest.mark.parametrize("file", ["codes/c/0/0", "rows.arrow"])
@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_missing_and_cut_files_are_refused_before_they_are_mapped(make_store, file, damage):
    store = make_store(random_codes(1, 5, 64))
    path = store.path / "segments" / store.newest().segments[0].folder / file
    if damage == "cut":
        os.truncate(path, 7)
    else:
        path.unlink()
    with pytest.raises(CorruptError, match=file):
        store.snapshot()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_a_store_that_opens(small_disk):
    store = Store.create(small_disk / "s.ssah", bits=64)
    append(store, "fits", random_codes(1, 1000, 64))
    with pytest.raises(WriteFailedError, match="the disk is full"):
        append(store, "too large", random_codes(2, 200_000, 64))
    assert len(Store.open(store.path).snapshot()) == 1000


def test_a_full_disk_leaves_no_half_made_store(small_disk):
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    with pytest.raises(WriteFailedError, match="the disk is full"):
        Store.create(small_disk / "s.ssah", bits=64)
    assert [p.name for p in small_disk.iterdir()] == ["ballast"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "denied"), (errno.EIO, "Input/output")],
)
def test_causes_of_failed_writes_are_named(tmp_path, number, words):
    with pytest.raises(WriteFailedError, match=words), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_staged_but_not_committed_is_invisible(make_store):
    store = make_store(random_codes(1, 5, 64))
    codes = random_codes(2, 3, 64)
    staged(store, "x", codes)
    assert len(Store.open(store.path).snapshot()) == 5


@pytest.mark.parametrize("fields", [{"bitorder": "big"}, {"bits": 12}, {"bits": "64"}])
def test_a_format_that_cannot_be_is_refused(make_store, fields):
    store = make_store()
    path = store.path / "format.json"
    path.write_bytes(replace(store.format, **fields).to_bytes())
    with pytest.raises(CorruptError, match=r"format\.json has .* for 'bit"):
        Store.open(store.path)
    path.write_bytes(store.format.to_bytes().replace(b"64", b"32", 1))
    with pytest.raises(CorruptError, match="its seal does not hold"):
        Store.open(store.path)


def test_a_store_without_its_manifests_is_not_taken_for_an_empty_one(make_store):
    store = make_store(random_codes(1, 5, 64))
    shutil.rmtree(store.path / "manifests")
    with pytest.raises(CorruptError, match="no folder manifests"):
        store.snapshot()


def test_a_segment_field_of_a_newer_release_is_refused(make_store):
    store = make_store(random_codes(1, 5, 64))
    document = json.loads(store.newest().to_bytes())["manifest"]
    document["segments"][0]["compressed"] = True
    (store.path / manifest_name(1)).write_bytes(sealed(document))
    with pytest.raises(FormatError, match="has 'compressed'"):
        store.snapshot()


@pytest.mark.parametrize("file", ["codes/zarr.json", "rows.arrow", "segment.json"])
def test_zeroed_files_of_the_right_size_are_named(make_store, file):
    store = make_store(random_codes(1, 5, 64))
    path = store.path / "segments" / store.newest().segments[0].folder / file
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CorruptError, match=file):
        ssah_index.open(store.path).search(np.zeros(8, np.uint8))


def test_an_empty_folder_may_become_a_store(tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(Store.create(tmp_path / "empty", bits=64).snapshot()) == 0
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteFailedError, match="a folder on its way is a file"):
        Store.create(tmp_path / "file" / "s", bits=64)


def test_codes_and_items_must_match(make_store):
    codes = random_codes(1, 3, 64)
    table = items_table(items_for(codes)[:2], "image")
    with pytest.raises(CodeError, match="3 codes for 2 rows"):
        stage_segment(make_store().place, "x", "image", codes, table)


def test_only_unpublished_segments_can_be_discarded(make_store):
    store = make_store(random_codes(1, 5, 64))
    codes = random_codes(2, 3, 64)
    entry = staged(store, "x", codes)
    store.discard(entry)
    store.discard(store.newest().segments[0])
    assert len(list((store.path / "segments").iterdir())) == 1
    assert len(store.snapshot()) == 5


def test_a_refresh_looks_at_the_files_of_new_segments_alone(make_store):
    store = make_store(*[random_codes(seed, 2, 64) for seed in range(30)])
    searcher = ssah_index.open(store.path)
    looked = []
    check = store.place.check
    searcher.store.place.check = lambda folder, sizes: looked.append(folder) or check(folder, sizes)
    append(store, "new", random_codes(1, 2, 64))
    searcher.refresh()
    assert len(searcher) == 62
    assert [folder.split("/")[1].split(".")[0] for folder in looked] == ["new"]


def test_small_segments_hold_no_file_open(make_store):
    store = make_store(*[random_codes(seed, 2, 64) for seed in range(30)])
    searcher = ssah_index.open(store.path)
    before = len(os.listdir("/proc/self/fd"))
    searcher.search(np.zeros(8, np.uint8), k=60)
    store.append(random_codes(1, 1, 64), {"id": ["x"]})
    assert len(os.listdir("/proc/self/fd")) == before


AS_NOBODY = """
import os, sys
from ssah_index.errors import SsahError
from ssah_index.store import Store
os.setuid(65534)  # Python itself may lie where nobody may read: imports come first
store = Store.open(sys.argv[1])
try:
    print(store.delete(["s0-1"]) if sys.argv[2] == "delete" else len(store.snapshot()))
except SsahError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
def test_what_is_not_permitted_is_told_and_changes_nothing(make_store, tmp_path):
    store = make_store(random_codes(1, 5, 64))
    for folder in (store.path, *store.path.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and str(folder) != tempfile.gettempdir():
            folder.chmod(0o755)

    def told(act):
        command = [sys.executable, "-c", AS_NOBODY, str(store.path), act]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "WriteFailedError" in told("delete")
    assert "permission is denied" in told("delete")
    assert told("read") == "5\n"
    (store.path / "manifests").chmod(0o700)
    assert "may not be read: permission is denied" in told("read")
    assert store.newest().generation == 1


def test_a_read_only_file_system_is_told(small_disk):
    store = Store.create(small_disk / "s.ssah", bits=64)
    append(store, "s", random_codes(1, 5, 64))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WriteFailedError, match="read-only"):
        store.append(random_codes(2, 1, 64), {"id": ["x"]})
    with pytest.raises(WriteFailedError, match="read-only"):
        store.delete(["s-1"])
    assert len(ssah_index.open(store.path)) == 5
