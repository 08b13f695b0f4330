"""Files of codes and ids that are faulty, and which is blamed; bit order; what comes back."""

import os
import pickle
import subprocess
import sys
import tempfile

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import ssah_index
from ssah_index.cli.export import command as export_command
from ssah_index.cli.faults import exit_code
from ssah_index.cli.import_ import command as import_command
from ssah_index.codes import unpack
from ssah_index.errors import (
    CodeError,
    DuplicateIdError,
    InputError,
    QueryError,
    RowsError,
    SourceError,
    SpecError,
    WriteFailedError,
)
from ssah_index.index.building import build_index
from ssah_index.ingest import export, import_codes, imports
from ssah_index.store import Store, compact, items_table, repair, stage_segment, verify
from tests.commands import run_cli
from tests.conftest import random_codes
from tests.store.test_kills import visible

CODES = random_codes(1, 20, 64)


def ids_of(store):
    snapshot = store.snapshot()
    rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.segments]
    return snapshot.take(np.concatenate(rows), ["id"]).column("id").to_pylist()


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "codes.npy", CODES)
    return tmp_path / "codes.npy"


def cut(folder):
    np.save(folder / "cut.npy", CODES)
    os.truncate(folder / "cut.npy", 200)
    return folder / "cut.npy"


def header(folder, descr, shape):
    path = folder / "header.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": descr, "fortran_order": False, "shape": shape}
        )
        file.write(bytes(100))
    return path


def saved(array, name="array.npy"):
    def write(folder):
        np.save(folder / name, array, allow_pickle=True)
        return folder / name

    return write


def written(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def made(name, make):
    def write(folder):
        make(folder / name)
        return folder / name

    return write


def zipped(path):
    with path.open("wb") as file:
        np.savez(file, a=CODES)


def table(name, **columns):
    def write(folder):
        built = pa.table(columns)
        if name.endswith("parquet"):
            pq.write_table(built, folder / name)
        else:
            with pa.ipc.new_file(folder / name, built.schema) as writer:
                writer.write_table(built)
        return folder / name

    return write


def id_map(path, ids, n):
    index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(64))
    index.add_with_ids(CODES[:n], np.array(ids, np.int64))
    faiss.write_index_binary(index, str(path))


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


