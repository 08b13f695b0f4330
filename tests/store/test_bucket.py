"""The store in an object store, over the real S3 protocol (moto's server on loopback)."""

import logging
import multiprocessing
import os
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import obstore
import pytest
from moto.server import ThreadedMotoServer

import ssah_index
from ssah_index.errors import (
    CorruptError,
    StoreError,
    StoreExistsError,
    StoreMissingError,
    StoreReplacedError,
    WriteFailedError,
)
from ssah_index.store import Store, collect, compact, verify
from ssah_index.store.bucket import cache_folder
from tests.commands import run_cli
from tests.conftest import HashEncoder, append, random_codes, staged
from tests.store.test_kills import visible


@pytest.fixture(scope="module")
def server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    served.start()
    yield "http://{}:{}".format(*served.get_host_and_port())
    served.stop()


@pytest.fixture
def url(server, tmp_path, monkeypatch):
    """A prefix of a bucket of its own, and an empty cache."""
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "SSAH_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = tmp_path.name.replace("_", "-").lower()[-60:].strip("-") + "-b"
    request = urllib.request.Request(f"{server}/{bucket}", method="PUT")
    urllib.request.urlopen(request).close()
    return f"s3://{bucket}/some/photos.ssah"


@pytest.fixture
def store(url):
    """Two segments of images, one of texts."""
    made = Store.create(url, bits=64)
    for number, modality in enumerate(["image", "image", "text"]):
        append(made, f"s{number}", random_codes(number, 50, 64, 4), modality)
    return made


def elsewhere(store):
    """The same store for a process that has nothing of it yet."""
    shutil.rmtree(store.path)
    return Store.open(str(store.place))


def test_the_whole_life_of_a_store(store):
    queries = random_codes(9, 3, 64, 4)
    reader = ssah_index.open(str(store.place))
    before = reader.search(queries, k=20)
    assert len(reader) == 150
    writer = elsewhere(store)
    assert writer.delete(["s0-1", "s1-2"]) == 2
    writer.append(
        random_codes(5, 2, 64), {"id": ["s0-3", "new"], "n": [1, 2]}, on_duplicate="replace"
    )
    writer.tag("kept", 3)
    compact(writer)
    report = collect(writer, grace_s=0)
    assert (report.generations, report.segments, report.files) == (5, 0, 3)
    assert report.removed_bytes > 0
    np.testing.assert_array_equal(reader.search(queries, k=20).ids, before.ids)
    assert reader.refresh() == writer.newest().generation
    assert len(reader) == 149
    fresh = elsewhere(writer)
    assert verify(fresh) == []
    assert sorted(visible(fresh)) == sorted(
        {f"s{s}-{i}" for s in range(3) for i in range(50)} - {"s0-1", "s1-2"} | {"new"}
    )
    np.testing.assert_array_equal(
        ssah_index.open(str(store.place), "kept").search(queries, k=20).ids, before.ids
    )


def test_answers_equal_those_of_a_folder(store, make_store):
    codes = [random_codes(number, 50, 64, 4) for number in range(3)]
    local = ssah_index.open(make_store(*codes, modalities=["image", "image", "text"]).path)
    queries = random_codes(9, 5, 64, 4)
    for options in ({"k": 7}, {"radius": 12}, {"k": 5, "modality": "text"}):
        expected = local.search(queries, **options)
        found = ssah_index.open(str(elsewhere(store).place)).search(queries, **options)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)


def write_alone(url, worker):
    store = Store.open(url)
    for number in range(4):
        append(store, f"w{worker}-{number}", random_codes(worker, 2, 64))


@pytest.mark.slow
def test_no_commit_of_concurrent_writers_is_lost(url):
    store = Store.create(url, bits=64)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_alone, args=(url, w)) for w in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert not writer.exitcode
    assert store.newest().generation == 12
    assert store.snapshot().live == 24


