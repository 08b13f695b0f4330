"""The users' columns, and what a store would refuse of them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import SourceError
from ssah_index.ingest import columns, open_reader
from tests.ingest.sources import jsonl, photos, read, told

RESERVED = ("source", "modality", "code", "row", "distance", "rank", "query")


def tables_with(folder, name):
    yield jsonl(folder / "t.jsonl", {"text": "a", "path": "a.jpg", name: "x"})
    (folder / "t.csv").write_text(f"text,path,{name}\na,a.jpg,x\n")
    yield folder / "t.csv"
    pq.write_table(pa.table({"text": ["a"], "path": ["a.jpg"], name: ["x"]}), folder / "t.parquet")
    yield folder / "t.parquet"


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_a_store_uses_are_refused_at_once(tmp_path, name):
    photos(tmp_path / "in", "a.jpg")
    for table in tables_with(tmp_path, name):
        for source, named in ((table, None), (tmp_path / "in", str(table))):
            with pytest.raises(SourceError, match=f"has column '{name}'.*Rename the column"):
                open_reader(source, named)


def test_columns_without_a_name_are_refused(tmp_path):
    for name in ("", "  "):
        for table in tables_with(tmp_path, name):
            with pytest.raises(SourceError, match=r"no name|without a name"):
                open_reader(table)


def test_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="several columns 'text'"):
        open_reader(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, "x"], "int in t.jsonl:1, str in t.jsonl:2"),
        ([True, 1], "bool in t.jsonl:1, int in t.jsonl:2"),
        ([{"a": 1}, [1]], "dict in t.jsonl:1, list in t.jsonl:2"),
        ([[1], ["x"]], "list in t.jsonl:1"),
        ([2**53 + 1, 0.5], "int in t.jsonl:1, float in t.jsonl:2"),
    ],
)
def test_a_column_of_several_types_is_refused_at_once(tmp_path, values, words):
    table = jsonl(tmp_path / "t.jsonl", *({"text": "a", "n": value} for value in values))
    with pytest.raises(
        SourceError, match=r"column 'n' of .*t\.jsonl has values of several"
    ) as told:
        open_reader(table)
    assert words in str(told.value)


def test_what_arrow_can_unite_is_one_type(tmp_path):
    rows = [{"x": 1, "l": [], "o": {}}, {"x": 0.5, "l": [None], "o": {"a": 1}}, {"l": [2]}]
    table = jsonl(tmp_path / "t.jsonl", *({"text": "a", **row} for row in rows))
    schema = open_reader(table).columns()
    assert schema.field("x").type == pa.float64()
    assert schema.field("l").type == pa.list_(pa.int64())
    assert schema.field("o").type == pa.struct({"a": pa.int64()})


def test_types_that_cannot_be_kept_are_refused_at_once(tmp_path):
    deep = pa.int64()
    for _ in range(40):
        deep = pa.list_(deep)
    pq.write_table(pa.table({"text": ["a"], "n": pa.nulls(1, deep)}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"column 'n' of .* is nested 40 levels deep"):
        open_reader(tmp_path / "t.parquet")


def test_values_written_as_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "MAX_COLUMNS", 10)
    rows = ({"text": "a", f"row {number}": 1} for number in range(11))
    with pytest.raises(SourceError, match="has 11 columns of its own, such as 'row 10'"):
        open_reader(jsonl(tmp_path / "t.jsonl", *rows))


def test_kept_and_ignored_columns_are_named(tmp_path):
    row = {"text": "a", "path": "a.jpg", "year": 1, "a b": 2, "none": None}
    assert told(jsonl(tmp_path / "t.jsonl", row)).splitlines() == [
        "0 images, 1 text, 0 labelled, 0 labels",
        "other columns, kept: year, 'a b'",
        "ignored columns: path (images are read from a folder, with this table as --table), "
        "none (no values)",
    ]


def test_a_failed_row_has_no_say_in_types(tmp_path):
    rows = {"text": "a", "n": 1}, {"text": None, "n": "x"}
    items, _ = read(jsonl(tmp_path / "t.jsonl", *rows))
    assert [item.columns for item in items] == [{"n": 1}]
