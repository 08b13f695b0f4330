"""Columns of any two Arrow types that one type holds exactly are one column; others are refused."""

import datetime
import decimal
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import RowsError, SourceError
from ssah_index.ingest import export
from ssah_index.store import Store, compact, repair, verify
from ssah_index.store.column_types import common_type, conform, stored_type
from ssah_index.store.columns import decode_columns, encode_columns, items_table
from ssah_index.store.manifest import Manifest
from ssah_index.types import Item
from tests.conftest import random_codes

D = decimal.Decimal


def array(values, type):
    return pa.array(values, type)


def union(mode):
    fields = [pa.array([1, 2, 3]), pa.array(["x", "y", "z"])]
    if mode == "sparse":
        return pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), fields)
    offsets = pa.array([0, 1, 2], pa.int32())
    return pa.UnionArray.from_dense(pa.array([0, 1, 0], pa.int8()), offsets, fields)


def extension(type, values):
    return pa.ExtensionArray.from_storage(type, pa.array(values, type.storage_type))


DAY, WORDS = datetime.date(2026, 1, 2), ["x", None, "z"]
MATRIX = {
    "null": pa.nulls(3),
    "bool": array([True, None, False], pa.bool_()),
    "int8": array([1, None, -128], pa.int8()),
    "uint64": array([1, None, 2**64 - 1], pa.uint64()),
    "float16": array([1.5, None, -2], pa.float16()),
    "float32": array([1.5, None, float("nan")], pa.float32()),
    "float64": array([float("inf"), None, 1e300], pa.float64()),
    "date32": array([DAY, None, DAY], pa.date32()),
    "date64": array([DAY, None, DAY], pa.date64()),
    "time32": array([1, None, 3], pa.time32("ms")),
    "time64": array([1000, None, 3000], pa.time64("ns")),
    "timestamp": array([1, None, 3], pa.timestamp("s")),
    "timestamp-ns": array([1000, None, 3000], pa.timestamp("ns", "UTC")),
    "timestamp-zone": array([1, None, 3], pa.timestamp("us", "Europe/Berlin")),
    "timestamp-far": array([2**62, None, -(2**62)], pa.timestamp("ms")),
    "timestamp-nowhere": array([1, None, 3], pa.timestamp("us", "Nowhere/None")),
    "duration": array([1, None, 3], pa.duration("s")),
    "month-day-nano": array([(1, 2, 3), None, (4, 5, 6)], pa.month_day_nano_interval()),
    "decimal32": array([D("1.5"), None, D("-2.25")], pa.decimal32(5, 2)),
    "decimal128": array([D("1.5"), None, D("-2.25")], pa.decimal128(9, 2)),
    "decimal256": array([D("1.5"), None, D("-2.25")], pa.decimal256(50, 2)),
    "string": array(WORDS, pa.string()),
    "large-string": array(WORDS, pa.large_string()),
    "string-view": array(WORDS, pa.string_view()),
    "binary": array([b"x", None, b"\xff"], pa.binary()),
    "binary-view": array([b"x", None, b"\xff"], pa.binary_view()),
    "fixed-binary": array([b"xy", None, b"\xff\0"], pa.binary(2)),
    "list": array([[1], None, []], pa.list_(pa.int8())),
    "large-list": array([[1], None, []], pa.large_list(pa.int8())),
    "list-view": array([["x"], None, []], pa.list_view(pa.string_view())),
    "list-of-views": array([[[1, 2], []], None, [None]], pa.list_(pa.large_list_view(pa.int8()))),
    "list-view-slice": array([[9], [1], None, [2, 3], [8]], pa.list_view(pa.int8())).slice(1, 3),
    "fixed-list": array([[1, 2], None, [3, None]], pa.list_(pa.float32(), 2)),
    "struct": array([{"a": 1, "b": [float("nan")]}, None, {"a": None, "b": None}],
                    pa.struct([("a", pa.int8()), ("b", pa.list_(pa.float64()))])),
    "struct-required": array([{"a": 1}] * 3, pa.struct([pa.field("a", pa.int8(), nullable=False)])),
    "struct-empty": array([{}, None, {}], pa.struct([])),
    "map": array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int8())),
    "dictionary": pa.array(WORDS).dictionary_encode(),
    "dictionary-int8": pa.DictionaryArray.from_arrays(array([1, None, 0], pa.int8()), WORDS[::2]),
    "dictionary-null": pa.DictionaryArray.from_arrays(array([1, None, 0], pa.int8()), ["x", None]),
    "dictionary-numbers": pa.array([5, None, 6]).dictionary_encode(),
    "dictionary-lists": pa.DictionaryArray.from_arrays(array([0, None, 0], pa.int8()), [[1]]),
    "list-of-dictionaries": pa.ListArray.from_arrays(
        [0, 1, 1, 2], pa.array(["x", "y"]).dictionary_encode()),
    "run-ends": pc.run_end_encode(pa.array(["x", None, "x"])),
    "sparse-union": union("sparse"),
    "dense-union": union("dense"),
    "struct-of-unions": pa.StructArray.from_arrays([union("dense")], ["u"]),
    "json": extension(pa.json_(), ["{}", None, "[]"]),
    "uuid": extension(pa.uuid(), [uuid.UUID(int=n).bytes if n else None for n in (1, 0, 2**100)]),
    "uuid-ascii": extension(pa.uuid(), [b"0123456789abcdef", None, b"0123456789abcdef"]),
    "bool8": extension(pa.bool8(), [1, None, 0]),
    "opaque": extension(pa.opaque(pa.int8(), "x", "y"), [1, None, 3]),
    "tensor": extension(pa.fixed_shape_tensor(pa.int8(), [2]), [[1, 2], None, [3, 4]]),
    "list-of-structs": array([[{"a": ["x"]}], None, []],
                             pa.list_(pa.struct([("a", pa.list_(pa.string()))]))),
    "list-of-dates": array([[DAY], None, []], pa.list_(pa.date32())),
    "list-of-bytes": array([[b"\xff"], None, []], pa.list_(pa.binary())),
}  # fmt: skip


