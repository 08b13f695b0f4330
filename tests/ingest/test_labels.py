"""The one rule of labels."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import SourceError, SpecError
from ssah_index.ingest import open_reader
from tests.ingest.sources import jsonl, photos, read, told


@pytest.mark.parametrize(
    ("value", "separator", "labels"),
    [
        (["cat", "dog"], None, ("cat", "dog")),
        (["cat;dog", "a,b"], ";", ("cat;dog", "a,b")),
        ("cat", None, ("cat",)),
        ("cat;dog", None, ("cat;dog",)),
        ("cat,dog", None, ("cat,dog",)),
        ("['cat', 'dog']", None, ("['cat', 'dog']",)),
        ("cat;dog", ";", ("cat", "dog")),
        (" cat ; ;dog;", ";", ("cat", "dog")),
        ("cat, dog", ",", ("cat", "dog")),
        ("cat, dog", "auto", ("cat", "dog")),
        ("cat;dog", "auto", ("cat", "dog")),
        ("cat | dog", " | ", ("cat", "dog")),
        (3, None, ("3",)),
        ([3, 4], None, ("3", "4")),
        (3, ";", ("3",)),
        ("", None, ()),
        ([""], None, ()),
        ([], None, ()),
        (None, None, ()),
    ],
)
def test_a_list_holds_labels_and_a_string_is_one(tmp_path, value, separator, labels):
    table = jsonl(tmp_path / "t.jsonl", {"text": "a", "labels": value})
    (item,), _ = read(table, label_separator=separator)
    assert item.labels == labels


@pytest.mark.parametrize(
    ("value", "separator"),
    [
        (3.0, None), ([3.5], None), (True, None), ([["a"]], None), ({"a": 1}, None),
        ([None], None), ("['cat', 'dog']", ";"), ('["cat"]', "auto"),
    ],
)  # fmt: skip
def test_what_is_no_label_costs_its_row(tmp_path, value, separator):
    table = jsonl(tmp_path / "t.jsonl", {"text": "a", "labels": value}, {"text": "b"})
    (item,), (failure,) = read(table, label_separator=separator)
    assert item.text == "b"
    assert failure.reason.startswith("no labels: column 'labels' is ")


def test_the_separator_is_guessed_of_all_rows_and_only_when_told(tmp_path):
    rows = ["a, b;c", "d", "e;f", "g;h"]
    table = jsonl(tmp_path / "t.jsonl", *({"text": "x", "labels": row} for row in rows))
    guessed = [item.labels for item in read(table, label_separator="auto")[0]]
    assert guessed == [("a, b", "c"), ("d",), ("e", "f"), ("g", "h")]
    assert [item.labels for item in read(table)[0]] == [(row,) for row in rows]


def test_strings_that_may_be_several_labels_are_told(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", {"text": "x", "labels": "cat,dog"})
    told_of = "1 labels such as 'cat,dog' hold a comma, and each is one label; "
    assert told_of + "--label-separator ',' splits them" in told(table)
    assert "comma" not in told(table, label_separator=",")
    jsonl(table, {"text": "x", "labels": "cat;dog"})
    assert "--label-separator ';' splits them" in told(table)
    jsonl(table, {"text": "x", "labels": "['cat', 'dog']"})
    assert "are lists written as text" in told(table)
    jsonl(table, {"text": "x", "labels": ["cat,dog"]})
    assert "comma" not in told(table)


def test_another_column_of_labels_is_named(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", {"text": "x", "label": 3, "tags": ["a"]})
    words = "column 'label' is kept as a column and not read as labels; --label-column label reads"
    assert words in told(table)
    assert read(table)[0][0].columns == {"label": 3, "tags": ["a"]}
    (item,), _ = read(table, label_column="label")
    assert (item.labels, item.columns) == (("3",), {"tags": ["a"]})
    jsonl(table, {"text": "x", "label": 3, "labels": ["b"]})
    assert "not read as labels" not in told(table)
    (item,), _ = read(table, label_column="label")
    assert (item.labels, item.columns) == (("3",), {})
    assert "ignored columns: labels (not the --label-column)" in told(table, label_column="label")


def test_options_that_say_nothing_are_refused(tmp_path):
    table = jsonl(tmp_path / "t.jsonl", {"text": "x", "label": 3})
    with pytest.raises(SourceError, match="no column 'class' but 'label', 'text'"):
        open_reader(table, label_column="class")
    with pytest.raises(SourceError, match="no column 'labels'"):
        open_reader(table, label_separator=";")
    photos(tmp_path / "in", "a.jpg")
    with pytest.raises(SourceError, match="has no table"):
        open_reader(tmp_path / "in", label_separator=";")
    for column in ("", "id", "path", "text"):
        with pytest.raises(SpecError, match="--label-column is"):
            open_reader(table, label_column=column)
    with pytest.raises(SpecError, match="--label-separator is empty"):
        open_reader(table, label_separator="")


def test_labels_of_other_arrow_types_are_read(tmp_path):
    columns = {
        "classes": pa.array([3, 4], pa.int8()),
        "names": pa.array(["cat", None]).dictionary_encode(),
        "lists": pa.array([["a", "b"], None], pa.large_list(pa.large_string())),
    }
    pq.write_table(pa.table({"text": ["x", "y"], **columns}), tmp_path / "t.parquet")
    expected = {
        "classes": [("3",), ("4",)], "names": [("cat",), ()], "lists": [("a", "b"), ()],
    }  # fmt: skip
    for column, labels in expected.items():
        items, _ = read(tmp_path / "t.parquet", label_column=column)
        assert [item.labels for item in items] == labels


def test_labels_are_counted(tmp_path):
    rows = [{"text": "x", "labels": own} for own in (["a", "b"], ["a"], [], None)]
    line = "0 images, 4 texts, 2 labelled, 2 labels"
    assert told(jsonl(tmp_path / "t.jsonl", *rows)) == line
