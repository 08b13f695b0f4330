"""A handle belongs to the store that it opened: not to its path, nor to what lies there later."""

import os
import shutil

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import StoreError, StoreMissingError, StoreReplacedError
from ssah_index.index.building import build_index
from ssah_index.store import Store, collect, compact, repair, stage_segment, verify
from ssah_index.store.columns import rows_table
from tests.conftest import HashEncoder, append, random_codes, staged


def codes(n, bits=64):
    return random_codes(n, n, bits)


@pytest.fixture(params=[64, 128], ids=["the same width", "another width"])
def replaced(request, tmp_path):
    """A handle of a store that was removed and made anew, its snapshot, and the new store."""
    path = tmp_path / "s.ssah"
    old = Store.create(path, bits=64)
    append(old, "first", codes(5))
    snapshot = old.snapshot()
    shutil.rmtree(path)
    new = Store.create(path, bits=request.param)
    append(new, "first", codes(3, request.param))
    return old, snapshot, new


def content(store):
    return {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}


def test_a_stale_handle_changes_nothing_of_the_new_store(replaced):
    old, snapshot, new = replaced
    entry = new.newest().segments[0]
    before = content(new)
    for act in (
        lambda: old.append(codes(2), {"id": ["x", "y"]}),
        lambda: old.append(codes(2), {"id": ["x", "y"]}, name="first"),
        lambda: old.delete(["first-1"]),
        lambda: old.delete_rows([0], snapshot),
        lambda: old.tag("name"),
        lambda: old.untag("name"),
        lambda: old.commit([]),
        lambda: old.change(lambda manifest: manifest.following("delete")),
        lambda: old.discard(snapshot.segments[0].entry),
        lambda: old.discard(entry),
        lambda: staged(old, "x", codes(2)),
        lambda: compact(old),
        lambda: collect(old, grace_s=0),
        lambda: repair(old),
        lambda: build_index(old, "image", kind="mih"),
        lambda: old.place.remove_folder(f"segments/{entry.folder}"),
        lambda: old.place.remove(["format.json"]),
        lambda: old.place.move(["format.json"], "quarantine"),
        lambda: old.place.publish("manifests/x.json", b""),
    ):
        with pytest.raises(StoreReplacedError, match=r"another store.*Open it again"):
            act()
        assert content(new) == before
    assert verify(new) == []
    assert new.snapshot().live == 3


def test_a_stale_handle_reads_nothing_of_the_new_store(replaced):
    old, snapshot, _ = replaced
    for read in (old.newest, old.snapshot, lambda: old.snapshot(1), lambda: verify(old)):
        with pytest.raises(StoreReplacedError):
            read()
    with pytest.raises(StoreReplacedError):
        list(old.history())
    assert len(snapshot) == 5


def test_a_refresh_does_not_change_to_another_store(tmp_path):
    path = tmp_path / "s.ssah"
    append(Store.create(path, bits=64), "a", codes(5))
    searcher = ssah_index.open(path)
    before = searcher.search(np.zeros(8, np.uint8), k=5).ids.tolist()
    shutil.rmtree(path)
    with pytest.raises(StoreMissingError, match="moved away, since it was opened"):
        searcher.refresh()
    append(Store.create(path, bits=64), "b", codes(5))
    with pytest.raises(StoreReplacedError):
        searcher.refresh()
    assert searcher.search(np.zeros(8, np.uint8), k=5).ids.tolist() == before
    assert ssah_index.open(path).search(np.zeros(8, np.uint8), k=1).ids[0].startswith("b")


def test_a_store_replaced_between_staging_and_commit_gets_nothing(tmp_path, monkeypatch):
    path = tmp_path / "s.ssah"
    old = Store.create(path, bits=64)
    entry = staged(old, "x", codes(2))

    def replace(current):
        shutil.rmtree(path)
        Store.create(path, bits=64)
        return current.following("append", segments=(entry,))

    with pytest.raises(StoreReplacedError):
        old.change(replace)
    new = Store.open(path)
    assert new.newest().generation == 0
    with pytest.raises(StoreReplacedError):
        old.commit([entry])