def same(left, right):
    """Equal, where NaN is itself."""
    return str(left) == str(right)


def values_of(column):
    """As Python has them, or where it has none, as they lie."""
    plain = conform(column, stored_type(column.type))
    try:
        return plain.to_pylist()
    except (ValueError, OverflowError, LookupError):
        return plain.cast(pa.timestamp(plain.type.unit)).cast(pa.int64()).to_pylist()


@pytest.mark.parametrize("name", MATRIX)
def test_a_column_of_any_type_lives_through_everything(tmp_path, name):
    column = MATRIX[name]
    expected = values_of(column)
    store = Store.create(tmp_path / "s.ssah", bits=64)
    if "union" in name:
        with pytest.raises(RowsError, match=r"column 'v' is of type .*cannot be stored"):
            store.append(random_codes(1, 3, 64), {"id": ["a", "b", "c"], "v": column})
        assert store.newest() == Manifest()
        return
    store.append(random_codes(1, 3, 64), {"id": ["a", "b", "c"], "v": column})
    store.append(random_codes(2, 1, 64), {"id": ["none"]})
    store.append(random_codes(3, 3, 64), pa.table({"id": ["d", "e", "f"], "v": column}))
    for change in (lambda _: None, lambda s: s.delete(["e"]), compact, repair):
        change(store)
        snapshot = Store.open(store.path).snapshot()
        taken = snapshot.take(snapshot.find(["a", "b", "c", "none", "d", "f"]), ["v"]).column("v")
        whole = [*expected, None, expected[0], expected[2]]
        assert same(values_of(taken), whole)
        assert taken.type == stored_type(column.type)
    assert verify(store) == []
    for suffix in ("arrow", "parquet", "csv", "npy"):
        target = tmp_path / f"out.{suffix}"
        if name in REFUSED.get(suffix, ()):
            with pytest.raises(SourceError, match=r"Export to \.arrow"):
                export(store.snapshot(), target)
            continue
        assert export(store.snapshot(), target) == 6
        if suffix in ("arrow", "parquet"):
            read = pq.read_table(target) if suffix == "parquet" else read_arrow(target)
            assert same(values_of(read.column("v")), whole)
        elif suffix == "csv":
            text = pyarrow.csv.read_csv(
                target,
                convert_options=pyarrow.csv.ConvertOptions(column_types={"v": pa.string()}),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            )
            assert text.num_rows == 6
    assert {path.suffix for path in tmp_path.iterdir()} <= {
        ".ssah", ".arrow", ".parquet", ".csv", ".npy"
    }  # fmt: skip


REFUSED = {
    "parquet": {"month-day-nano", "struct-empty"},
    "csv": {"timestamp-nowhere"},
}


def read_arrow(path):
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