PACKED = pa.array([row.tobytes() for row in CODES], pa.binary(8))
FAULTY = [
    (written("empty.npy", b""), SourceError, "empty.npy is empty"),
    (written("empty.parquet", b""), SourceError, "empty.parquet cannot be read"),
    (written("empty.arrow", b""), SourceError, "empty.arrow cannot be read"),
    (written("empty.faiss", b""), SourceError, "empty.faiss cannot be read"),
    (written("text.npy", b"hello\n" * 99), SourceError, "text.npy cannot be read"),
    (written("half.npy", b"\x93NUMPY\x01\0\xff\xff{'descr'"), SourceError, "half.npy cannot be"),
    (written("odd.npy", b"\x93NUMPY\x01\0\x10\0{'descr': ((((((\n"), SourceError, "odd.npy cannot"),
    (written("pickle.npy", pickle.dumps(Bomb())), SourceError, "pickle.npy cannot be read"),
    (cut, SourceError, "cut.npy cannot be read"),
    (lambda folder: header(folder, "|u1", (2**40, 8)), SourceError, "header.npy cannot be read"),
    (lambda folder: header(folder, "|u1", (-1, 8)), InputError, "header.npy"),
    (lambda folder: header(folder, "|O", (1, 8)), SourceError, "header.npy cannot be read.*object"),
    (saved(np.array([Bomb()], object)), SourceError, "array.npy cannot be read.*object"),
    (made("zip.npy", zipped), SourceError, "zip.npy cannot be read"),
    (saved(CODES.astype(np.float32)), CodeError, "array.npy have dtype float32"),
    (saved(CODES.astype(np.int64)), CodeError, "array.npy have dtype int64"),
    (saved(CODES[0]), CodeError, r"array.npy have 1 axes, shape \(8,\)"),
    (saved(CODES[None]), CodeError, r"array.npy have 3 axes"),
    (saved(np.uint8(1)), CodeError, r"array.npy have 0 axes"),
    (saved(np.zeros((2, 0), np.uint8)), CodeError, "codes of 0 bits"),
    (saved(np.zeros((2, 513), np.uint8)), CodeError, "codes of 4104 bits"),
    (saved(np.zeros((2, 9), bool)), CodeError, "array.npy have dtype bool"),
    (saved(CODES.view("V8")), InputError, "array.npy"),
    (made("folder.npy", os.mkdir), SourceError, "folder.npy cannot be read .it is a folder"),
    (made("folder", os.mkdir), SourceError, "folder cannot be read .it is a folder"),
    (made("folder.parquet", os.mkdir), SourceError, "folder.parquet cannot be read"),
    (made("pipe.npy", os.mkfifo), SourceError, "pipe.npy cannot be read .it is no regular file"),
    (made("pipe.arrow", os.mkfifo), SourceError, "pipe.arrow cannot be read .it is no regular"),
    (made("pipe", os.mkfifo), SourceError, "pipe cannot be read .it is no regular file"),
    (lambda folder: folder / "absent.npy", SourceError, "absent.npy cannot be read"),
    (lambda folder: folder / ("x" * 300), SourceError, "cannot be read"),
    (lambda folder: folder / "nul\0.npy", SourceError, "cannot be read"),
    (table("t.parquet", code=PACKED), SourceError, "no column id but code"),
    (table("t.parquet", code=PACKED, id=pa.array([1.5] * 20)), RowsError,
    "t.parquet is of type do"),
    (table("t.arrow", code=PACKED, id=pa.array([True] * 20)), RowsError, "t.arrow is of type bool"),
    (table("t.arrow", code=PACKED, id=pa.array([1] * 20, pa.date32())), RowsError, "type date32"),
    (table("t.arrow", code=PACKED, id=pa.array([b"a"] * 20)), RowsError, "of type binary"),
    (table("t.arrow", code=PACKED, id=pa.array([2**63] * 20, pa.uint64())), RowsError,
    "type uint64"),
    (table("t.arrow", code=PACKED, id=pa.array(["a"] * 19 + [None])), RowsError, "1 nulls"),
    (table("t.arrow", code=pa.array([[1]] * 20), id=range(20)), CodeError, "of type list"),
    (table("t.arrow", code=pa.nulls(20, pa.binary(8)), id=range(20)), CodeError, "20 nulls"),
]  # fmt: skip


@pytest.mark.parametrize("case", FAULTY, ids=range(len(FAULTY)))
def test_a_faulty_source_is_named_and_makes_no_store(tmp_path, monkeypatch, case):
    write, error, words = case
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        import_codes(write(tmp_path), tmp_path / "s.ssah")
    assert not (tmp_path / "s.ssah").exists()
    assert not (tmp_path / "exploded").exists()


