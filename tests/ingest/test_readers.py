import csv
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import SourceError
from ssah_index.ingest import open_reader
from ssah_index.types import Failure, Item

PAIRS = [("img1.png", "one"), ("img2.png", "two"), ("img10.png", "ten")]


@pytest.fixture
def images(tmp_path):
    for name, _ in PAIRS:
        (tmp_path / name).write_bytes(b"png")
    return tmp_path


def rows_of(source, table=None, **options):
    reader = open_reader(source, table, **options)
    return list(reader.read(0, len(reader)))


def write_table(path, records):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, records[0])
            writer.writeheader()
            writer.writerows(records)
    else:
        pq.write_table(pa.Table.from_pylist(records), path)


def test_stems_pair_in_natural_order(images):
    for name, text in PAIRS:
        (images / name).with_suffix(".txt").write_text(text + "\n")
    rows = rows_of(images)
    assert [(row.id, row.text) for row in rows] == PAIRS
    assert [row.image for row in rows] == [images / name for name, _ in PAIRS]


def test_folders_come_in_natural_order(tmp_path):
    for name in ("b/1.png", "a/10.png", "a/9.png", "a b/1.png", "a2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"png")
    assert [r.id for r in rows_of(tmp_path)] == [
        "a/9.png",
        "a/10.png",
        "a2.png",
        "a b/1.png",
        "b/1.png",
    ]


def test_an_image_without_text_is_an_item_and_a_text_without_image_a_failure(images):
    (images / "img1.txt").write_text("one")
    (images / "lonely.txt").write_text("nobody")
    rows = rows_of(images)
    assert [row.text for row in rows[:3]] == ["one", None, None]
    assert isinstance(rows[3], Failure)
    assert (rows[3].source, rows[3].reason) == ("lonely.txt", "no image of the same stem")


def test_a_text_that_is_no_utf8_fails_and_its_image_stays(images):
    (images / "img1.txt").write_bytes(b"\xff\xfe")
    failure, *items = rows_of(images)
    assert failure.modality == "text"
    assert "utf-8" in failure.reason
    assert [item.id for item in items] == [name for name, _ in PAIRS]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_table_in_the_folder_pairs_and_its_rows_are_the_items(images, suffix):
    records = [{"path": name, "text": text, "labels": "a;b"} for name, text in PAIRS[:2]]
    write_table(images / f"pairs{suffix}", records)
    rows = rows_of(images)
    assert [(row.id, row.text) for row in rows] == PAIRS[:2]
    assert rows[0].labels == ("a;b",)
    rows = rows_of(images, unlisted=True, label_separator=";")
    assert [(row.id, row.text) for row in rows] == [*PAIRS[:2], ("img10.png", None)]
    assert rows[0].labels == ("a", "b")


def test_a_table_elsewhere_is_named(images, tmp_path_factory):
    table = tmp_path_factory.mktemp("tables") / "pairs.jsonl"
    write_table(table, [{"path": "img2.png", "text": "two", "id": "second", "labels": ["x"]}])
    first = rows_of(images, str(table))[0]
    assert (first.id, first.text, first.labels) == ("second", "two", ("x",))


def test_two_tables_are_one_too_many(images):
    for name in ("a.jsonl", "b.csv"):
        write_table(images / name, [{"path": "img1.png", "text": "one"}])
    with pytest.raises(SourceError, match=r"2 tables: a\.jsonl, b\.csv"):
        open_reader(images)


def test_bad_lines_of_a_table_are_failures_with_their_line(tmp_path):
    table = tmp_path / "texts.jsonl"
    table.write_text('{"text": "good"}\n\n{broken\n[1]\n{"text": 7}\n{"id": "x", "text": "fine"}\n')
    rows = rows_of(table)
    assert [type(row) for row in rows] == [Item, Failure, Failure, Failure, Item]
    assert [row.source for row in rows] == [f"texts.jsonl:{line}" for line in (1, 3, 4, 5, 6)]
    assert [row.reason.split(":")[0] for row in rows if isinstance(row, Failure)] == [
        "no JSON", "a JSON list, not an object", "no text",
    ]  # fmt: skip
    assert rows[4].id == "x"


def test_an_id_is_given_once(tmp_path):
    table = tmp_path / "texts.jsonl"
    write_table(table, [{"id": "same", "text": "one"}, {"id": "same", "text": "two"}])
    first, second = rows_of(table)
    assert first.text == "one"
    assert second.reason == "id 'same' is taken by texts.jsonl:1"


def test_a_csv_line_with_too_many_fields_fails(tmp_path):
    (tmp_path / "t.csv").write_text("id,text\n1,one\n2,two,three\n")
    rows = rows_of(tmp_path / "t.csv")
    assert rows[0].text == "one"
    assert rows[1].reason == "more fields than the header names"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xml", b"<a/>", r"ends in \.xml"),
        ("t.parquet", b"nonsense", "cannot be read"),
        ("t.jsonl", b"", "has no lines"),
        ("t.csv", b"\xff\xff\xff,a\n", "cannot be read"),
    ],
)
def test_unreadable_sources_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=words):
        open_reader(tmp_path / name)


