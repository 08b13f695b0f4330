"""What cannot work is told before anything is read, encoded or written."""

import errno
import os
import tempfile

import pyarrow as pa
import pytest

from ssah_index.errors import (
    DuplicateIdError,
    EncoderError,
    RowsError,
    SourceError,
    SpecError,
    StoreExistsError,
    WriteFailedError,
)
from ssah_index.ingest import append, build, open_reader, open_target
from ssah_index.ingest.readers import ListReader
from ssah_index.store import Store, verify
from ssah_index.types import Item
from tests.conftest import HashEncoder
from tests.ingest.test_append import Counting, table


def lines(tmp_path, *texts):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(texts))
    return path


@pytest.mark.parametrize("name", ["source", "modality", "distance", "code"])
def test_columns_with_a_name_that_is_taken(tmp_path, name):
    path = lines(tmp_path, f'{{"text": "a", "{name}": "x"}}')
    encoder = Counting()
    with pytest.raises(SourceError, match=name):
        build(open_reader(path), tmp_path / "s.ssah", encoder)
    assert (encoder.encoded, os.listdir(tmp_path)) == (0, ["t.jsonl"])
    store = Store.create(tmp_path / "s.ssah", bits=64, fingerprint=encoder.fingerprint)
    with pytest.raises(SourceError, match=name):
        append(open_reader(path), store, encoder)
    assert (encoder.encoded, store.newest().generation) == (0, 0)


def test_columns_of_another_type_than_the_stores(tmp_path):
    encoder = Counting()
    path = lines(tmp_path, '{"id": "a", "text": "a", "n": 1}')
    build(open_reader(path), tmp_path / "s.ssah", HashEncoder())
    lines(tmp_path, '{"id": "b", "text": "b", "n": "one"}')
    with pytest.raises(RowsError, match="column 'n' is of type string"):
        append(open_reader(path), Store.open(tmp_path / "s.ssah"), encoder)
    lines(tmp_path, '{"id": "a", "text": "a", "n": 1}', '{"id": "b", "text": "b", "n": "one"}')
    with pytest.raises(SourceError, match="values of several types"):
        build(open_reader(path), tmp_path / "s.ssah", encoder)
    assert encoder.encoded == 0


def test_paths_that_cannot_be_written(tmp_path):
    encoder = HashEncoder()
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "full", "link"):
        with pytest.raises(StoreExistsError, match=r"something at .* already, and it is no store"):
            open_target(tmp_path / name, encoder)
    for path in (tmp_path / "file/s.ssah", tmp_path / "file/x/s.ssah", "/proc/s.ssah",
                 tmp_path / ("x" * 300), "/dev/null/s.ssah"):  # fmt: skip
        with pytest.raises(WriteFailedError):
            open_target(path, encoder)
    (tmp_path / "empty").mkdir()
    for name in ("new", "not/there/yet", "empty"):
        assert open_target(tmp_path / name, encoder) is None
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "full", "link"]
    report = build(table(tmp_path, "a", {"a": "x"}), tmp_path / "not/there/yet", encoder)
    assert report.written == 1


def test_a_store_that_cannot_be_written_any_more(tmp_path, monkeypatch):
    path = tmp_path / "s.ssah"
    build(table(tmp_path, "a", {"a": "x"}), path, HashEncoder())

    def read_only(*args):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    encoder = Counting()
    monkeypatch.setattr(tempfile, "mkdtemp", read_only)
    more = table(tmp_path, "a", {"a": "x", "b": "y"})
    for work in (
        lambda: build(more, path, encoder), lambda: append(more, Store.open(path), encoder)
    ):  # fmt: skip
        with pytest.raises(WriteFailedError, match="the file system is read-only"):
            work()
    assert encoder.encoded == 0
    report = build(table(tmp_path, "a", {"a": "x"}), path, encoder)
    assert (report.written, report.skipped) == (0, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(WriteFailedError, match="permission is denied"):
        open_target(tmp_path / "closed/s.ssah", HashEncoder())


def test_a_store_that_does_not_fit(tmp_path):
    encoder = HashEncoder()
    for number, (options, error) in enumerate(
        [
            ({"fingerprint": "other"}, EncoderError),
            ({"fingerprint": None}, EncoderError),
            ({"bits": 128}, EncoderError),
            ({"ids": "int64"}, SpecError),
        ]
    ):
        path = tmp_path / f"{number}.ssah"
        Store.create(path, **{"bits": 64, "fingerprint": encoder.fingerprint, **options})
        with pytest.raises(error):
            open_target(path, encoder)


def test_a_source_without_rows(tmp_path):
    with pytest.raises(SourceError, match="the input has no rows"):
        build(ListReader([]), tmp_path / "s.ssah", HashEncoder())
    assert os.listdir(tmp_path) == []


def test_rows_that_cannot_be_stored_cost_themselves(tmp_path):
    class Reader(ListReader):
        def columns(self):
            return pa.schema([("n", pa.int8())])

    def item(key, n=1, text="text", source="x"):
        return Item(id=key, source=source, text=text, columns={"n": n})

    rows = [item("a"), item("b", 1000), item("c", "one"), item("d", text="\ud800"), item("\udcff"),
            item("e", source="\udcff"), item("f", None), item("g", text="")]  # fmt: skip
    path = tmp_path / "s.ssah"
    report = build(Reader(rows, ""), path, HashEncoder())
    assert (report.written, report.failed) == (2, 6)
    snapshot = Store.open(path).snapshot()
    reasons = {failure.id: failure.reason for failure in snapshot.failures()}
    assert reasons.keys() == {"b", "c", "d", "e", "g", "\\udcff"}
    assert "it cannot be stored: RowsError" in reasons["b"]
    assert "it cannot be stored: " in reasons["d"]
    assert reasons["\\udcff"] == reasons["e"] == "its id or source is no Unicode"
    assert verify(Store.open(path)) == []
    before = Store.open(path).newest()
    report = build(Reader(rows, ""), path, HashEncoder())
    assert (report.written, report.skipped, report.failed, report.mended) == (0, 2, 6, 0)
    assert Store.open(path).newest() == before


def test_a_reader_that_brings_an_id_twice_is_refused(tmp_path):
    rows = [Item(id="a", source=f"{n}", text=f"text {n}") for n in range(2)]
    with pytest.raises(DuplicateIdError, match="1 ids are twice among the new rows: 'a'"):
        build(ListReader(rows), tmp_path / "s.ssah", HashEncoder())
    assert os.listdir(tmp_path) == []