def test_the_encoder_of_another_store_is_not_loaded(tmp_path):
    path = tmp_path / "s.ssah"
    encoder = HashEncoder()
    made = {"bits": 64, "fingerprint": encoder.fingerprint, "save_encoder": encoder.save}
    old = Store.create(path, **made)
    shutil.rmtree(path)
    Store.create(path, **made)
    with pytest.raises(StoreReplacedError):
        _ = old.encoder_folder


def test_a_store_that_was_moved_away_is_missing(tmp_path):
    old = Store.create(tmp_path / "s.ssah", bits=64)
    (tmp_path / "s.ssah").rename(tmp_path / "t.ssah")
    with pytest.raises(StoreMissingError, match="moved away, since it was opened"):
        old.append(codes(1), {"id": ["x"]})
    with pytest.raises(StoreMissingError):
        stage_segment(
            old.place, "x", "image", codes(1), rows_table({"id": ["x"]}, 1, "image", "string")
        )
    assert os.listdir(tmp_path) == ["t.ssah"]
    assert Store.open(tmp_path / "t.ssah").newest().generation == 0


def test_a_store_without_random_digits_is_told_from_another(tmp_path):
    """As the first releases made them."""
    for name, bits in (("a", 64), ("b", 128)):
        store = Store.create(tmp_path / name, bits=bits)
        body = store.format.to_bytes().replace(store.format.uid.encode(), b"")
        (store.path / "format.json").write_bytes(body)
    place = Store.create(tmp_path / "c", bits=64).place
    shutil.copyfile(tmp_path / "a/format.json", place.root / "format.json")
    place.adopt()
    place.confirm()
    shutil.copyfile(tmp_path / "b/format.json", place.root / "format.json")
    with pytest.raises(StoreReplacedError):
        place.confirm()


def test_a_relative_path_is_resolved_when_the_store_is_opened(tmp_path, monkeypatch):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        append(Store.create("s.ssah", bits=64), folder, codes(3))
    monkeypatch.chdir(tmp_path / "here")
    store, searcher = Store.open("s.ssah"), ssah_index.open("./s.ssah")
    created = Store.create("new.ssah", bits=64)
    monkeypatch.chdir(tmp_path / "there")
    store.append(codes(1), {"id": ["x"]})
    created.append(codes(1), {"id": ["y"]})
    assert searcher.refresh() == 2
    assert store.path == tmp_path / "here/s.ssah"
    assert Store.open("s.ssah").newest().generation == 1
    assert Store.open(tmp_path / "here/new.ssah").snapshot().find(["y"]).tolist() == [0]
    assert os.listdir() == ["s.ssah"]


def test_a_working_folder_that_is_gone_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreMissingError, match="working folder that is gone"):
        Store.open("s.ssah")


def test_a_path_that_cannot_be_one_is_told(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    (tmp_path / "s" / "format.json").mkdir(parents=True)
    for path in (
        tmp_path / ("x" * 300),
        tmp_path / "loop",
        tmp_path / "s",
        tmp_path / "file" / "x",
    ):
        with pytest.raises(StoreError):
            Store.open(path)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "the path is ''"),
        ("a\0b", "the path is"),
        ("s3:/bucket/x", "without its second slash.*as str, not as Path"),
        ("S3:/bucket/x", "without its second slash"),
        ("https:/host/x", "without its second slash"),
        ("file:///tmp/x", "file:// names no object store.*give the path alone"),
        ("https://host/x", "https:// names no object store"),
        ("ftp://host/x", "ftp:// names no object store"),
        ("s4://bucket/x", "s4:// names no object store"),
        ("s3://", "names no place"),
        ("s3:///x", "names no place"),
        ("s3://user:secret@bucket/x", "names no place"),
        ("s3://bucket:80/x", "names no place"),
        ("s3://bucket?x/y", "names no place"),
        ("s3://bucket//x", "names no place"),
        ("s3://bucket/a//x", "names no place"),
        ("s3://bucket/../x", "names no place"),
        ("s3://bucket/a/./x", "names no place"),
        ("s3://bucket/a\nb", "names no place"),
    ],
)
def test_what_names_no_place_is_refused(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for act in (Store.open, lambda path: Store.create(path, bits=64)):
        with pytest.raises(StoreError, match=words):
            act(path)
    assert os.listdir() == []
