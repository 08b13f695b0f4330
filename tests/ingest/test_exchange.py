"""Codes from and for other tools; what goes out comes in again."""

import csv
import datetime
import json

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import CodeError, DuplicateIdError, SourceError
from ssah_index.ingest import export, exports, import_codes, imports
from ssah_index.store import Store
from tests.commands import run_cli
from tests.conftest import random_codes

CODES = random_codes(1, 50, 64)


@pytest.fixture
def store(tmp_path):
    """Images with columns of several types, texts, and deleted rows."""
    store = Store.create(tmp_path / "s.ssah", bits=64, ids="int64")
    day = datetime.date(2026, 1, 2)
    rows = {
        "id": np.arange(50),
        "labels": [["a", "b"]] * 50,
        "day": [day] * 49 + [None],
        "kind": pa.array(["x", "y"] * 25).dictionary_encode(),
        "place": [{"x": 1}] * 50,
        "blob": [b"\x00\xff"] * 50,
    }
    store.append(CODES, rows)
    store.append(random_codes(2, 5, 64), {"id": np.arange(5), "text": ['t, "q"\n'] * 5}, "text")
    store.delete([3, 4], "image")
    return store


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Batches of seven rows."""
    monkeypatch.setattr(exports, "BATCH_ROWS", 7)
    monkeypatch.setattr(imports, "BATCH_ROWS", 7)


def everything(store, modality=None):
    snapshot = store.snapshot()
    rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.select(modality)]
    codes = [s.codes[s.keep()] for s in snapshot.select(modality)]
    return np.concatenate(codes).tolist(), snapshot.take(np.concatenate(rows)).to_pylist()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_tables_go_out_and_come_in_again(store, tmp_path, suffix):
    target = tmp_path / f"out.{suffix}"
    assert export(store.snapshot(), target, modality="image") == 48
    read = pq.read_table if suffix == "parquet" else lambda path: pa.ipc.open_file(path).read_all()
    table = read(target)
    assert table.schema.field("code").type == pa.binary(8)
    assert table.column("id").to_pylist() == [i for i in range(50) if i not in (3, 4)]
    report = import_codes(target, tmp_path / "again.ssah")
    assert (report.written, report.skipped) == (48, 0)
    assert everything(Store.open(tmp_path / "again.ssah")) == everything(store, "image")
    assert import_codes(target, tmp_path / "again.ssah").skipped == 48


def test_csv_has_every_column_as_text(store, tmp_path):
    assert export(store.snapshot(), tmp_path / "out.csv") == 53
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 53
    assert rows[0] == {
        "id": "0", "code": CODES[0].tobytes().hex(), "modality": "image", "source": "",
        "text": "", "labels": "a;b", "day": "2026-01-02", "kind": "x",
        "place": '{"x": 1}', "blob": "00ff",
    }  # fmt: skip
    assert rows[-1]["text"] == 't, "q"\n'


def test_npy_has_the_codes_alone(store, tmp_path):
    assert export(store.snapshot(), tmp_path / "out.npy", modality="image") == 48
    keep = [i for i in range(50) if i not in (3, 4)]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), CODES[keep])


def test_an_export_replaces_a_file_only_once_it_is_whole(store, tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    target.write_text("old")
    monkeypatch.setattr(exports, "_as_text", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(store.snapshot(), target)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "s.ssah"]
    with pytest.raises(SourceError, match=r"ends in \.txt"):
        export(store.snapshot(), tmp_path / "out.txt")


def test_npy_comes_in_with_ids_or_numbers(tmp_path):
    np.save(tmp_path / "codes.npy", CODES)
    import_codes(tmp_path / "codes.npy", tmp_path / "n.ssah", modality="text")
    assert [row["id"] for row in everything(Store.open(tmp_path / "n.ssah"))[1]] == list(range(50))
    (tmp_path / "ids.txt").write_text("\n".join(f"é{i}" for i in range(50)))
    import_codes(tmp_path / "codes.npy", tmp_path / "s.ssah", ids=tmp_path / "ids.txt")
    codes, rows = everything(Store.open(tmp_path / "s.ssah"))
    assert codes == CODES.tolist()
    assert [row["id"] for row in rows] == [f"é{i}" for i in range(50)]
    np.save(tmp_path / "ids.npy", np.arange(50) * 10)
    import_codes(tmp_path / "codes.npy", tmp_path / "i.ssah", ids=tmp_path / "ids.npy")
    assert everything(Store.open(tmp_path / "i.ssah"))[1][-1]["id"] == 490


def test_faiss_files_come_in(tmp_path):
    flat = faiss.IndexBinaryFlat(64)
    flat.add(CODES)
    faiss.write_index_binary(flat, str(tmp_path / "flat.faiss"))
    import_codes(tmp_path / "flat.faiss", tmp_path / "flat.ssah")
    assert everything(Store.open(tmp_path / "flat.ssah"))[0] == CODES.tolist()
    mapped = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(64))
    mapped.add_with_ids(CODES, np.arange(50, dtype=np.int64) + 1000)
    faiss.write_index_binary(mapped, str(tmp_path / "mapped.faiss"))
    import_codes(tmp_path / "mapped.faiss", tmp_path / "mapped.ssah")
    codes, rows = everything(Store.open(tmp_path / "mapped.ssah"))
    assert codes == CODES.tolist()
    assert rows[7]["id"] == 1007
    with pytest.raises(SourceError, match="ids of its own"):
        import_codes(tmp_path / "mapped.faiss", tmp_path / "x.ssah", ids=tmp_path / "flat.faiss")
    hashed = faiss.IndexBinaryHash(64, 8)
    faiss.write_index_binary(hashed, str(tmp_path / "hash.faiss"))
    with pytest.raises(SourceError, match="IndexBinaryHash, not an IndexBinaryFlat"):
        import_codes(tmp_path / "hash.faiss", tmp_path / "x.ssah")


def test_an_import_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    np.save(tmp_path / "codes.npy", CODES)
    append, calls = Store.append, []

    def cut_off(store, *given, **options):
        calls.append(options["name"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return append(store, *given, **options)

    monkeypatch.setattr(Store, "append", cut_off)
    with pytest.raises(KeyboardInterrupt):
        import_codes(tmp_path / "codes.npy", tmp_path / "s.ssah")
    assert Store.open(tmp_path / "s.ssah").snapshot().live == 21
    report = import_codes(tmp_path / "codes.npy", tmp_path / "s.ssah")
    assert (report.written, report.skipped) == (29, 21)
    assert everything(Store.open(tmp_path / "s.ssah"))[0] == CODES.tolist()


def test_ids_that_are_there_follow_the_policy(store, tmp_path):
    np.save(tmp_path / "codes.npy", CODES[:10])
    with pytest.raises(DuplicateIdError):
        import_codes(tmp_path / "codes.npy", store.path)
    report = import_codes(tmp_path / "codes.npy", store.path, on_duplicate="replace")
    assert (report.written, report.replaced) == (10, 8)


def test_what_is_no_source_is_told(tmp_path):
    np.save(tmp_path / "floats.npy", np.zeros((3, 8)))
    np.save(tmp_path / "codes.npy", CODES)
    (tmp_path / "short.txt").write_text("a\nb\n")
    (tmp_path / "junk.parquet").write_text("junk")
    (tmp_path / "junk.faiss").write_text("junk")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "no.parquet")
    target = tmp_path / "s.ssah"
    with pytest.raises(CodeError, match="dtype float64"):
        import_codes(tmp_path / "floats.npy", target)
    for name in ("junk.parquet", "junk.faiss", "absent.npy"):
        with pytest.raises(SourceError, match=f"{name} cannot be read"):
            import_codes(tmp_path / name, target)
    with pytest.raises(SourceError, match="no column code but id"):
        import_codes(tmp_path / "no.parquet", target)
    with pytest.raises(SourceError, match=r"2 ids in .*; expected 50"):
        import_codes(tmp_path / "codes.npy", target, ids=tmp_path / "short.txt")
    assert not target.exists()


def test_the_commands(tmp_path):
    np.save(tmp_path / "codes.npy", CODES)
    told = run_cli("import", tmp_path / "codes.npy", tmp_path / "s.ssah", "--modality", "text")
    assert "50 rows written" in told.stderr
    run_cli("delete", tmp_path / "s.ssah", 7)
    told = run_cli("export", tmp_path / "s.ssah", tmp_path / "out.csv", "--generation", 1)
    assert "out.csv: 50 rows" in told.stderr
    hit = run_cli("query", tmp_path / "s.ssah", "--code", CODES[9].tobytes().hex(), "-k", 1)
    assert json.loads(hit.stdout)["id"] == 9
