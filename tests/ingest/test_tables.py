"""One broken value costs one row, in every kind of table."""

import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import SourceError
from ssah_index.ingest import build, open_reader, records, tables
from ssah_index.store import Store
from tests.conftest import HashEncoder
from tests.ingest.sources import fifo, jsonl, photos, read, told

GOOD = '{"id": "good", "text": "fine"}'
BROKEN = {
    r'{"text": "\ud800"}': "no Unicode: column 'text'",
    r'{"id": "\ud800", "text": "a"}': "no Unicode: column 'id'",
    r'{"text": "a", "labels": ["\udfff"]}': "no Unicode: column 'labels'",
    r'{"text": "a", "labels": "\udfff"}': "no Unicode: column 'labels'",
    r'{"text": "a", "note": "\udcff"}': "no Unicode: column 'note'",
    r'{"text": "a", "note": [{"x": ["\udcff"]}]}': "no Unicode: column 'note'",
    r'{"text": "a", "note": {"\udcff": 1}}': "no Unicode: column 'note'",
    r'{"text": "a", "\udcff": 1}': "no Unicode: a column is called '\\udcff'",
    '{"text": "a", "n": NaN}': "no JSON: NaN is no number of JSON",
    '{"text": "a", "n": [-Infinity]}': "no JSON: -Infinity is no number of JSON",
    '{"text": "a", "n": 1e999}': "column 'n' is a number beyond",
    '{"text": "a", "n": 18446744073709551616}': "which does not fit 64 bits",
    '{"text": "a", "n": ' + "9" * 5000 + "}": "no JSON",
    '{"text": "a", "n": ' + "[" * 100_000 + "}": "nested too deep",
    '{"text": "a", "n": ' + "[" * 200 + "]" * 200 + "}": "nested deeper than 32 levels",
    '{"text": "a", "text": "b"}': "key 'text' is there 2 times",
    '{"text": "a", "n": {"x": 1, "x": 2}}': "key 'x' is there 2 times",
    '{"text": "a"': "no JSON",
    '{"text": "a"} {"text": "b"}': "no JSON",
    "[1]": "a JSON list, not an object",
    "null": "a JSON NoneType, not an object",
    '{"text": ["a"]}': "no text: column 'text' is ['a']",
    '{"text": null}': "no text: column 'text' is null",
    '{"id": 1.0, "text": "a"}': "no id: column 'id' is 1.0 of type float",
    '{"id": 1e17, "text": "a"}': "never converted",
    '{"id": true, "text": "a"}': "no id: column 'id' is True of type bool",
    '{"id": ["x"], "text": "a"}': "of type list",
    '{"id": {"x": 1}, "text": "a"}': "of type dict",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_line_costs_itself(tmp_path, line):
    table = jsonl(tmp_path / "t.jsonl", GOOD, line, '{"id": "last", "text": "fine"}')
    items, (failure,) = read(table)
    assert [item.id for item in items] == ["good", "last"]
    assert BROKEN[line] in failure.reason
    assert len(failure.reason) < 500
    assert failure.source == "t.jsonl:2"
    json.dumps([failure.id, failure.reason]).encode()
    failure.reason.encode()


def test_a_broken_line_of_pairs_costs_itself(tmp_path):
    photos(tmp_path, "good.png")
    lines = [line.replace("{", '{"path": "good.png", ', 1) for line in BROKEN if line[0] == "{"]
    good = '{"path": "good.png", "id": "good", "text": "fine"}'
    jsonl(tmp_path / "t.jsonl", good, *lines)
    items, failures = read(tmp_path)
    # A pair may do without a text.
    assert [item.id for item in items] == ["good", "good.png"]
    assert len(failures) == len(lines) - 1


def test_all_broken_lines_end_in_the_ledger(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", GOOD, *BROKEN)
    report = build(open_reader(table), tmp_path / "s.ssah", HashEncoder())
    assert (report.written, report.failed) == (1, len(BROKEN))
    kept = Store.open(tmp_path / "s.ssah").snapshot().failures()
    assert {failure.source for failure in kept} == {
        f"t.jsonl:{line}" for line in range(2, 2 + len(BROKEN))
    }


def test_a_failed_line_keeps_the_id_it_can_be_found_by(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", GOOD, r'{"id": "mine", "text": "a", "note": "\ud800"}')
    assert read(table)[1][0].id == "mine"
    jsonl(table, r'{"id": "mine", "text": "a", "note": "\ud800"}')
    assert [failure.id for failure in read(table)[1]] == ["mine"]


def test_whole_numbers_are_ids_in_decimal(tmp_path):
    table = jsonl(
        tmp_path / "t.jsonl",
        *({"id": number, "text": "a"} for number in (7, 0, -3, 2**63, 10**30)),
        {"id": "two\nlines", "text": "a"},
        {"id": None, "text": "a"},
    )
    ids = [item.id for item in read(table)[0]]
    assert ids == ["7", "0", "-3", str(2**63), str(10**30), "two\nlines", "t.jsonl:7"]


def test_a_number_and_a_text_of_the_same_digits_are_one_id(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", {"id": 7, "text": "a"}, {"id": "7", "text": "b"})
    items, (failure,) = read(table)
    assert len(items) == 1
    assert failure.reason == "id '7' is taken by t.jsonl:1"


def test_a_mark_and_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\n  \n{"text": "b"}')
    assert [item.source for item in read(path)[0]] == ["t.jsonl:1", "t.jsonl:4"]


def test_a_byte_that_is_no_utf8_costs_one_line(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n{"text": "c"}\n')
    items, (failure,) = read(path)
    assert [item.text for item in items] == ["a", "c"]
    assert failure.reason.startswith("no UTF-8")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(tmp_path, suffix, encoding):
    path = tmp_path / f"t{suffix}"
    path.write_text('{"text": "a"}', encoding)
    with pytest.raises(SourceError, match="UTF-16 or UTF-32"):
        open_reader(path)


def test_a_line_or_text_of_endless_length_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_RECORD", 1000)
    monkeypatch.setattr(records, "MAX_TEXT", 100)
    long = {"text": "x" * 101}
    path = jsonl(tmp_path / "t.jsonl", GOOD, {"text": "x" * 5000}, long, {"text": "x" * 100})
    items, failures = read(path)
    assert [item.source for item in items] == ["t.jsonl:1", "t.jsonl:4"]
    assert [failure.reason for failure in failures] == [
        "more than 1,000 bytes",
        "column 'text' has 101 characters, more than 100",
    ]


def test_columns_of_many_types_come_from_parquet(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", "b", None], pa.large_string()),
            "id": pa.array([1, 2, 3], pa.uint64()),
            "kind": pa.array(["x", None, "x"]).dictionary_encode(),
            "place": [{"x": 1, "y": {"z": [1.5]}}, None, None],
            "when": pa.array([1, None, 2], pa.timestamp("ns", tz="UTC")),
            "none": pa.nulls(3),
            "labels": [["a"], [], None],
            "pairs": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    build(open_reader(tmp_path / "t.parquet"), tmp_path / "s.ssah", HashEncoder())
    snapshot = Store.open(tmp_path / "s.ssah").snapshot()
    taken = snapshot.take(snapshot.find(["1", "2"])).to_pylist()
    assert taken[0]["kind"] == "x"
    assert taken[0]["place"] == {"x": 1, "y": {"z": [1.5]}}
    assert taken[0]["pairs"] == [("a", 1)]
    assert (taken[0]["labels"], taken[1]["labels"]) == (["a"], [])
    assert [row["when"] and row["when"].value for row in taken] == [1, None]
    assert snapshot.failures()[0].reason == "no text: column 'text' is null or absent"
    assert "ignored columns: none (no values)" in told(tmp_path / "t.parquet")


def test_a_broken_string_of_parquet_costs_its_row(tmp_path):
    broken = pa.array([b"a", b"\xff\xfe", b"c"]).view(pa.string())
    pq.write_table(pa.table({"text": ["x", "y", "z"], "note": broken}), tmp_path / "t.parquet")
    items, (failure,) = read(tmp_path / "t.parquet")
    assert [item.text for item in items] == ["x", "z"]
    assert failure.reason.startswith("column 'note' cannot be read")


@pytest.mark.parametrize("kind", [pa.float64(), pa.bool_(), pa.binary(), pa.timestamp("us")])
def test_ids_of_other_types_fail_each_row(tmp_path, kind):
    values = {pa.bool_(): True, pa.binary(): b"x"}.get(kind, 1)
    ids = pa.array([values, None], kind)
    pq.write_table(pa.table({"text": ["x", "y"], "id": ids}), tmp_path / "t.parquet")
    items, (failure,) = read(tmp_path / "t.parquet")
    assert [item.id for item in items] == ["t.parquet:2"]
    assert "never converted" in failure.reason


def test_bytes_of_images_are_no_column(tmp_path):
    """As `datasets` writes its column Image."""
    image = {"bytes": b"\x89PNG", "path": "a.png"}
    pq.write_table(pa.table({"image": [image], "text": ["a"], "n": [1]}), tmp_path / "t.parquet")
    reader = open_reader(tmp_path / "t.parquet")
    assert reader.columns().names == ["n"]
    (item,) = reader.read(0, 1)
    assert item.columns == {"n": 1}
    assert "ignored columns: image (bytes of images)" in reader.summary()
    record = {"image": {"bytes": None, "path": "a.png"}, "text": "a"}
    assert "ignored columns: image" in told(jsonl(tmp_path / "t.jsonl", record))
    pq.write_table(pa.table({"image": [b"\x89PNG"], "text": ["a"]}), tmp_path / "b.parquet")
    assert "ignored columns: image" in told(tmp_path / "b.parquet")


def test_a_table_that_is_no_regular_file_is_refused(tmp_path):
    photos(tmp_path, "a.png")
    fifo(tmp_path / "t.jsonl")
    with pytest.raises(SourceError, match="a FIFO, not a file"):
        open_reader(tmp_path / "t.jsonl")
    with pytest.raises(SourceError, match=r"t\.jsonl cannot be read: a FIFO"):
        open_reader(tmp_path, "t.jsonl")
    assert "skipped: 1 special file" in told(tmp_path)


def test_a_table_whose_name_is_no_unicode_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"t\xff.jsonl")
    path.write_text('{"text": "a"}\n{')
    report = build(open_reader(path), tmp_path / "s.ssah", HashEncoder())
    assert (report.written, report.failed) == (1, 1)


def test_a_file_cut_short_is_a_source_error(tmp_path):
    pq.write_table(pa.table({"text": ["x"] * 1000}), tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    for size in (0, 3, 100, len(whole) - 1):
        (tmp_path / "t.parquet").write_bytes(whole[:size])
        with pytest.raises(SourceError, match="cannot be read"):
            open_reader(tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=re.escape("ends in .json; expected one of")):
        open_reader(jsonl(tmp_path / "t.json", {"text": "a"}))
