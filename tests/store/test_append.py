"""Rows by table: ids of both kinds, the users' columns, and ids that are there already."""

import datetime
import multiprocessing

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import ssah_index
from ssah_index.errors import CodeError, DuplicateIdError, QueryError, RowsError, SpecError
from ssah_index.store import Store, compact, verify
from ssah_index.store import append as append_module
from tests.conftest import random_codes
from tests.store.test_kills import visible


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "s.ssah", bits=64)


@pytest.fixture
def numbered(tmp_path):
    return Store.create(tmp_path / "n.ssah", bits=64, ids="int64")


def codes(n, seed=1):
    return random_codes(seed, n, 64)


def test_rows_come_back_as_they_were_given(store):
    report = store.append(
        codes(3),
        {"id": ["a", "b", "c"], "text": ["x", None, "z"], "year": [1999, None, 2001]},
        "text",
    )
    assert (report.generation, report.written, report.skipped, report.replaced) == (1, 3, 0, 0)
    table = store.snapshot().take(np.array([2, 0, 1]))
    assert table.to_pylist() == [
        {"id": "c", "modality": "text", "source": "", "text": "z", "labels": [], "year": 2001},
        {"id": "a", "modality": "text", "source": "", "text": "x", "labels": [], "year": 1999},
        {"id": "b", "modality": "text", "source": "", "text": None, "labels": [], "year": None},
    ]
    np.testing.assert_array_equal(store.snapshot().segments[0].codes, codes(3))


def test_integer_ids_are_found_deleted_and_searched(numbered):
    ids = [5, -3, 2**63 - 1, 0]
    numbered.append(codes(4), {"id": ids})
    found = ssah_index.open(numbered.path).search(codes(4)[2:3], k=1)
    assert found.ids.dtype == np.int64
    assert found.ids.tolist() == [2**63 - 1]
    assert found.to_arrow().schema.field("id").type == pa.int64()
    assert numbered.delete([-3, 77]) == 1
    assert sorted(visible(numbered)) == [0, 5, 2**63 - 1]
    with pytest.raises(QueryError, match="int64 ids"):
        numbered.delete(["a"])