def test_only_what_is_needed_is_fetched_and_nothing_twice(store):
    opened = elsewhere(store)
    cached = lambda: {p.relative_to(opened.path).as_posix() for p in files_of(opened)}  # noqa: E731
    snapshot = opened.snapshot()
    assert cached() == set()
    assert len(snapshot.select("text")[0].codes) == 50
    names = {name.split("/", 2)[2] for name in cached()}
    assert names == {"codes/zarr.json", "codes/c/0/0"}
    before = {path: path.stat().st_ino for path in files_of(opened)}
    assert len(Store.open(str(opened.place)).snapshot().select("text")[0].codes) == 50
    assert {path: path.stat().st_ino for path in files_of(opened)} == before


def files_of(store):
    return [path for path in store.path.rglob("*") if path.is_file()]


def test_an_altered_copy_is_fetched_again_and_never_mapped(store):
    opened = elsewhere(store)
    expected = ssah_index.open(str(opened.place)).search(random_codes(9, 3, 64), k=5)
    for path in files_of(opened):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    found = ssah_index.open(str(opened.place)).search(random_codes(9, 3, 64), k=5)
    np.testing.assert_array_equal(found.ids, expected.ids)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.parametrize("name", ["codes/c/0/0", "rows.arrow", "segment.json"])
def test_damage_in_the_bucket_is_found(store, name, damage):
    path = f"segments/{store.newest().segments[0].folder}/{name}"
    content = bytearray(store.place.read(path))
    content[7] ^= 1
    remote = store.place._remote
    if damage == "remove":
        obstore.delete(remote, [path])
    else:
        obstore.put(remote, path, bytes(content) if damage == "flip" else bytes(content[:-1]))
    opened = elsewhere(store)
    assert {found.file for found in verify(opened)} >= {path}
    with pytest.raises(StoreError, match=name):
        ssah_index.open(str(opened.place)).search(np.zeros(8, np.uint8), k=200)


def test_long_files_are_fetched_by_ranges(store, monkeypatch):
    monkeypatch.setattr("ssah_index.store.bucket.RANGE_BYTES", 100)
    monkeypatch.setattr("ssah_index.store.bucket.RANGES", 3)
    opened = elsewhere(store)
    np.testing.assert_array_equal(opened.snapshot().segments[1].codes, random_codes(1, 50, 64, 4))


def test_what_was_never_committed_is_collected(store):
    staged(store, "lost", random_codes(1, 5, 64))
    assert collect(store, grace_s=3600).segments == 0
    report = collect(store, grace_s=-0.0, keep=99)
    assert (report.segments, report.generations) == (1, 0)
    assert not [name for name in store.place.names("segments") if name.startswith("lost")]


def test_the_encoder_travels_with_the_store(url):
    encoder = HashEncoder()
    store = Store.create(url, bits=64, fingerprint=encoder.fingerprint, save_encoder=encoder.save)
    folder = elsewhere(append_to(store)).encoder_folder
    assert (folder / "encoder.json").read_text() == '{"kind": "hash"}'


def append_to(store):
    append(store, "s", random_codes(1, 5, 64))
    return store


def test_a_prefix_that_is_taken_or_empty_is_told(store, url):
    with pytest.raises(StoreExistsError, match="something at s3://"):
        Store.create(url, bits=64)
    with pytest.raises(StoreMissingError, match=r"s3://.*/none does not exist"):
        Store.open(f"{url}/none")
    with pytest.raises(StoreError, match="cannot be reached"):
        Store.open("nothing://x/y")


def test_a_store_of_objects_that_may_be_replaced_is_refused(url, monkeypatch):
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *given, mode=None: put(*given[:3]))
    with pytest.raises(WriteFailedError, match="If-None-Match"):
        Store.create(url, bits=64)
    with pytest.raises(StoreMissingError):
        Store.open(url)


def test_an_unreachable_server_is_told(url, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="cannot be reached"):
        Store.open(url.replace("s3://", "s3://x"))