IDS = [
    (written("ids.txt", b"a\n" * 19), "19 ids in .*ids.txt; expected 20"),
    (written("ids.txt", b"a\xff\n" * 20), "line 1 of .*ids.txt is no UTF-8"),
    (written("ids.txt", b"a\r\n" * 20), "line 1 of .*ids.txt ends in"),
    (written("ids.txt", b"\xef\xbb\xbfa\n" * 20), "ids.txt begins with a byte order mark"),
    (written("ids.txt", b""), "0 ids in .*ids.txt"),
    (written("ids.npy", b""), "ids.npy is empty"),
    (written("ids.npy", b"junk"), "ids.npy cannot be read"),
    (saved(np.arange(20.0) * 1e17, "ids.npy"), "ids.npy: ids are given as an array of float64"),
    (saved(np.ones(20, bool), "ids.npy"), "ids.npy: ids are given as an array of bool"),
    (saved(np.array(["2026-01-01"] * 20, "M8[D]"), "ids.npy"), "ids.npy: .*datetime64"),
    (saved(np.array([b"a"] * 20), "ids.npy"), "ids.npy: ids are given as"),
    (saved(np.array(["a"] * 20, object), "ids.npy"), "ids.npy cannot be read.*object"),
    (saved(np.full(20, 2**63, np.uint64), "ids.npy"), "ids.npy: id 9223372036854775808 is beyond"),
    (saved(np.ones((20, 1), int), "ids.npy"), r"ids.npy: .*shape \(20, 1\)"),
    (saved(np.arange(21), "ids.npy"), "21 ids in .*ids.npy; expected 20"),
    (made("ids.npy", os.mkdir), "ids.npy cannot be read .it is a folder"),
    (made("ids", os.mkfifo), "ids cannot be read .it is no regular file"),
    (lambda folder: folder / "absent", "absent cannot be read"),
]


@pytest.mark.parametrize("case", IDS, ids=range(len(IDS)))
def test_a_faulty_file_of_ids_is_blamed_and_not_the_source(tmp_path, npy, case):
    write, words = case
    with pytest.raises(SourceError, match=words) as raised:
        import_codes(npy, tmp_path / "s.ssah", ids=write(tmp_path))
    assert "codes.npy cannot" not in str(raised.value)
    assert not (tmp_path / "s.ssah").exists()


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u2", ">u4", "<u8", "i1"])
def test_ids_of_any_integer_type_come_in_exactly(tmp_path, npy, dtype):
    np.save(tmp_path / "ids.npy", np.arange(100, 120).astype(dtype))
    import_codes(npy, tmp_path / "s.ssah", ids=tmp_path / "ids.npy")
    assert ids_of(Store.open(tmp_path / "s.ssah")) == list(range(100, 120))


def test_lines_of_an_ids_file_are_ids_byte_for_byte(tmp_path, npy):
    names = [f"{i}\u2028\x0b\x85 x" for i in range(19)] + [""]
    (tmp_path / "ids.txt").write_bytes("\n".join(names).encode() + b"\n")
    import_codes(npy, tmp_path / "s.ssah", ids=tmp_path / "ids.txt")
    assert ids_of(Store.open(tmp_path / "s.ssah")) == names


def test_sources_of_other_shapes_come_in(tmp_path):
    np.save(tmp_path / "fortran.npy", np.asfortranarray(CODES))
    np.save(tmp_path / "bools.npy", unpack(CODES))
    np.save(tmp_path / "none.npy", CODES[:0])
    pq.write_table(pa.table({"code": PACKED[:0], "id": pa.array([], pa.string())}),
                   tmp_path / "none.parquet")  # fmt: skip
    id_map(tmp_path / "big.faiss", [2**63 - 1, -(2**63), 0], 3)
    for name, n in (("fortran.npy", 20), ("bools.npy", 20), ("none.npy", 0), ("none.parquet", 0)):
        for bitorder in ("little", "big") if name == "bools.npy" else ("little",):
            target = tmp_path / f"{name}.{bitorder}.ssah"
            report = import_codes(tmp_path / name, target, bitorder=bitorder)
            assert (report.written, report.skipped) == (n, 0)
            snapshot = Store.open(target).snapshot()
            np.testing.assert_array_equal(snapshot.codes(range(n)), CODES[:n])
    import_codes(tmp_path / "big.faiss", tmp_path / "big.ssah")
    assert ids_of(Store.open(tmp_path / "big.ssah")) == [2**63 - 1, -(2**63), 0]


