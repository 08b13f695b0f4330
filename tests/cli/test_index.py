"""index says what it did and why, in words that agree."""

import json

import pytest

from ssah_index.index import building
from ssah_index.store import Store
from tests.cli import forked
from tests.conftest import append, random_codes


@pytest.fixture
def store(make_store):
    return make_store(random_codes(1, 400, 64))


def index(store, *words):
    """The report on images, and the last line that was said."""
    ended = forked.run(["index", store.path, *words])
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["image"], ended.err.decode().splitlines()[-1]


def test_auto_that_declines(store):
    report, said = index(store)
    assert (report["kind"], report["rows"]) == ("flat", 0)
    assert report["reason"].startswith("none is built for 400 codes of 64 bits: about ")
    assert said == f"images: every search is a scan; {report['reason']}"


def test_auto_that_builds(store, monkeypatch):
    monkeypatch.setattr(building, "GAIN", 0.0)
    report, said = index(store)
    assert report["reason"].startswith("an index is built for 400 codes of 64 bits: about ")
    assert said == f"images: 400 of 400 rows are in an index (mih); {report['reason']}"


def test_what_is_asked_for_is_built_though_it_may_not_pay(store):
    report, said = index(store, "--kind", "mih")
    assert "is built for 400 codes of 64 bits, as kind 'mih' says, though a scan may do" in said
    report, said = index(store)
    assert report["reason"] == "all rows are in an index already"
    assert said == "images: 400 of 400 rows are in an index (mih); all rows are in an index already"


def test_new_rows_beside_an_index_that_stands(store):
    index(store, "--kind", "mih")
    append(store, "late", random_codes(2, 5, 64))
    report, said = index(store)
    assert report["rows"] == 400
    assert report["reason"].startswith("400 rows are in an index already; none is built for 5 cod")
    assert said.startswith("images: 400 of 405 rows are in an index (mih); 400 rows are in an ind")
    report, said = index(store, "--rebuild")
    assert report["reason"].startswith("400 rows are in an index already; none is built for 405 c")
    report, said = index(store, "--rebuild", "--kind", "mih")
    assert said.startswith("images: 405 of 405 rows are in an index (mih); an index is built for 4")


@pytest.mark.parametrize(
    "memory", ["nan", "-1", "1e400", "", "8QB", "1.2.3", ".", "0", "0.5", "1e30", "inf", "8 G B"]
)
def test_sizes_that_are_none(store, memory):
    ended = forked.run(["index", store.path, "--memory", memory])
    assert ended.code == 2
    assert f"memory is {memory!r}; expected a size".encode() in ended.err


@pytest.mark.parametrize("memory", ["8GB", "8 gb", "1e9", "1.5G", "2.MB", "1000000"])
def test_sizes(store, memory):
    assert forked.run(["index", store.path, "--memory", memory]).code == 0


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_threads_that_are_none(store, threads):
    ended = forked.run(["index", store.path, "--threads", threads])
    assert ended.code == 2
    assert f"threads is {threads}; expected".encode() in ended.err


@pytest.mark.parametrize("bits", [8, 16, 1024, 4096])
def test_extremes_of_threads_and_k(tmp_path, bits):
    store = Store.create(tmp_path / "s.ssah", bits=bits)
    append(store, "a", random_codes(1, 300, bits))
    report, _ = index(store, "--kind", "mih", "--memory", "1GB", "--threads", "1000000")
    assert report["rows"] == 300
    found = forked.run(
        ["query", store.path, "--code", "00" * (bits // 8), "-k", 2**63, "--threads", 10**6]
    )
    assert found.code == 0
    assert len(found.out.splitlines()) == 300