def test_absent_and_empty_sources_are_named(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        open_reader(tmp_path / "absent")
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(SourceError, match="no images among its 1 files"):
        open_reader(tmp_path)


def test_an_id_of_zero_is_an_id(tmp_path):
    write_table(tmp_path / "t.jsonl", [{"id": 0, "text": "a"}, {"id": "", "text": "b"}])
    assert [row.id for row in rows_of(tmp_path / "t.jsonl")] == ["0", "t.jsonl:2"]


def test_a_misnamed_column_is_named(images, tmp_path_factory):
    table = tmp_path_factory.mktemp("tables") / "t.JSONL"
    write_table(table.with_suffix(".jsonl"), [{"path": "img1.png", "caption": "one"}])
    table.with_suffix(".jsonl").rename(table)
    with pytest.raises(SourceError, match="no column 'text' but 'caption', 'path'"):
        open_reader(images, str(table))
    with pytest.raises(SourceError, match="no column 'text'"):
        open_reader(table)


def test_values_that_cannot_be_stored_fail_alone(tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text('{"text": "\\ud800"}\n{"text": "a", "labels": 5.5}\n{"text": "good"}\n')
    rows = rows_of(table)
    assert [type(row) for row in rows] == [Failure, Failure, Item]
    assert rows[0].reason.startswith("no Unicode")
    assert rows[1].reason == (
        "no labels: column 'labels' is 5.5; labels are names or whole numbers, or a list of them"
    )


def test_a_file_name_that_is_no_unicode_fails_alone(images):
    (images / os.fsdecode(b"bad\xff.png")).write_bytes(b"png")
    failures = [row for row in rows_of(images) if isinstance(row, Failure)]
    assert [f.reason for f in failures] == ["its file name is not UTF-8; rename it"]


def test_an_unbalanced_quote_fails_its_row(tmp_path):
    (tmp_path / "t.csv").write_text('id,text\n1,"' + "x" * 200_000)
    (failure,) = rows_of(tmp_path / "t.csv")
    assert failure.reason == "a quote opened in line 2 is never closed"


def test_tables_are_found_beside_the_images_or_refused(images):
    write_table(images / "t.jsonl", [{"path": str(images / "img1.png"), "text": "one"}])
    rows = rows_of(images, "t.jsonl", unlisted=True)
    assert [row.text for row in rows] == ["one", None, None]
    assert len(rows) == 3
    with pytest.raises(SourceError, match=r"table no\.jsonl does not exist"):
        open_reader(images, "no.jsonl")
    with pytest.raises(SourceError, match="a table itself"):
        open_reader(images / "t.jsonl", "t.jsonl")


def test_a_reader_keeps_to_its_folder(images, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(images.parent)
    relative = open_reader(images.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert [row.image for row in relative.read(0, 3)] == [images / name for name, _ in PAIRS]