@pytest.mark.parametrize("policy", ["error", "skip", "replace"])
@pytest.mark.parametrize("after", [lambda _: None, compact, repair])
def test_rows_that_were_deleted_since_come_back(tmp_path, npy, monkeypatch, policy, after):
    monkeypatch.setattr(imports, "BATCH_ROWS", 7)
    target = tmp_path / "s.ssah"
    import_codes(npy, target)
    store = Store.open(target)
    for gone in ([3, 4, 13], list(range(20)), []):
        store.delete(gone)
        after(store)
        report = import_codes(npy, target, on_duplicate=policy)
        assert (report.written, report.restored) == (len(gone), len(gone))
        assert (report.skipped, report.replaced) == (20 - len(gone), 0)
        assert sorted(visible(store)) == list(range(20))
    assert ids_of(store) == list(range(20))  # in the order of the file, where all came back
    snapshot = store.snapshot()
    for number in range(20):
        np.testing.assert_array_equal(snapshot.codes(snapshot.find(number))[0], CODES[number])
    assert verify(store) == []


def test_an_import_of_which_nothing_was_deleted_looks_at_no_rows(tmp_path, npy, monkeypatch):
    monkeypatch.setattr("ssah_index.store.append.SEGMENT_BYTES", 8 * 6)
    import_codes(npy, tmp_path / "s.ssah")
    assert len(Store.open(tmp_path / "s.ssah").newest().segments) == 4
    with monkeypatch.context() as patched:
        patched.setattr("ssah_index.store.snapshot._locate", lambda *_: 1 / 0)
        assert import_codes(npy, tmp_path / "s.ssah").skipped == 20
    Store.open(tmp_path / "s.ssah").delete([0, 19])
    assert import_codes(npy, tmp_path / "s.ssah").restored == 2


def test_a_row_that_another_took_the_place_of_does_not_come_back(tmp_path, npy):
    import_codes(npy, tmp_path / "s.ssah")
    store = Store.open(tmp_path / "s.ssah")
    store.append(CODES[:1] ^ 255, {"id": [5]}, on_duplicate="replace")
    store.append(CODES[:1], {"id": [6]}, "text")
    store.delete(6, "image")
    report = import_codes(npy, tmp_path / "s.ssah", on_duplicate="replace")
    assert (report.written, report.restored, report.skipped) == (1, 1, 19)
    assert store.snapshot().find(5).tolist() == [20]


def test_the_last_of_an_id_in_a_file_comes_back_where_it_replaced_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "BATCH_ROWS", 2)
    np.save(tmp_path / "codes.npy", CODES[:4])
    (tmp_path / "ids.txt").write_text("a\nb\nc\na\n")
    for policy, last in (("replace", 3), ("skip", 0)):
        target, ids = tmp_path / f"{policy}.ssah", tmp_path / "ids.txt"
        import_codes(tmp_path / "codes.npy", target, ids=ids, on_duplicate=policy)
        store = Store.open(target)
        for _ in range(2):
            rows = store.snapshot().find("a")
            np.testing.assert_array_equal(store.snapshot().codes(rows), CODES[last : last + 1])
            store.delete(["a", "b"])
            import_codes(tmp_path / "codes.npy", target, ids=ids, on_duplicate=policy)


