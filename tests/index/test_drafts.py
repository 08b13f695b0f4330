"""Builds of an index that are killed, stopped or met by others, and taken up again."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from ssah_index.errors import ConflictError
from ssah_index.index import mih_build
from ssah_index.index.building import build_index
from ssah_index.index.mih import MihIndex
from ssah_index.index.stored import open_index
from ssah_index.store import IndexDraft, IndexFiles, IndexWork, Store, collect, drafts, verify
from tests.conftest import random_codes

ROWS = 40_000
PART = 3000
"""Entries, so that there are many parts and marks."""


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(mih_build, "PART_ENTRIES", PART)
    monkeypatch.setattr(drafts, "MARK_BYTES", 1)


@pytest.fixture
def store(make_store):
    """Codes of which many repeat."""
    return make_store(random_codes(1, ROWS // 2, 64, 4), random_codes(2, ROWS // 2, 64, 16))


def sealed(store):
    """What an index that is built now, or was built, looks like."""
    build_index(store, "image", kind="mih")
    entry = store.newest().indexes[0]
    return entry.folder.split(".")[0], entry.xxh3, entry.sizes


def draft(store):
    return next((store.path / "indexes").glob("*.draft"))


class Killed(BaseException):
    """Nothing that any code would catch."""


@pytest.mark.parametrize("marks", [1, 2, 7, 12])
def test_a_build_goes_on_where_it_was_cut_off(store, monkeypatch, small_parts, marks):
    """Its files are those of a build that nothing came across, whatever the number of cores."""
    reached, appended = IndexDraft.reached, IndexDraft.append
    count, added = [], []

    def add(self, name, values):
        added.append(values.nbytes)
        appended(self, name, values)

    def cut(self, mark):
        count.append(mark)
        if len(count) > marks:
            raise Killed
        reached(self, mark)

    with monkeypatch.context() as patch:
        patch.setattr(IndexDraft, "reached", cut)
        with pytest.raises(Killed):
            build_index(store, "image", kind="mih", threads=2)
    assert store.newest().indexes == ()
    with monkeypatch.context() as patch:
        patch.setattr(IndexDraft, "append", add)
        patch.setattr(mih_build, "PART_ENTRIES", PART + 1000)
        build_index(store, "image", kind="mih", threads=1)
        resumed, added_then = sealed(store), sum(added)
        added.clear()
        build_index(store, "image", kind="mih", rebuild=True, threads=3)
        assert sealed(store) == resumed
        assert added_then < sum(added)
    collect(store, grace_s=0)
    assert verify(store) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "mark"])
def test_a_draft_that_is_not_as_marked_is_begun_again(store, monkeypatch, small_parts, damage):
    def cut(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(IndexDraft, "finish", cut)
        with pytest.raises(Killed):
            build_index(store, "image", kind="mih")
    path = draft(store) / ("draft.json" if damage == "mark" else "refs/codes/c/0/0")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-9] if damage == "cut" else content)
    damaged = sealed(store)
    build_index(store, "image", kind="mih", rebuild=True)
    assert sealed(store) == damaged
    collect(store, grace_s=0)
    assert verify(store) == []


BUILD = """
import sys
from ssah_index.index import mih_build
from ssah_index.index.building import build_index
from ssah_index.store import Store, drafts
mih_build.PART_ENTRIES, drafts.MARK_BYTES = int(sys.argv[2]), 1
reached = drafts.IndexDraft.reached
def told(self, mark):
    reached(self, mark)
    print(mark, flush=True)
    sys.stdin.readline()
drafts.IndexDraft.reached = told
build_index(Store.open(sys.argv[1]), "image", kind="mih")
"""


@pytest.mark.slow
def test_a_build_killed_by_the_system_is_taken_up(store, small_parts):
    command = [sys.executable, "-c", BUILD, str(store.path), str(PART)]
    for lines in (1, 3, 2):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, bufsize=0) as builder:
            assert builder.stdout.readline()
            for _ in range(lines - 1):  # it waits at each mark until it is told to go on
                builder.stdin.write(b"\n")
                assert builder.stdout.readline()
            with pytest.raises(ConflictError, match="being written by another process"):
                build_index(store, "image", kind="mih")
            builder.send_signal(signal.SIGKILL)
    assert store.newest().indexes == ()
    run = {"stdin": subprocess.DEVNULL, "capture_output": True}
    left = subprocess.run(command, check=True, **run).stdout.splitlines()
    resumed = sealed(store)
    build_index(store, "image", kind="mih", rebuild=True)
    assert sealed(store) == resumed
    command[2] = BUILD.replace('"mih")', '"mih", rebuild=True)')
    whole = subprocess.run(command, check=True, **run).stdout.splitlines()
    assert len(left) <= len(whole) - 4
    assert isinstance(open_index(store.snapshot(), "image").engine(patient=True), MihIndex)
    assert verify(store) == []


def test_arrays_of_a_draft_are_what_was_appended(store):
    arrays = {"numbers": np.uint32, "none": np.uint8}
    work = IndexWork(kind="mih", modality="image", segments=["s"], shape={}, arrays=arrays)
    values = np.arange(700_000, dtype=np.uint32)
    with IndexDraft(store.place, work) as made:
        for start in range(0, len(values), 99_999):
            made.append("numbers", values[start : start + 99_999])
            np.testing.assert_array_equal(made.view("numbers", 5, start + 9), values[5 : start + 9])
        entry = made.finish({"a": 1})
    files = IndexFiles(store.place, entry).arrays()
    np.testing.assert_array_equal(files["numbers"], values)
    assert files["none"].size == 0
    assert Store.open(store.path).newest().indexes == ()