def test_commands_take_urls(store):
    url = str(store.place)
    facts = run_cli("info", url).stdout
    assert '"rows": 150' in facts
    hits = run_cli("query", url, "--code", "00" * 8, "-k", "3").stdout.splitlines()
    assert len(hits) == 3
    run_cli("delete", url, "s0-1")
    run_cli("verify", url)
    assert Store.open(url).snapshot().live == 149
    assert cache_folder(url) == store.path.parent
    assert os.environ["SSAH_CACHE"] in str(store.path)


def test_a_vanished_object_is_a_fault_of_the_store(store):
    manifest = store.newest()
    store.place.remove_folder(f"segments/{manifest.segments[0].folder}")
    with pytest.raises(CorruptError, match="is missing"):
        ssah_index.open(str(store.place)).search(np.zeros(8, np.uint8))


NAMES = [
    "a b#c?.ssah", "a b", "a", "a%20b", "a+b", "a%2Fb", "50%", "ü.ssah", "u\u0308.ssah", "a&b=c",
    "~x*(1)'!", "[{^|}]", "back\\slash", "x;y,z:1@2$", '"<quoted>"', "日本/写真",
]  # fmt: skip


def test_every_character_of_a_url_means_itself(url):
    base = url.removesuffix("photos.ssah")
    for number, name in enumerate(NAMES):
        append(Store.create(f"{base}{name}", bits=64), f"s{number}", random_codes(1, 2, 64))
    for number, name in enumerate(NAMES):
        opened = Store.open(f"{base}{name}")
        assert opened.snapshot().find([f"s{number}-1"]).tolist() == [1], name
        assert len(opened.snapshot()) == 2
    assert len({Store.open(f"{base}{name}").path for name in NAMES}) == len(NAMES)
    assert Store.open(f"{base}a/").snapshot().find(["s2-1"]).tolist() == [1]
    bucket = url.removeprefix("s3://")
    assert Store.create(f"S3://{bucket}", bits=64).format == Store.open(url).format
    with pytest.raises(StoreError, match="without its second slash"):
        Store.open(Path(url))


def test_a_stale_handle_and_its_mirror_are_not_the_new_stores(url):
    """Removed and made anew under one URL: with another encoder, of fewer files."""

    class Wordy(HashEncoder):
        def save(self, folder):
            super().save(folder)
            (folder / "words.txt").write_text("old")

    encoders = Wordy(salt="old"), HashEncoder(salt="new")
    stores = []
    for encoder in encoders:
        for listed in obstore.list(stores[-1].place._remote) if stores else ():
            obstore.delete(stores[-1].place._remote, [meta["path"] for meta in listed])
        stores.append(
            Store.create(url, bits=64, fingerprint=encoder.fingerprint, save_encoder=encoder.save)
        )
        append(stores[-1], "s", random_codes(len(stores), 5, 64))
        assert Store.open(url).encoder_folder is not None
        assert len(Store.open(url).snapshot().segments[0].codes) == 5
    old, new = stores
    assert old.path != new.path
    assert [path.name for path in Store.open(url).encoder_folder.iterdir()] == ["encoder.json"]
    before = new.newest()
    for act in (
        old.newest,
        lambda: old.delete(["s-1"]),
        lambda: old.append(random_codes(1, 1, 64), {"id": ["x"]}),
        lambda: old.discard(before.segments[0]),
        lambda: old.place.remove_folder("segments"),
        lambda: old.encoder_folder,
        lambda: verify(old),
    ):
        with pytest.raises(StoreReplacedError):
            act()
    assert new.newest() == before
    assert verify(new) == []


def test_a_relative_cache_stays_where_it_was(url, tmp_path, monkeypatch):
    monkeypatch.setenv("SSAH_CACHE", "cache")
    monkeypatch.chdir(tmp_path)
    store = append_to(Store.create(url, bits=64))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert store.snapshot().take([0]).num_rows == 1
    store.append(random_codes(1, 1, 64), {"id": ["x"]})
    assert os.listdir() == []