S, L, T = pa.string(), pa.list_, pa.timestamp
PAIRS = [
    (S, pa.large_string(), pa.large_string()),
    (S, pa.string_view(), pa.large_string()),
    (S, pa.dictionary(pa.int8(), S), S),
    (pa.large_string(), pa.dictionary(pa.int8(), S), pa.large_string()),
    (pa.dictionary(pa.int8(), S), pa.dictionary(pa.uint16(), S), pa.dictionary(pa.int32(), S)),
    (pa.dictionary(pa.int8(), S), pa.dictionary(pa.int8(), pa.string_view()),
     pa.dictionary(pa.int32(), pa.large_string())),
    (pa.dictionary(pa.int8(), pa.int8()), pa.int16(), pa.int16()),
    (pa.binary(), pa.large_binary(), pa.large_binary()),
    (pa.binary(), pa.binary_view(), pa.large_binary()),
    (pa.binary(2), pa.binary(3), pa.binary()),
    (pa.binary(2), pa.binary(), pa.binary()),
    (pa.null(), pa.int8(), pa.int8()),
    (pa.null(), pa.dictionary(pa.int8(), S), pa.dictionary(pa.int32(), S)),
    (pa.null(), pa.uuid(), pa.uuid()),
    (pa.null(), L(pa.int8()), L(pa.int8())),
    (pa.int8(), pa.int64(), pa.int64()),
    (pa.uint8(), pa.int8(), pa.int16()),
    (pa.uint8(), pa.int32(), pa.int32()),
    (pa.uint32(), pa.int8(), pa.int64()),
    (pa.uint8(), pa.uint64(), pa.uint64()),
    (pa.uint64(), pa.int8(), None),
    (pa.float16(), pa.float32(), pa.float32()),
    (pa.float32(), pa.float64(), pa.float64()),
    (pa.int16(), pa.float32(), pa.float32()),
    (pa.int16(), pa.float16(), pa.float32()),
    (pa.int32(), pa.float32(), pa.float64()),
    (pa.int64(), pa.float64(), None),
    (pa.bool_(), pa.int8(), None),
    (pa.date32(), pa.date64(), pa.date64()),
    (pa.time32("s"), pa.time64("ns"), pa.time64("ns")),
    (pa.time32("s"), pa.time32("ms"), pa.time32("ms")),
    (T("s"), T("ns"), T("ns")),
    (T("s", "UTC"), T("us", "UTC"), T("us", "UTC")),
    (T("s", "UTC"), T("s"), None),
    (T("s", "UTC"), T("s", "Asia/Tokyo"), None),
    (pa.date32(), T("s"), None),
    (pa.duration("s"), pa.duration("us"), pa.duration("us")),
    (pa.decimal128(5, 2), pa.decimal128(7, 4), pa.decimal128(7, 4)),
    (pa.decimal128(5, 0), pa.decimal128(5, 5), pa.decimal128(10, 5)),
    (pa.decimal32(9, 2), pa.decimal32(9, 5), pa.decimal64(12, 5)),
    (pa.decimal128(38, 0), pa.decimal128(38, 10), pa.decimal256(48, 10)),
    (pa.decimal256(76, 0), pa.decimal256(76, 76), None),
    (pa.decimal128(5, 2), pa.int8(), pa.decimal128(5, 2)),
    (pa.decimal128(5, 2), pa.float64(), None),
    (L(pa.int8()), L(pa.int64()), L(pa.int64())),
    (L(pa.null()), L(S), L(S)),
    (L(S), pa.large_list(pa.string_view()), pa.large_list(pa.large_string())),
    (L(pa.int8(), 2), L(pa.int16(), 2), L(pa.int16(), 2)),
    (L(pa.int8(), 2), L(pa.int8(), 3), L(pa.int8())),
    (L(pa.int8(), 2), pa.list_view(pa.int8()), L(pa.int8())),
    (L(S), L(pa.int8()), None),
    (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.int16())]), pa.struct([("a", pa.int16())])),
    (pa.struct([("a", pa.int8())]), pa.struct([("b", S), ("a", pa.int8())]),
     pa.struct([("a", pa.int8()), ("b", S)])),
    (pa.struct([("a", pa.int8())]), pa.struct([("a", S)]), None),
    (pa.map_(S, pa.int8()), pa.map_(S, pa.int64()), pa.map_(S, pa.int64())),
    (pa.json_(), pa.json_(), pa.json_()),
    (pa.json_(), S, None),
    (S, pa.binary(), None),
    (S, pa.int64(), None),
    (pa.month_day_nano_interval(), pa.duration("s"), None),
]  # fmt: skip


