import numpy as np
import pyarrow as pa
import pytest

from ssah_index.store import rows as rows_module
from ssah_index.store.columns import base_schema, items_table, rows_table
from ssah_index.store.rows import ROWS, Ids, Rows, hash_ids, write_rows
from ssah_index.types import Item

FIELDS = {field.name: field for field in base_schema("string")}


def take(opened, asked, names):
    return opened.take(asked, [FIELDS[name] for name in names])


def find(opened, ids):
    wanted = Ids.of(pa.array(ids, pa.string()))
    return sorted(set(wanted.meet(opened.ids)[1].tolist()))


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Ten rows in batches of four."""
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 4)
    items = [
        Item(id=f"id{i}", source=f"{i}.png", text=None if i % 3 else f"text {i}", labels=("a",) * i)
        for i in range(10)
    ]
    write_rows(tmp_path, items_table(items, "text"))
    return Rows(tmp_path, 10, "string")


def test_rows_come_in_the_order_asked_for(opened):
    assert len(opened) == 10
    asked = np.array([9, 0, 4, 4, 3])
    table = take(opened, asked, ["id", "text", "labels"])
    assert table.column("id").to_pylist() == ["id9", "id0", "id4", "id4", "id3"]
    assert table.column("text").to_pylist() == ["text 9", "text 0", None, None, "text 3"]
    assert [len(own) for own in table.column("labels").to_pylist()] == [9, 0, 4, 4, 3]
    assert take(opened, np.array([], np.int64), ["id"]).num_rows == 0


def test_ids_lead_to_rows(opened):
    assert find(opened, ["id7", "absent", "id0", "id7"]) == [0, 7]
    assert find(opened, []) == []


def test_all_rows_of_an_id_are_found(tmp_path):
    items = [Item(id=name, source="s", text="t") for name in "abacab"]
    write_rows(tmp_path, items_table(items, "text"))
    assert find(Rows(tmp_path, 6, "string"), ["a", "c"]) == [0, 2, 3, 4]


def test_equal_hashes_are_told_apart_by_the_id(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "hash_ids", lambda ids: np.zeros(len(ids), np.uint64))
    items = [Item(id=name, source="s", text="t") for name in "cab"]
    write_rows(tmp_path, items_table(items, "text"))
    opened = Rows(tmp_path, 3, "string")
    assert [find(opened, [name]) for name in "abcd"] == [[1], [2], [0], []]


def test_integer_ids_hash_by_their_bytes():
    assert hash_ids(pa.array([1, -1])).tolist() != hash_ids(pa.array(["1", "-1"])).tolist()


def test_pyarrow_alone_reads_the_rows(opened, tmp_path):
    with pa.memory_map(str(tmp_path / ROWS)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column("id").to_pylist() == [f"id{i}" for i in range(10)]
    assert set(table.column("modality").to_pylist()) == {"text"}


def test_an_empty_segment_has_empty_rows(tmp_path):
    write_rows(tmp_path, items_table([], "image"))
    empty = Rows(tmp_path, 0, "string")
    assert len(empty) == 0
    assert find(empty, ["a"]) == []


@pytest.mark.parametrize("spread", ["even", "low", "ends", "equal"])
def test_interpolation_finds_what_halving_finds(monkeypatch, spread):
    monkeypatch.setattr(rows_module, "SPARSE", 4)
    random = np.random.default_rng(3)
    hashes = {
        "even": random.integers(0, 2**64, 5000, dtype=np.uint64),
        "low": random.integers(0, 2**40, 5000, dtype=np.uint64),
        "ends": np.concatenate(
            [np.arange(2500, dtype=np.uint64), 2**64 - 1 - np.arange(2500, dtype=np.uint64)]
        ),
        "equal": np.full(5000, 2**63, np.uint64),
    }[spread].astype(np.uint64)
    hashes.sort()
    edges = np.array([0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1], np.uint64)
    for wanted in (edges, hashes[::50], random.integers(0, 2**64, 1000, dtype=np.uint64)):
        found = rows_module.search_uniform(hashes, np.sort(wanted))
        np.testing.assert_array_equal(found, np.searchsorted(hashes, np.sort(wanted)))


@pytest.mark.parametrize("first", [-50, 0, 35, 49, 50, 51, 1000])
@pytest.mark.parametrize("step", [1, 3])
def test_numbers_that_lie_apart_do_not_meet(tmp_path, first, step):
    """Which is seen by their ends alone; those that do meet are found all the same."""
    there = np.arange(0, 50, step)
    write_rows(tmp_path, rows_table({"id": there}, len(there), "image", "int64"))
    here = np.arange(first, first + 50)
    own, rows = Ids.of(pa.array(here)).meet(Rows(tmp_path, len(there), "int64").ids)
    both = np.intersect1d(here, there)
    np.testing.assert_array_equal(np.sort(here[own]), both)
    np.testing.assert_array_equal(np.sort(there[rows]), both)


def test_hashes_out_of_order_end_in_words_or_not_at_all(monkeypatch):
    """Interpolation comes to an end whatever it reads."""
    monkeypatch.setattr(rows_module, "SPARSE", 4)
    random = np.random.default_rng(3)
    for hashes in (random.integers(0, 2**64, 5000, dtype=np.uint64), np.zeros(5000, np.uint64)):
        for wanted in (hashes[:50], np.array([0, 2**64 - 1], np.uint64)):
            found = rows_module.search_uniform(hashes, wanted)
            assert ((found >= 0) & (found <= 5000)).all()