def test_a_cut_off_restoring_goes_on(tmp_path, npy, monkeypatch):
    monkeypatch.setattr(imports, "BATCH_ROWS", 7)
    import_codes(npy, tmp_path / "s.ssah")
    store = Store.open(tmp_path / "s.ssah")
    store.delete(range(20))
    append, calls = Store.append, []

    def cut_off(store, *given, **options):
        calls.append(options["name"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return append(store, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", cut_off)
        with pytest.raises(KeyboardInterrupt):
            import_codes(npy, tmp_path / "s.ssah")
    assert sorted(visible(store)) == list(range(7))
    report = import_codes(npy, tmp_path / "s.ssah")
    assert (report.written, report.restored, report.skipped) == (13, 13, 7)


def test_a_named_batch_stays_deleted_and_says_so(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64, ids="int64")
    rows = {"id": range(20)}
    assert store.append(CODES, rows, name="monday").deleted == 0
    store.delete([1, 2])
    for _ in range(2):
        report = store.append(CODES, rows, name="monday")
        assert (report.written, report.skipped, report.deleted) == (0, 18, 2)
        compact(store)
    assert len(visible(store)) == 18
    with pytest.raises(DuplicateIdError):
        store.append(CODES, rows, name="tuesday")
    assert store.append(CODES, rows, name="tuesday", on_duplicate="skip").written == 2


@pytest.mark.parametrize("bits", [8, 64, 4096])
def test_codes_of_big_bit_order_are_the_same_codes_everywhere(tmp_path, bits):
    rng = np.random.default_rng(3)
    bools = rng.random((30, bits)) < 0.5
    big, little = np.packbits(bools, axis=1), np.packbits(bools, axis=1, bitorder="little")
    names = {"id": [f"{i}" for i in range(30)]}
    store = Store.create(tmp_path / "s.ssah", bits=bits)
    store.append(big, names, bitorder="big")
    store.append(bools, {"id": [f"b{i}" for i in range(30)]}, bitorder="big")
    np.testing.assert_array_equal(store.snapshot().codes(range(30)), little)
    np.testing.assert_array_equal(store.snapshot().codes(range(30, 60)), little)
    searcher = ssah_index.open(store.path)
    for queries, options in ((bools, {}), (big, {"bitorder": "big"}), (little, {})):
        found = searcher.search(queries, k=1, **options)
        assert found.distances.tolist() == [0] * 30
        assert len(ssah_index.search_codes(queries, queries, radius=0, **options).rows) >= 30
    np.save(tmp_path / "big.npy", big)
    import_codes(tmp_path / "big.npy", tmp_path / "i.ssah", bitorder="big")
    np.testing.assert_array_equal(
        Store.open(tmp_path / "i.ssah").snapshot().codes(range(30)), little
    )
    export(store.snapshot(), tmp_path / "out.npy", bitorder="big")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[:30], big)
    packed = ssah_index.pack(bools, bitorder="big")
    np.testing.assert_array_equal(packed, big)
    np.testing.assert_array_equal(ssah_index.unpack(packed, bitorder="big"), bools)
    np.testing.assert_array_equal(ssah_index.unpack(store.snapshot().codes(range(30))), bools)


def test_one_file_in_two_bit_orders_is_two_imports(tmp_path, npy):
    import_codes(npy, tmp_path / "s.ssah")
    report = import_codes(npy, tmp_path / "s.ssah", bitorder="big", on_duplicate="replace")
    assert report.replaced == 20
    assert import_codes(npy, tmp_path / "s.ssah", bitorder="big").skipped == 20


@pytest.mark.parametrize("bitorder", ["middle", None, 1, "BIG", ["big"]])
def test_another_bit_order_is_refused(tmp_path, npy, bitorder):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    for call in (
        lambda: store.append(CODES, {"id": ["a"] * 20}, bitorder=bitorder),
        lambda: import_codes(npy, tmp_path / "new.ssah", bitorder=bitorder),
        lambda: export(store.snapshot(), tmp_path / "out.npy", bitorder=bitorder),
        lambda: ssah_index.open(store.path).search(CODES, bitorder=bitorder),
        lambda: ssah_index.search_codes(CODES, CODES, bitorder=bitorder),
        lambda: ssah_index.pack([[True] * 8], bitorder=bitorder),
        lambda: ssah_index.unpack(CODES, bitorder=bitorder),
    ):
        with pytest.raises(CodeError, match="expected 'little'"):
            call()
    assert not (tmp_path / "new.ssah").exists()


@pytest.mark.parametrize(
    "modality", ["photo", "Image", "", 5, ["image"], b"image", np.array(["a"])]
)
def test_another_modality_is_refused_in_every_call(tmp_path, npy, modality):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(CODES, {"id": [f"{i}" for i in range(20)]})
    before, none = store.newest(), items_table([], "image")
    snapshot, searcher = store.snapshot(), ssah_index.open(store.path)
    for call, error in (
        (lambda: store.append(CODES, {"id": ["a"] * 20}, modality), SpecError),
        (lambda: store.delete(["1"], modality), QueryError),
        (lambda: snapshot.find(["1"], modality), QueryError),
        (lambda: snapshot.has(["1"], modality), QueryError),
        (lambda: snapshot.count(modality), QueryError),
        (lambda: snapshot.select(modality), QueryError),
        (lambda: searcher.search(CODES, modality=modality), QueryError),
        (lambda: list(searcher.pairs(0, modality=modality)), QueryError),
        (lambda: import_codes(npy, tmp_path / "new.ssah", modality=modality), SpecError),
        (lambda: export(snapshot, tmp_path / "out.npy", modality=modality), QueryError),
        (lambda: build_index(store, modality), SpecError),
        (lambda: items_table([], modality), RowsError),
        (lambda: stage_segment(store.place, "x", modality, CODES[:0], none), SpecError),
    ):
        with pytest.raises(error, match="modality is"):
            call()
    assert store.newest() == before
    assert not (tmp_path / "new.ssah").exists()


def test_rows_are_of_one_modality(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    with pytest.raises(SpecError, match="modality is None; expected 'image' or 'text'"):
        store.append(CODES[:1], {"id": ["a"]}, None)
    assert store.newest().generation == 0


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "npy"])
def test_a_target_that_cannot_be_written_is_told(tmp_path, suffix):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(CODES, {"id": [f"{i}" for i in range(20)], "x": [float("nan")] * 20})
    snapshot, name = store.snapshot(), f"out.{suffix}"
    (tmp_path / "folder" / name).mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    long = "x" * (254 - len(suffix))
    for target, words in (
        (tmp_path / "absent" / name, "there is no folder .*absent"),
        (tmp_path / "folder" / name, "is a folder"),
        (tmp_path / "file" / name, "there is no folder .*file"),
        (tmp_path / f"x{long}.{suffix}", "File name too long"),
    ):
        with pytest.raises(WriteFailedError, match=words):
            export(snapshot, target)
    assert export(snapshot, tmp_path / f"{long}.{suffix}") == 20
    assert {path.name for path in tmp_path.iterdir()} == {
        "s.ssah", "folder", "file", f"{long}.{suffix}"
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "folder").iterdir()] == [name]


