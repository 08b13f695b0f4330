"""CSV and TSV, row by row."""

import csv
import random

import pytest

from ssah_index.errors import SourceError
from ssah_index.ingest import csvs, open_reader
from ssah_index.ingest.csvs import read_csv
from tests.ingest.sources import photos, read


def written(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_open_quote_costs_its_row_and_names_its_line(tmp_path, end):
    text = end.join(["id,text", "0,zero", '1,"one', "2,two", "3,three", "4,four", ""])
    items, (failure,) = read(written(tmp_path / "t.csv", text))
    assert [item.id for item in items] == ["0", "2", "3", "4"]
    assert (failure.source, failure.reason) == (
        "t.csv:3", "a quote opened in line 3 is never closed",
    )  # fmt: skip


def test_an_open_quote_that_another_closes_costs_its_row(tmp_path):
    text = 'id,text\n1,"one\n2,"two"\n3,three\n'
    items, (failure,) = read(written(tmp_path / "t.csv", text))
    assert [(item.id, item.text) for item in items] == [("2", "two"), ("3", "three")]
    assert failure.reason.startswith("a quote opened in line 2 is closed before more text in line")


def test_fields_over_several_lines_are_one_row(tmp_path):
    text = 'id,text\r\n1,"a ""quoted"",\r\nfield"\r\n2,b\r\n'
    items, _ = read(written(tmp_path / "t.csv", text))
    assert [(i.id, i.text, i.source) for i in items] == [
        ("1", 'a "quoted",\r\nfield', "t.csv:2"),
        ("2", "b", "t.csv:4"),
    ]


@pytest.mark.parametrize(("separator", "dialect"), [(",", "excel"), ("\t", "excel-tab")])
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path, separator, dialect):
    rng = random.Random(0)
    rows = [
        ["".join(rng.choices('ab",;\t\n\r \0é', k=rng.randrange(1, 9))) for _ in range(3)]
        for _ in range(500)
    ]
    with (tmp_path / "t").open("w", newline="") as file:
        writer = csv.writer(file, dialect)
        writer.writerow("xyz")
        writer.writerows(rows)
    names, records = read_csv(tmp_path / "t", separator)
    assert names == ["x", "y", "z"]
    assert [list(record.values.values()) for record in records] == rows
    assert {record.error for record in records} == {None}


def test_tabs_separate_the_columns_of_a_tsv(tmp_path):
    photos(tmp_path, "a.png", "b.png")
    written(tmp_path / "t.tsv", "path\ttext\na.png\tone, two\nb.png\t\n")
    items, failures = read(tmp_path)
    assert [(item.id, item.text) for item in items] == [("a.png", "one, two"), ("b.png", None)]
    assert failures == []


def test_an_empty_cell_is_null(tmp_path):
    photos(tmp_path, "a.png")
    written(tmp_path / "t.csv", "path,text,labels,id,note\na.png,,,,\n")
    items, failures = read(tmp_path)
    assert [(item.id, item.text, item.labels) for item in items] == [("a.png", None, ())]
    assert items[0].columns == {"note": None}
    assert failures == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("id,text,text", "column 'text' is there 2 times"),
        (",text", "column 1 has no name"),
        ("text, ", "column 2 has no name"),
        ('text,"note', "a quote opened in line 1 is never closed"),
        (b"text,\xff", "is not UTF-8"),
        ("id;text", "no column 'text' but 'id;text'"),
    ],
)
def test_a_header_that_says_no_columns_is_refused(tmp_path, header, words):
    header = header.encode() if isinstance(header, str) else header
    with pytest.raises(SourceError, match=words):
        open_reader(written(tmp_path / "t.csv", header + b"\n1,a\n"))


def test_blank_lines_before_a_header_are_passed_over(tmp_path):
    items, _ = read(written(tmp_path / "t.csv", "\n\r\nid,text\n\n1,one\n"))
    assert [(item.id, item.source) for item in items] == [("1", "t.csv:5")]
    for text in ("", "\n\n", "id,text\n"):
        with pytest.raises(SourceError, match="has no lines"):
            open_reader(written(tmp_path / "t.csv", text))


def test_a_header_of_very_many_columns_is_told_in_a_line(tmp_path):
    for header in ("," * 100_000, ",".join(map(str, range(100_000))), "x," * 100_000 + "x"):
        with pytest.raises(SourceError) as error:
            open_reader(written(tmp_path / "t.csv", header + "\n"))
        assert len(str(error.value)) < 1000


def test_a_table_of_one_column_may_be_separated_otherwise(tmp_path):
    with pytest.raises(SourceError, match="separate columns by commas"):
        open_reader(written(tmp_path / "t.csv", "id;text\n1;a\n"))


def test_rows_of_the_wrong_length_and_encoding_fail_alone(tmp_path):
    text = b"\xef\xbb\xbfid,text\n1,one\n\n2\n3,th\xffree\n4,four,4\n \n5,nul\0\n"
    items, failures = read(written(tmp_path / "t.csv", text))
    assert [(item.id, item.text) for item in items] == [("1", "one"), ("5", "nul\0")]
    assert [(failure.source, failure.reason) for failure in failures] == [
        ("t.csv:4", "1 fields, and the header names 2"),
        ("t.csv:5", "no UTF-8: column 'text' is 'th\\udcffree'"),
        ("t.csv:6", "more fields than the header names"),
        ("t.csv:7", "1 fields, and the header names 2"),
    ]


def test_long_fields_are_read_and_endless_ones_cost_their_row(tmp_path, monkeypatch):
    long = "x" * 200_000
    items, _ = read(written(tmp_path / "t.csv", f'id,text\n1,{long}\n2,"{long}"\n'))
    assert [item.text for item in items] == [long, long]
    assert csv.field_size_limit() == 131_072
    monkeypatch.setattr(csvs, "MAX_RECORD", 1000)
    text = f'id,text\n1,{long}\n2,"\n{long}"\n3,c\n4,"\nd"\n'
    items, failures = read(written(tmp_path / "t.csv", text))
    assert [(item.id, item.text) for item in items] == [("3", "c"), ("4", "\nd")]
    assert [(f.source, f.reason) for f in failures] == [
        ("t.csv:2", "more than 1,000 characters"),
        ("t.csv:3", "a quote opened in line 3 is never closed"),
        ("t.csv:4", "more than 1,000 characters"),
    ]