def sample(type):
    """Three values of a type, one of them null."""
    fixed = {
        pa.date64(): DAY,
        pa.binary(2): b"xy",
        pa.binary(3): b"xyz",
        pa.month_day_nano_interval(): (1, 2, 3),
    }
    if type in fixed:
        return pa.array([fixed[type], None, fixed[type]], type)
    if pa.types.is_map(type):  # Arrow ends the process on a list with a null in it
        return pa.array([[("k", 1)], None, [("k", 1)]], type)
    for one in (1, "x", b"x", [1], ["x"], [1, 2], [1, 2, 3], [None], {"a": 1}, {"a": "x"},
                DAY, D("0"), True):  # fmt: skip
        try:
            storage = getattr(type, "storage_type", type)
            if pa.types.is_dictionary(type):
                return sample(type.value_type).dictionary_encode().cast(type)
            made = pa.array([one, None, one], storage)
        except (pa.ArrowException, TypeError, ValueError, AttributeError):
            continue
        return made if storage is type else pa.ExtensionArray.from_storage(type, made)
    return pa.nulls(3, type)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
def test_two_appends_become_one_column_or_the_second_is_refused(tmp_path, pair, swap):
    *types, expected = pair
    first, second = map(sample, reversed(types) if swap else types)
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(random_codes(1, 3, 64), {"id": ["a", "b", "c"], "v": first})
    before, files = store.newest(), set(store.path.rglob("*"))
    if expected is None:
        with pytest.raises(RowsError, match="column 'v' is of type"):
            store.append(random_codes(2, 3, 64), {"id": ["d", "e", "f"], "v": second})
        assert store.newest() == before
        assert set(store.path.rglob("*")) == files
        return
    store.append(random_codes(2, 3, 64), {"id": ["d", "e", "f"], "v": second})
    for change in (lambda _: None, compact):
        change(store)
        taken = Store.open(store.path).snapshot().take(range(6), ["v"]).column("v")
        assert sorted(map(str, fields_of(taken.type))) == sorted(map(str, fields_of(expected)))
        both = [conform(one, stored_type(one.type)) for one in (first, second)]
        plain = [conform(one, taken.type).to_pylist() for one in both]
        assert same(taken.to_pylist(), plain[0] + plain[1])
        for one, values in zip(both, plain, strict=True):
            assert loose(one.to_pylist()) == loose(values)


def fields_of(type):
    """Fields of a struct come in the order of the appends."""
    return [type.field(i) for i in range(type.num_fields)] if pa.types.is_struct(type) else [type]


def loose(values):
    """Without fields that a wider struct has beside."""
    return [{k: v for k, v in one.items() if v is not None} if isinstance(one, dict) else one
            for one in values]  # fmt: skip


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int16()])
def test_dictionaries_whose_values_together_are_many_stay_readable(tmp_path, index):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    words = [f"w{i}" for i in range(300)]
    for number in range(3):
        own = words[100 * number : 100 * number + 100]
        kind = pa.DictionaryArray.from_arrays(pa.array(range(100), index), own)
        store.append(random_codes(number, 100, 64), {"id": own, "kind": kind})
    for change in (lambda _: None, compact):
        change(store)
        taken = store.snapshot().take(range(300), ["kind"]).column("kind")
        assert taken.to_pylist() == words
    assert export(store.snapshot(), tmp_path / "out.parquet") == 300
    assert pq.read_table(tmp_path / "out.parquet").column("kind").to_pylist() == words


def test_segments_of_a_release_that_kept_types_as_they_came_are_read(tmp_path, monkeypatch):
    """Its manifest has int8 indices, and the values of two segments are too many for them."""
    store = Store.create(tmp_path / "s.ssah", bits=64)
    words = [f"w{i}" for i in range(200)]
    with monkeypatch.context() as patched:
        patched.setattr("ssah_index.store.columns.stored_type", lambda kind: kind)
        patched.setattr("ssah_index.store.columns._tidy", lambda column: column)
        patched.setattr("ssah_index.store.columns.common_type", lambda one, _: one)
        for number in range(2):
            own = words[100 * number : 100 * number + 100]
            kind = pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), own)
            store.append(random_codes(number, 100, 64), {"id": own, "kind": kind})
        schema = decode_columns(store.newest().columns)
        assert schema.field("kind").type.index_type == pa.int8()
    opened = Store.open(store.path)
    assert opened.snapshot().take(range(200), ["kind"]).column("kind").to_pylist() == words
    opened.append(random_codes(9, 1, 64), {"id": ["x"], "kind": ["plain"]})
    assert opened.snapshot().take([0, 200], ["kind"]).column("kind").to_pylist() == ["w0", "plain"]
    compact(opened)
    assert opened.snapshot().take(range(200), ["kind"]).column("kind").to_pylist() == words