@pytest.mark.parametrize("bits", [8, 4096])
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "npy"])
def test_the_extremes_of_width_go_out_and_come_in_again(tmp_path, bits, suffix):
    codes = random_codes(2, 9, bits)
    store = Store.create(tmp_path / "s.ssah", bits=bits, ids="int64")
    store.append(codes, {"id": range(9)})
    assert store.delete([4]) == store.delete_rows([7], store.snapshot()) == 1
    target = tmp_path / f"out.{suffix}"
    assert export(store.snapshot(), target) == 7
    if suffix == "csv":
        assert codes[8].tobytes().hex() in target.read_text()
        return
    import_codes(target, tmp_path / "again.ssah")
    again = Store.open(tmp_path / "again.ssah")
    compact(again)
    np.testing.assert_array_equal(again.snapshot().codes(range(7)), np.delete(codes, [4, 7], 0))
    assert verify(again) == []


def run(command, *words):
    told = CliRunner().invoke(command, list(map(str, words)))
    if told.exception is not None:
        raise told.exception
    return told.stderr


def test_the_commands_say_which_file_and_what_came_back(tmp_path, npy):
    (tmp_path / "empty.npy").touch()
    told = run_cli("import", tmp_path / "empty.npy", tmp_path / "s.ssah", expect=2)
    assert "empty.npy is empty" in told.stderr
    run(import_command, npy, tmp_path / "s.ssah", "--bitorder", "big")
    store = Store.open(tmp_path / "s.ssah")
    np.testing.assert_array_equal(store.snapshot().codes([0])[0], unpacked_reverse(CODES[0]))
    store.delete(range(5))
    told = run(import_command, npy, tmp_path / "s.ssah", "--bitorder", "big")
    assert "5 rows written (5 of them had been deleted), 15 were there already" in told
    with pytest.raises(WriteFailedError, match="there is no folder") as raised:
        run(export_command, tmp_path / "s.ssah", tmp_path / "absent" / "out.npy")
    assert exit_code(raised.value) == 5
    run(export_command, tmp_path / "s.ssah", tmp_path / "out.npy", "--bitorder", "big", "-q")
    assert sorted(np.load(tmp_path / "out.npy").tolist()) == sorted(CODES.tolist())


