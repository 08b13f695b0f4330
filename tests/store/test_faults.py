"""Every write, fsync, link, mkdir and unlink fails once, and the store stays whole.

EINTR is not among the errors, since Python itself goes on after it (PEP 475).
"""

import errno
import io
import os
import shutil
import threading
from pathlib import Path

import pytest

from ssah_index.errors import WriteFailedError
from ssah_index.store import Store, collect, compact, verify
from tests.conftest import append, random_codes
from tests.store.test_kills import visible

CALLS = ("fsync", "link", "mkdir", "unlink")


class Faults:
    """Counts calls that change the disk, and makes one of them fail."""

    def __init__(self, monkeypatch, failing=None, number=errno.ENOSPC):
        self.count, self.failing, self.number = 0, failing, number
        self.lock = threading.Lock()
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        faults, opened = self, Path.open

        class File(io.FileIO):
            def write(self, data):
                faults.step()
                return super().write(data)

        def open_path(path, mode="r", **options):
            return File(path, mode) if mode == "xb" else opened(path, mode, **options)

        monkeypatch.setattr(Path, "open", open_path)

    def step(self):
        with self.lock:  # files are flushed from several threads
            self.count += 1
            fails = self.count == self.failing
        if fails:
            raise OSError(self.number, os.strerror(self.number))

    def _wrapped(self, call):
        def wrapper(*args, **options):
            self.step()
            return call(*args, **options)

        return wrapper


ACTS = {
    "append": lambda store: append(store, "new", random_codes(9, 7, 64)),
    "replace": lambda store: store.append(
        random_codes(9, 4, 64),
        {"id": ["s0-1", "s2-3", "s2-4", "n"], "v": [1, 2, 3, 4]},
        on_duplicate="replace",
        name="upsert",
    ),
    "delete": lambda store: store.delete(["s0-1", "s2-3"]),
    "compact": compact,
    "collect": lambda store: collect(store, grace_s=0),
    "tag": lambda store: store.tag("t", 1),
}


def made(path):
    """Three segments, a deleted row, and an old generation's leavings."""
    store = Store.create(path, bits=64)
    for number in range(3):
        append(store, f"s{number}", random_codes(number, 5, 64))
    store.delete(["s0-0"])
    return store


@pytest.mark.parametrize("act", ACTS)
def test_each_call_fails_once(tmp_path, act, record_property):
    with pytest.MonkeyPatch.context() as patch:
        store = made(tmp_path / "whole")
        counter = Faults(patch)
        ACTS[act](store)
    before = visible(made(tmp_path / "before"))
    after = visible(store)
    assert counter.count >= 2
    failures = 0
    for failing in range(1, counter.count + 1):
        store = Store.open(shutil.copytree(tmp_path / "before", tmp_path / str(failing)))
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, failing, (errno.ENOSPC, errno.EIO)[failing % 2])
            try:
                ACTS[act](store)
            except WriteFailedError:
                failures += 1
        reopened = Store.open(store.path)
        assert visible(reopened) in (before, after)
        assert verify(reopened) == []
        ACTS[act](reopened)
        assert visible(reopened) == after
        assert verify(reopened) == []
    assert failures == counter.count
    record_property("faults", failures)