def test_a_finer_unit_that_cannot_hold_what_is_there_is_refused(tmp_path):
    far, near = 2**40, 1
    for first, second in ((far, "ns"), (near, "ns")):
        store = Store.create(tmp_path / f"{first}.ssah", bits=64)
        store.append(random_codes(1, 1, 64), {"id": ["a"], "at": pa.array([first], T("s"))})
        before, files = store.newest(), set(store.path.rglob("*"))
        rows = {"id": ["b"], "at": pa.array([7], T(second))}
        if first == far:
            with pytest.raises(RowsError, match="the finer unit can hold"):
                store.append(random_codes(2, 1, 64), rows)
            assert store.newest() == before
            assert set(store.path.rglob("*")) == files
        else:
            store.append(random_codes(2, 1, 64), rows)
        opened = Store.open(store.path).snapshot()
        assert opened.take([0], ["at"]).column("at").cast(pa.int64())[0].as_py() in (far, 10**9)
    with pytest.raises(RowsError, match="the finer unit can hold"):
        store.append(random_codes(3, 1, 64), {"id": ["c"], "at": pa.array([far], T("s"))})


def test_common_types_hold_the_ends_of_both():
    whole = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
    ends = {t: [0, 2**t.bit_width - 1] if str(t)[0] == "u" else
            [-(2 ** (t.bit_width - 1)), 2 ** (t.bit_width - 1) - 1] for t in whole}  # fmt: skip
    floats = [pa.float16(), pa.float32(), pa.float64()]
    for one in whole:
        for other in [*whole, *floats, pa.decimal32(4, 2), pa.decimal128(20, 1)]:
            kind = common_type(one, other)
            assert kind == common_type(other, one)
            if kind is not None:
                cast = pa.array(ends[one], one).cast(kind)
                assert [int(value) for value in cast.to_pylist()] == ends[one]
                assert cast.type == kind


def test_columns_that_are_no_columns_are_refused_in_words(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    runs = pa.ListArray.from_arrays([0, 1], pc.run_end_encode(pa.array(["x"])))
    for rows in (
        {"id": ["a"], "v": runs}, {"id": ["a"], "v": [2**70]}, {"id": ["a"], "v": [object()]},
        {"id": ["a"], "v": [[1, "x"]]}, {"id": ["a"], "v": np.zeros((1, 2))}, {"id": ["a"], "v": 5},
        {"id": ["a"], "v": ["\ud800"]}, {"id": ["a"], "\ud800": ["x"]}, {"id": ["a"], "v": {"x"}},
        {"id": ["a"], "labels": [["x", None]]}, {"id": ["a"], "source": [None]}, [{"id": "a"}],
        {"id": ["a"], 5: [1]}, {}, None, "a", [1],
    ):  # fmt: skip
        with pytest.raises(RowsError):
            store.append(random_codes(1, 1, 64), rows)
    assert store.newest() == Manifest()


def test_manifests_keep_columns():
    schema = pa.schema([("a", pa.dictionary(pa.int8(), pa.string())), ("b", pa.uuid())])
    assert decode_columns(encode_columns(schema)) == pa.schema(
        [("a", pa.dictionary(pa.int32(), pa.string())), ("b", pa.uuid())]
    )
    assert decode_columns("") == pa.schema([])


@pytest.mark.parametrize("name", MATRIX)
def test_items_bring_columns_of_any_type(name):
    column = MATRIX[name]
    if "union" in name or name in ("timestamp-far", "timestamp-nowhere", "bool8"):
        return  # Python has no such values, or Arrow does not take them back
    own = pa.schema([("v", column.type)])
    items = [Item(id=f"{i}", source="s", columns={"v": v}) for i, v in enumerate(values_of(column))]
    taken = items_table(items, "image", own).column("v")
    assert taken.type == stored_type(column.type)
    assert same(taken.to_pylist(), values_of(column))


def test_items_that_are_no_columns_are_refused_in_words():
    own = pa.schema([("v", pa.int8())])
    for columns, options in (({"v": 300}, {}), ({"v": "x"}, {}), ({}, {"text": "\ud800"})):
        item = Item(id="a", source="s", columns=columns, **options)
        with pytest.raises(RowsError, match=r"column '(v|text)' has a value"):
            items_table([item], "image", own)