def unpacked_reverse(code):
    return np.packbits(np.unpackbits(code), bitorder="little")


@pytest.mark.parametrize(
    "generation", ["", "x", "-1", "99", "9" * 5000, "1.0", "\u0661", " 1", "\udce9"]
)
def test_a_generation_that_is_none_is_told(tmp_path, generation):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(CODES, {"id": [f"{i}" for i in range(20)]})
    words = [str(store.path), str(tmp_path / "out.npy"), f"--generation={generation}"]
    with pytest.raises(QueryError):
        run(export_command, *words)
    assert not (tmp_path / "out.npy").exists()
    for wrong in (True, 1.0, None.__class__, b"x", [1]):
        with pytest.raises(QueryError):
            store.snapshot(wrong)
    for name in ("", "5", "\u0661", None, 5):
        with pytest.raises(SpecError):
            store.tag(name)
    with pytest.raises(SpecError):
        store.untag(["a"])


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a\\b", ".x", "a\0", "a\n", "x" * 201, 5, b"x", "\ud800"]
)
def test_a_batch_of_an_impossible_name_is_refused(tmp_path, name):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    with pytest.raises(SpecError, match="the name of a batch is"):
        store.append(CODES[:1], {"id": ["a"]}, name=name)
    assert len(list(store.path.rglob("*"))) == 3


def test_ids_of_the_other_kind_are_told_by_their_file(tmp_path, npy):
    for kind in ("string", "int64"):
        Store.create(tmp_path / f"{kind}.ssah", bits=64, ids=kind)
    (tmp_path / "ids.txt").write_text("\n".join(map(str, range(20))))
    with pytest.raises(RowsError, match=r"those of .*codes.npy are int64 .row numbers"):
        import_codes(npy, tmp_path / "string.ssah")
    with pytest.raises(RowsError, match=r"those of .*ids.txt are string; expected int64"):
        import_codes(npy, tmp_path / "int64.ssah", ids=tmp_path / "ids.txt")


AS_NOBODY = """
import os, sys
from pathlib import Path
import pyarrow.csv, pyarrow.parquet
from ssah_index.errors import WriteFailedError
from ssah_index.ingest import export
from ssah_index.store import Store
os.setuid(65534)  # Python itself may lie where nobody may read: imports come first
snapshot = Store.open(sys.argv[1]).snapshot()
for suffix in ("csv", "parquet", "arrow", "npy"):
    try:
        export(snapshot, Path(sys.argv[2], f"out.{suffix}"))
    except WriteFailedError as error:
        print(error.fault)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_folder_that_may_not_be_written_is_told(tmp_path, mode):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(CODES, {"id": [f"{i}" for i in range(20)]})
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (folder, store.path, *store.path.parents):
        if path.is_relative_to(tempfile.gettempdir()) and str(path) != tempfile.gettempdir():
            path.chmod(0o755)
    folder.chmod(mode)
    command = [sys.executable, "-c", AS_NOBODY, str(store.path), str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.count("permission is denied") == 4
    assert os.listdir(folder) == []
