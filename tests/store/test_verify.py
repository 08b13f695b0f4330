"""Every flipped bit and every cut file is found, and named."""

import os
import random
import shutil

import numpy as np
import pytest

import ssah_index
from ssah_index.errors import CorruptError, FormatError, SsahError
from ssah_index.store import Store, verify
from ssah_index.store import shard as shard_module
from ssah_index.types import Failure
from tests.conftest import HashEncoder, append, random_codes

FLIPS = int(os.environ.get("SSAH_FLIPS", "400"))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Three segments of several chunks, an encoder, a ledger and two lists of deletions."""
    monkeypatch.setattr(shard_module, "CHUNK_BYTES", 256)
    encoder = HashEncoder()
    path = tmp_path / "whole.ssah"
    store = Store.create(path, bits=64, fingerprint="f", save_encoder=encoder.save)
    failure = Failure(id="x", source="x.png", modality="image", reason="no image")
    for number, modality in enumerate(["image", "text", "image"]):
        append(store, f"s{number}", random_codes(number, 100, 64), modality, [failure])
    store.delete(["s0-1"])
    store.delete(["s0-2", "s2-7"])
    return store


def files_of(store):
    return sorted(path for path in store.path.rglob("*") if path.is_file())


def found_in(store):
    """Damaged files by verify, or the one that keeps the store from opening."""
    try:
        opened = Store.open(store.path)
    except (CorruptError, FormatError):
        return {"format.json"}  # the one file that opening reads
    return {damage.file for damage in verify(opened)}


def test_a_whole_store_has_no_damage(store):
    told = []
    assert verify(store, lambda done, total, label: told.append((done, total, label))) == []
    done, total, label = told[-1]
    assert done == total > 3 * 800
    assert {one[1] for one in told} == {total}
    assert label == "bytes"


@pytest.mark.slow
def test_every_flipped_bit_is_found_in_its_file(store, record_property):
    """In every file once at least, and at random."""
    chance = random.Random(1)
    files = files_of(store)
    picked = [*files, *chance.choices(files, k=FLIPS - len(files))]
    for path in picked:
        content = path.read_bytes()
        spoilt = bytearray(content)
        spoilt[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        assert found_in(store) == {path.relative_to(store.path).as_posix()}
        path.write_bytes(content)
    assert verify(store) == []
    record_property("flips", len(picked))


def test_every_cut_or_missing_file_is_found_and_no_search_dies_of_it(store, record_property):
    for path in files_of(store):
        content = path.read_bytes()
        for damage in (content[:-1], content[: len(content) // 2], b"", None):
            path.unlink()
            if damage is not None:
                path.write_bytes(damage)
            name = path.relative_to(store.path).as_posix()
            if name == "format.json" and damage is None:
                with pytest.raises(SsahError, match="no store"):
                    Store.open(store.path)
            elif "manifests" in name and damage is None:
                continue  # what no listing shows is not missed; gc removes old ones so
            else:
                assert found_in(store) == {name}
            if "segments" in name and not name.endswith("parquet"):
                with pytest.raises(SsahError):
                    ssah_index.open(store.path).search(np.zeros((1, 8), np.uint8), k=3)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert verify(store) == []
    record_property("cuts", 4 * len(files_of(store)))


def test_damaged_codes_are_told_by_rows(store):
    entry = store.newest().segments[1]
    path = store.path / "segments" / entry.folder / shard_module.SHARD
    content = bytearray(path.read_bytes())
    for row in (3, 40, 99):
        content[8 * row] ^= 1
    path.write_bytes(content)
    damages = verify(store)
    assert [damage.rows for damage in damages] == [(0, 64), (96, 100)]
    assert {damage.segment for damage in damages} == {"s1"}
    shutil.rmtree(path.parent.parent.parent)
    assert {damage.segment for damage in verify(store)} == {"s1"}