COLUMNS = {
    "flag": pa.array([True, None, False]),
    "small": pa.array([1, 2, None], pa.uint8()),
    "half": pa.array([1.5, 2, None], pa.float16()),
    "day": pa.array([datetime.date(2026, 1, 2), None, datetime.date(1999, 1, 1)]),
    "at": pa.array([1, None, 3], pa.timestamp("us", "Europe/Berlin")),
    "price": pa.array([1, None, 3], pa.decimal128(9, 2)),
    "blob": pa.array([b"a", None, b"\0"]),
    "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    "tags": pa.array([["a"], None, []], pa.list_(pa.string())),
    "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "place": pa.array([{"x": 1, "y": "a"}, None, {"x": 2, "y": "b"}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "long": pa.array(["a", None, "c"], pa.large_string()),
    "null": pa.nulls(3),
    "json": pa.array(["{}", None, "[]"], pa.json_()),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_keeps_its_values(store, name):
    column = COLUMNS[name]
    store.append(codes(3), {"id": ["a", "b", "c"], name: column})
    store.append(codes(2, 2), {"id": ["d", "e"]})
    store.append(codes(3, 3), {"id": ["f", "g", "h"], name: column})
    store.delete(["b"])
    for again in (False, True):
        if again:
            compact(store)
        rows = Store.open(store.path).snapshot().find(["c", "a", "e", "h"])
        taken = Store.open(store.path).snapshot().take(rows, [name]).column(name)
        assert taken.type == column.type
        values = column.to_pylist()
        assert taken.to_pylist() == [values[0], values[2], None, values[2]]
    assert verify(store) == []


def test_dictionaries_of_several_chunks_become_one(store):
    chunks = [pa.array(["x", "y"]).dictionary_encode(), pa.array(["z", "x"]).dictionary_encode()]
    store.append(codes(4), {"id": list("abcd"), "kind": pa.chunked_array(chunks)})
    taken = store.snapshot().take(np.arange(4), ["kind"]).column("kind")
    assert taken.to_pylist() == ["x", "y", "z", "x"]


def test_a_data_frame_and_an_arrow_stream_are_rows(store):
    frame = pd.DataFrame({"id": ["a", "b"], "n": [1, 2]})
    store.append(codes(2), frame)
    reader = pa.table({"id": ["c"], "n": [3]}).to_reader()
    store.append(codes(1, 2), reader)
    assert store.snapshot().take(np.arange(3), ["n"]).column("n").to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["string", "int64"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_ids_that_are_there_are_refused_skipped_or_replaced(tmp_path, monkeypatch, kind, pieces):
    monkeypatch.setattr(append_module, "SEGMENT_BYTES", 8 * (6 // pieces))
    key = str if kind == "string" else int
    store = Store.create(tmp_path / "s.ssah", bits=64, ids=kind)
    store.append(codes(4), {"id": [key(i) for i in range(4)], "v": [0] * 4})
    store.append(codes(4), {"id": [key(i) for i in range(4)], "v": [9] * 4}, "text")
    new = {"id": [key(i) for i in (3, 4, 1, 5, 6, 7)], "v": [1] * 6}
    before = store.newest()
    with pytest.raises(DuplicateIdError, match=r"2 ids are in the store already: .*[31]"):
        store.append(codes(6, 2), new)
    assert store.newest() == before
    assert len(list((store.path / "segments").iterdir())) == len(before.segments)
    store.tag("before")

    report = store.append(codes(6, 2), new, on_duplicate="skip")
    assert (report.written, report.skipped, report.replaced) == (4, 2, 0)
    assert values(store, "image") == {key(i): 0 if i < 4 else 1 for i in range(8)}

    report = store.append(codes(6, 2), {**new, "v": [2] * 6}, on_duplicate="replace")
    assert (report.written, report.skipped, report.replaced) == (6, 0, 6)
    assert values(store, "image") == {key(i): 0 if i in (0, 2) else 2 for i in range(8)}
    assert values(store, "text") == {key(i): 9 for i in range(4)}
    assert len(store.snapshot("before")) == 8
    compact(store)
    assert values(store, "image") == {key(i): 0 if i in (0, 2) else 2 for i in range(8)}
    assert verify(store) == []


def values(store, modality):
    """Column v by id, and each id once."""
    snapshot = store.snapshot()
    rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.select(modality)]
    table = snapshot.take(np.concatenate(rows), ["id", "v"]).to_pydict()
    assert len(set(table["id"])) == len(table["id"])
    return dict(zip(table["id"], table["v"], strict=True))


def test_an_id_twice_in_a_batch(store):
    rows = {"id": ["a", "b", "a"], "v": [1, 2, 3]}
    with pytest.raises(DuplicateIdError, match="1 ids are twice among the new rows: 'a'"):
        store.append(codes(3), rows)
    assert store.append(codes(3), rows, on_duplicate="skip").skipped == 1
    assert values(store, "image") == {"a": 1, "b": 2}
    assert store.append(codes(3), rows, on_duplicate="replace").replaced == 2
    assert values(store, "image") == {"a": 3, "b": 2}


def test_a_deleted_id_is_new_again(store):
    store.append(codes(2), {"id": ["a", "b"], "v": [1, 1]})
    store.delete(["a"])
    store.append(codes(1), {"id": ["a"], "v": [2]})
    assert values(store, "image") == {"a": 2, "b": 1}


def test_a_named_batch_is_appended_once(store):
    for _ in range(2):
        report = store.append(codes(2), {"id": ["a", "b"]}, name="monday")
    assert (report.generation, report.written, report.skipped) == (1, 0, 2)


def test_a_batch_that_another_process_appends_first_is_left_out(store, monkeypatch):
    store.append(codes(2), {"id": ["a", "b"]}, name="monday")
    monkeypatch.setattr(append_module, "_is_there", lambda *_: False)  # as it was a moment ago
    report = store.append(codes(2), {"id": ["a", "b"]}, name="monday")
    assert (report.written, report.skipped) == (0, 2)
    assert len(list((store.path / "segments").iterdir())) == 1


def test_rows_are_deleted_by_position_in_the_snapshot_they_were_found_in(store):
    store.append(codes(5), {"id": list("abcde")})
    old = store.snapshot()
    store.append(codes(2), {"id": list("fg")}, "text")
    assert store.delete_rows([1, 3], old) == 2
    assert store.delete_rows([3], old) == 0
    assert visible(store) == list("acefg")
    with pytest.raises(QueryError, match="rows of a snapshot of 5"):
        store.delete_rows([5], old)
    compact(store)
    with pytest.raises(Exception, match="compacted since"):
        store.delete_rows([0], old)
    assert visible(store) == list("acefg")


NESTED_RUNS = pa.ListArray.from_arrays([0, 1], pc.run_end_encode(pa.array(["x"])))
WRONG = [
    (3, {"id": ["a", "b"]}, RowsError, "2 rows for 3 codes"),
    (2, {"key": ["a", "b"]}, RowsError, "no column 'id' but 'key'"),
    (2, {"id": ["a", None]}, RowsError, "column 'id' has 1 nulls, the first in row 1"),
    (2, {"id": [1, 2]}, RowsError, "column 'id' is of type int64.*expected string"),
    (2, {"id": ["a", "b"], "row": [1, 2]}, RowsError, "none of code, row"),
    (2, {"id": ["a", "b"], "text": [1.5, [2]]}, RowsError, "make no table"),
    (2, {"id": ["a", "b"], "labels": ["x", "y"]}, RowsError, "column 'labels' is of type string"),
    (2, {"id": ["a", "b"], "modality": ["text", "image"]}, RowsError, "other modalities"),
    (2, {"id": ["a", "b"], "v": ["1", "2"]}, RowsError, "column 'v' is of type string; expected i"),
    (1, {"id": ["a"], "s": NESTED_RUNS}, RowsError, "column 's' is of type .*cannot be stored"),
    (2, 7, RowsError, "rows of type int make no table"),
]


@pytest.mark.parametrize(("n", "rows", "error", "words"), WRONG)
def test_rows_that_do_not_fit_are_refused_and_change_nothing(store, n, rows, error, words):
    store.append(codes(1), {"id": ["old"], "v": [1]})
    before, files = store.newest(), set(store.path.rglob("*"))
    with pytest.raises(error, match=words):
        store.append(codes(n, 2), rows)
    assert store.newest() == before
    assert set(store.path.rglob("*")) == files


def test_other_faults_of_an_append(store, numbered):
    with pytest.raises(CodeError, match="16 bytes"):
        store.append(random_codes(1, 2, 128), {"id": ["a", "b"]})
    with pytest.raises(SpecError, match="on_duplicate is 'ignore'"):
        store.append(codes(1), {"id": ["a"]}, on_duplicate="ignore")
    with pytest.raises(RowsError, match="expected int64"):
        numbered.append(codes(1), {"id": ["a"]})
    with pytest.raises(SpecError, match="ids is 'uuid'"):
        Store.create(store.path / "x", bits=64, ids="uuid")
    assert numbered.append(codes(0), {"id": np.zeros(0, np.int64)}).written == 0


def contend(path, worker):
    store = Store.open(path)
    for number in range(8):
        ids = [f"{number}-{i}" for i in range(5)]
        store.append(
            codes(5, worker),
            {"id": ids, "v": [worker] * 5},
            on_duplicate=("skip", "replace")[worker],
        )


def test_writers_of_the_same_ids_leave_each_once(store):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=contend, args=(store.path, w)) for w in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert not writer.exitcode
    assert set(values(store, "image").values()) == {1}
    assert store.snapshot().live == 40
    assert verify(store) == []


def test_codes_are_looked_up_by_row(store):
    store.append(codes(100), {"id": [f"a{i}" for i in range(100)]})
    store.append(codes(100, 2), {"id": [f"b{i}" for i in range(100)]}, "text")
    rows = np.random.default_rng(1).integers(0, 200, 150)
    found = store.snapshot().codes(rows)
    np.testing.assert_array_equal(found, np.concatenate([codes(100), codes(100, 2)])[rows])
    assert store.snapshot().codes(np.empty(0, np.int64)).shape == (0, 8)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", [1]), ("text", [1.5]), ("text", [True]), ("text", [datetime.date(2020, 1, 1)]),
        ("text", pa.array([7]).dictionary_encode()), ("source", [1]), ("source", [b"a"]),
        ("labels", [[1.5]]), ("labels", [[True]]), ("labels", ["a"]), ("labels", [1]),
    ],
)  # fmt: skip
def test_texts_are_not_made_of_other_values(make_store, name, values):
    store = make_store()
    with pytest.raises(RowsError, match=f"column '{name}' "):
        store.append(random_codes(1, 1, 64), {"id": ["a"], name: values})
    assert store.newest().segments == ()


def test_texts_of_every_kind_and_whole_numbers_as_labels_are_taken(make_store):
    store = make_store()
    texts = [pa.array(["x"], kind) for kind in (pa.string(), pa.large_string(), pa.string_view())]
    texts += [pa.array(["x"]).dictionary_encode(), pa.nulls(1)]
    for number, text in enumerate(texts):
        rows = {"id": [f"r{number}"], "text": text, "labels": [[3]]}
        store.append(random_codes(1, 1, 64), rows)
    taken = store.snapshot().take(range(5), ["text", "labels"])
    assert taken.column("text").to_pylist() == ["x"] * 4 + [None]
    assert taken.column("labels").to_pylist() == [["3"]] * 5
