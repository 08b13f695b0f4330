"""Ids and rows are taken exactly as they are, or refused in words: never converted."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from ssah_index.cli.delete import command as delete
from ssah_index.errors import InputError, QueryError, RowsError
from ssah_index.store import Store
from ssah_index.store.ids import parse_ids, read_ids
from tests.conftest import random_codes
from tests.store.test_kills import visible

BIG = 2**53


@pytest.fixture
def texts(tmp_path):
    """Ids that are parts, or roundings, of each other."""
    store = Store.create(tmp_path / "t.ssah", bits=64)
    names = ["a", ".", "j", "p", "g", "a.jpg", "b", "2", "1e+17", "2.5", "True", ""]
    store.append(random_codes(1, len(names), 64), {"id": names})
    return store


@pytest.fixture
def numbers(tmp_path):
    store = Store.create(tmp_path / "n.ssah", bits=64, ids="int64")
    ids = [0, 1, 2, 7, BIG, BIG + 1, -1, 2**63 - 1, -(2**63)]
    store.append(random_codes(1, len(ids), 64), {"id": ids})
    return store


NO_NUMBERS = [
    [2.5], [7.9], [2.0], np.array([float(BIG + 1)]), [np.float32(2)], [True], [1, True],
    [np.True_], np.array([True]), ["2"], [b"2"], b"\x02", memoryview(b"\x02"),
    [None], [2, None], [float("nan")],
    [decimal.Decimal(2)], [1 + 0j], [datetime.date(1970, 1, 3)],
    np.array(["1970-01-03"], "datetime64[D]"), np.array([2], "timedelta64[s]"),
    [2**63], [-(2**63) - 1], [10**5000], np.array([2**63], np.uint64), [np.uint64(2**64 - 1)],
    np.array([[2]]), np.array([2, "a"], object), np.ma.array([2, 7], mask=[0, 1]),
    pa.array([2.0]), pa.array(["2"]), pa.array([2, None]), pa.array([True]),
    pa.array([2**64 - 1], pa.uint64()), pa.array([2], pa.timestamp("s")),
    pa.array([2], pa.date32()),
    pa.table({"id": [2]}), pd.DataFrame({"id": [2]}), pd.Series([2.0]), pd.Series([2, None]),
    pd.Series([2, "a"], dtype=object), "2", {2: 7}, 2.5, None, object(), [[2]], [(2,)],
    np.float64(2), np.array(2.0), pa.scalar(2.5), [np.timedelta64(2, "s")],
    [1, np.True_], np.array([np.True_, 1], object), np.timedelta64(2, "s"),
]  # fmt: skip


@pytest.mark.parametrize("ids", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
def test_what_is_no_number_is_refused_in_every_call(numbers, ids):
    before = numbers.newest()
    for call in (numbers.delete, numbers.snapshot().find):
        with pytest.raises(QueryError, match=r"expected (int64 ids|ids from -9223)"):
            call(ids)
    with pytest.raises(QueryError):
        numbers.snapshot().has(ids, "image")
    with pytest.raises(RowsError):
        numbers.append(random_codes(1, 1, 64), {"id": ids})
    assert numbers.newest() == before


WHOLE = [
    [2, 7], (2, 7), {2, 7}, range(2, 8, 5), iter([2, 7]), {2: 0, 7: 0}.keys(), np.array([2, 7]),
    np.array([2, 7], ">i8"), np.array([2, 7], "<u2"), np.array([2, 7], ">u8"),
    np.array([2, 7], np.uint64), np.array([2, 7], object), [np.int8(2), np.uint64(7)],
    pa.array([2, 7], pa.uint8()), pa.chunked_array([[2], [7]]),
    pa.array([2, 7]).dictionary_encode(), list(pa.array([2, 7])), pd.Series([2, 7]),
    pd.Index([2, 7]), pd.Series([2, 7], dtype="UInt64"), pd.Series(np.array([2, 7], ">i4")),
    np.ma.array([2, 7]),
]  # fmt: skip


@pytest.mark.parametrize("ids", WHOLE, ids=range(len(WHOLE)))
def test_numbers_of_any_container_are_taken_exactly(numbers, ids):
    numbers.delete(ids)
    assert sorted(visible(numbers)) == [-(2**63), -1, 0, 1, BIG, BIG + 1, 2**63 - 1]


def test_one_number_is_one_id(numbers):
    for one in (7, np.int64(7), np.array(7), pa.scalar(7), np.uint8(7)):
        assert numbers.snapshot().find(one).tolist() == [3]
    assert numbers.delete(7) == 1
    assert numbers.delete([]) == numbers.delete(np.array([])) == numbers.delete(pa.nulls(0)) == 0
    assert numbers.delete(BIG + 1) == 1
    assert BIG in visible(numbers)
    assert numbers.delete([2**63 - 1, -(2**63)]) == 2


NO_TEXTS = [
    [2], [2.5], [1e17], [True], [None], ["a", None], [b"a"], b"a", bytearray(b"a"), {"a": 1},
    np.array([2]), np.array([1e17]), np.array([b"a"]), np.array([["a"]]),
    np.array(["a", 2], object), [datetime.date(2026, 1, 1)], 2, 2.5, None, object(),
    np.array(["2026-01-01"], "datetime64[D]"), pa.array([2]), pa.array([2.5]), pa.array([b"a"]),
    pa.array(["a", None]),
    pa.array([["a"]]), pa.array([True]), pa.table({"a": ["a"]}), pd.DataFrame({"a": ["b"]}),
    pd.Series([2]),
    pd.Series(["a", None]), pd.Series(["a", 2], dtype=object), [["a"]], ["caf\udce9"], "\ud800",
    [decimal.Decimal(2)], pd.to_datetime(["2026-01-01"]),
]  # fmt: skip


@pytest.mark.parametrize("ids", NO_TEXTS, ids=range(len(NO_TEXTS)))
def test_what_is_no_text_is_refused_in_every_call(texts, ids):
    before = texts.newest()
    for call in (texts.delete, texts.snapshot().find):
        with pytest.raises(QueryError):
            call(ids)
    with pytest.raises(QueryError):
        texts.snapshot().has(ids, "image")
    with pytest.raises(RowsError):
        texts.append(random_codes(1, 1, 64), {"id": ids})
    assert texts.newest() == before


TEXTS = [
    ["a.jpg", "b"], ("a.jpg", "b"), {"a.jpg", "b"}, iter(["a.jpg", "b"]), np.array(["a.jpg", "b"]),
    np.array(["a.jpg", "b"], object), np.array(["a.jpg", "b"], np.dtypes.StringDType()),
    pa.array(["a.jpg", "b"]), pa.array(["a.jpg", "b"], pa.string_view()),
    pa.array(["a.jpg", "b"], pa.large_string()), pa.array(["a.jpg", "b"]).dictionary_encode(),
    pa.chunked_array([["a.jpg"], [], ["b"]]), pc.run_end_encode(pa.array(["a.jpg", "b"])),
    pd.Series(["a.jpg", "b"]), pd.Index(["a.jpg", "b"]),
    pd.Series(["a.jpg", "b"], dtype="category"),
    list(pa.array(["a.jpg", "b"])), [np.str_("a.jpg"), "b"],
]  # fmt: skip


@pytest.mark.parametrize("ids", TEXTS, ids=range(len(TEXTS)))
def test_texts_of_any_container_are_taken_exactly(texts, ids):
    assert texts.delete(ids) == 2
    assert set(visible(texts)) == {"a", ".", "j", "p", "g", "2", "1e+17", "2.5", "True", ""}


def test_a_bare_text_is_one_id(texts):
    assert texts.snapshot().find("a.jpg").tolist() == [5]
    assert texts.snapshot().has("a.jpg", "image").tolist() == [True]
    assert texts.delete("a.jpg") == 1
    assert texts.delete("") == 1
    assert len(visible(texts)) == 10


def test_a_column_of_ids_is_never_made_of_parts_or_roundings(texts, numbers):
    code = random_codes(1, 1, 64)
    for store, column in (
        (texts, pa.array([1e17])), (texts, pa.array([2.5])), (texts, pa.array([True])),
        (texts, pa.array([b"a"])), (texts, pa.array([7])),
        (texts, pa.array([datetime.date(2026, 1, 1)])), (texts, pa.array([decimal.Decimal(2)])),
        (numbers, pa.array([9.0])), (numbers, pa.array([True])), (numbers, pa.array(["9"])),
        (numbers, pa.array([decimal.Decimal(9)])), (numbers, pa.array([2**63], pa.uint64())),
        (numbers, pa.array([9], pa.timestamp("s"))),
    ):  # fmt: skip
        for rows in (pa.table({"id": column}), {"id": column}, {"id": column.to_numpy(False)}):
            with pytest.raises(RowsError):
                store.append(code, rows)
    for rows in ({"id": "abc"}, {"id": "a"}, {"id": b"abc"}, {"id": ["x"], "text": "x"}):
        with pytest.raises(RowsError, match="Put a single value into a list"):
            texts.append(random_codes(1, len(rows["id"]), 64), rows)
    numbers.append(
        random_codes(1, 2, 64), {"id": np.array([50, 51], ">u8"), "v": np.ones(2, ">f4")}
    )
    texts.append(code, {"id": pa.array(["new"], pa.string_view())})
    assert {50, 51} <= set(visible(numbers))
    assert "new" in visible(texts)


ROWS = [
    [1, 0], (1, 0), range(1, -1, -1), np.array([1, 0]), np.array([1, 0], ">u2"),
    np.array([1, 0], np.uint64), pa.array([1, 0]), pa.array([1, 0], pa.uint16()),
    pd.Series([1, 0]), [np.int64(1), np.uint8(0)], iter([1, 0]), np.array([1, 0], object),
]  # fmt: skip


@pytest.mark.parametrize("rows", ROWS, ids=range(len(ROWS)))
def test_rows_of_any_container_are_taken(texts, rows):
    rows = list(rows) if iter(rows) is rows else rows
    snapshot = texts.snapshot()
    assert snapshot.take(rows, ["id"]).column("id").to_pylist() == [".", "a"]
    assert snapshot.take(rows, "id").column_names == ["id"]
    assert snapshot.take(rows, ["id", "id"]).column(1).to_pylist() == [".", "a"]
    np.testing.assert_array_equal(snapshot.codes(rows), random_codes(1, 12, 64)[[1, 0]])
    assert texts.delete_rows(rows, snapshot) == 2


def test_no_rows_are_no_error(texts):
    snapshot = texts.snapshot()
    for rows in ([], (), np.array([]), pa.nulls(0), range(0)):
        assert snapshot.take(rows).num_rows == 0
        assert snapshot.codes(rows).shape == (0, 8)
        assert texts.delete_rows(rows, snapshot) == 0


NO_ROWS = [
    [0.0], [1.5], [True], [0, True], np.array([True]), ["0"], "0", b"\0", memoryview(b"\0"),
    [None], [-1], [12],
    [2**63], [10**30], np.array([[0]]), np.array([0.0]), pa.array([0.0]), pa.array([0, None]),
    pa.array([True]), {0: 1}, 0, None, [[0]], np.array([2**63], np.uint64), pd.Series([0.5]),
]  # fmt: skip


@pytest.mark.parametrize("rows", NO_ROWS, ids=range(len(NO_ROWS)))
def test_what_is_no_row_is_refused_in_every_call(texts, rows):
    snapshot, before = texts.snapshot(), texts.newest()
    for call in (snapshot.take, snapshot.codes, lambda rows: texts.delete_rows(rows, snapshot)):
        with pytest.raises(QueryError):
            call(rows)
    assert texts.newest() == before


def test_ids_that_are_typed_are_taken_exactly():
    assert parse_ids(["7", "-7", "0", "9223372036854775807", "-9223372036854775808"], "int64") == [
        7, -7, 0, 2**63 - 1, -(2**63),
    ]  # fmt: skip
    for text in (
        "1_000", " 12", "12 ", "+5", "\uff11\uff12", "007", "-0", "", "1e3", "2.0", "0x10",
        "9223372036854775808", "-9223372036854775809", "9" * 5000, "12\n", "٣", "NaN",
    ):  # fmt: skip
        with pytest.raises(InputError, match="an id is no number"):
            parse_ids([text], "int64")
        assert parse_ids([text], "string") == [text]


STRANGE = ["two\nlines", "a\u2028b", "c\x0bd", "e\x85f", "  g ", "h\ti", "ü", "j\x1ck", "é", "."]
PARTS = ["two", "lines", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "", "e\u0301"]


@pytest.fixture
def strange(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    names = STRANGE + PARTS
    store.append(random_codes(1, len(names), 64), {"id": names})
    return store


def pipe(store, content, *words):
    told = CliRunner().invoke(delete, [str(store.path), *words], input=content.encode())
    assert told.exit_code == 0, told.exception
    return told


def test_a_faulty_pipe_deletes_nothing(strange):
    before = strange.newest()
    for content in (b"a\r\nb\r\n", b"two\n\xff", b"\xef\xbb\xbfa"):
        told = CliRunner().invoke(delete, [str(strange.path)], input=content)
        assert isinstance(told.exception, InputError)
        assert "standard input" in str(told.exception)
    assert pipe(strange, "").output.startswith('{\n  "deleted": 0')
    assert strange.newest() == before


def test_a_line_of_a_pipe_is_one_id(strange):
    lines = [name for name in STRANGE if "\n" not in name]
    pipe(strange, "\n".join(lines))
    assert set(visible(strange)) == {"two\nlines", *PARTS}


def test_ids_that_end_in_nul_may_hold_anything(strange):
    pipe(strange, "".join(f"{name}\0" for name in STRANGE), "-0")
    assert set(visible(strange)) == set(PARTS)


def test_lines_are_read_byte_for_byte():
    assert read_ids(b"", "x") == []
    assert read_ids(b"a\n\n b \nc", "x") == ["a", "", " b ", "c"]
    assert read_ids("a\u2028b\x0b\n".encode(), "x") == ["a\u2028b\x0b"]
    assert read_ids(b"a\r\n\0b\0", "x", null=True) == ["a\r\n", "b"]
    assert read_ids(b"\xef\xbb\xbfa\0", "x", null=True) == ["\ufeffa"]
    for content, message in (
        (b"a\r\nb", r"line 1 of x ends in \\r\\n"),
        (b"a\nb\xff\n", "line 2 of x is no UTF-8"),
        (b"\xef\xbb\xbfa", "x begins with a byte order mark"),
        ("a\nb".encode("utf-16"), "no UTF-8"),
        (b"\xed\xa0\x80", "no UTF-8"),
    ):
        with pytest.raises(InputError, match=message):
            read_ids(content, "x")
