"""What rows were made of, and which failed: kept beside the rows, through every rewriting."""

from dataclasses import replace

import numpy as np
import pytest

from ssah_index.ingest import build, open_reader
from ssah_index.store import ORIGIN_FIELDS, Store, compact, repair, stage_segment, verify
from ssah_index.store import shard as shard_module
from ssah_index.store.columns import items_table
from ssah_index.types import Failure
from tests.commands import run_cli
from tests.conftest import HashEncoder, append, items_for, random_codes
from tests.store.test_bucket import server, url  # noqa: F401 (fixtures)


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, monkeypatch):
    """Images of known origin, of unknown, and of known, in chunks of 32 rows."""
    monkeypatch.setattr(shard_module, "CHUNK_BYTES", 256)
    path = tmp_path / "s.ssah" if request.param == "folder" else request.getfixturevalue("url")
    made = Store.create(path, bits=64)
    for number in range(3):
        if number == 1:
            append(made, "s1", random_codes(1, 50, 64))
        else:
            made.commit([staged(made, number)])
    return made


def staged(store, number, failures=(), rows=50):
    codes = random_codes(number, rows, 64)
    table = items_table(items_for(codes, f"s{number}-"), "image")
    return stage_segment(
        store.place, f"s{number}", "image", codes, table, failures, origins=origins(number, rows)
    )


def origins(number, rows=50):
    numbers = np.arange(rows * ORIGIN_FIELDS, dtype=np.uint64) + 1000 * (number + 1)
    return numbers.reshape(rows, ORIGIN_FIELDS)


def of(store, *ids):
    snapshot = store.snapshot()
    return snapshot.origins(snapshot.find(list(ids), "image")).tolist()


def test_origins_are_given_back(store):
    assert of(store, "s0-3", "s1-3", "s2-49") == [
        origins(0)[3].tolist(), [0, 0, 0], origins(2)[49].tolist()
    ]  # fmt: skip
    assert verify(store) == []


def test_compaction_keeps_them_and_leaves_the_unknown_unknown(store):
    store.delete(["s0-0", "s2-7"])
    report = compact(store)
    assert (report.segments_after, report.dropped) == (1, 2)
    assert of(store, "s0-3", "s1-3", "s2-8") == [
        origins(0)[3].tolist(), [0, 0, 0], origins(2)[8].tolist()
    ]  # fmt: skip
    assert verify(store) == []


def test_compaction_of_unknown_rows_writes_no_zeros(make_store):
    store = make_store(random_codes(1, 5, 64), random_codes(2, 5, 64))
    compact(store)
    assert "origin.u64" not in store.newest().segments[0].sizes


def spoil(store, number, name, place):
    folder = f"segments/{store.newest().segments[number].folder}"
    content = bytearray(store.place.read(f"{folder}/{name}"))
    content[place] ^= 1
    store.place.remove([f"{folder}/{name}"])
    path = store.path / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    store.place.keep([f"{folder}/{name}"])


def test_repair_keeps_them_with_the_rows_that_are_whole(store):
    spoil(store, 0, "codes/c/0/0", 0)
    assert repair(store).rows_lost == {"s0": 32}
    assert of(store, "s0-3", "s0-40") == [origins(0)[40].tolist()]
    assert verify(store) == []


def test_repair_of_origins_forgets_them_and_no_row(store):
    spoil(store, 2, "origin.u64", 9)
    assert [damage.file.rpartition("/")[2] for damage in verify(store)] == ["origin.u64"]
    assert repair(store).rows_lost == {}
    store = Store.open(store.place.root if "://" not in str(store.place) else str(store.place))
    assert store.snapshot().live == 150
    assert of(store, "s2-3", "s0-3") == [origins(0)[3].tolist(), [0, 0, 0]]
    assert verify(store) == []


def test_origins_of_another_width_are_unknown(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    codes = random_codes(0, 5, 64)
    table = items_table(items_for(codes, "s0-"), "image")
    wide = np.ones((5, ORIGIN_FIELDS + 1), np.uint64)
    store.commit([stage_segment(store.place, "s0", "image", codes, table, origins=wide)])
    assert of(store, "s0-3") == [[0, 0, 0]]


def test_the_ledger_is_a_log(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)

    def failure(key, reason, modality="image"):
        return Failure(id=key, source=key, modality=modality, reason=reason)

    def write(*records):
        number = store.newest().generation
        store.commit([staged(store, number, records, rows=number % 2)])

    def standing():
        return [(f.id, f.modality, f.reason) for f in store.snapshot().failures()]

    write(failure("a", "first"), failure("b", "first"), failure("a", "first", "text"))
    write(failure("a", "second"))
    assert standing() == [
        ("a", "image", "second"), ("b", "image", "first"), ("a", "text", "first")
    ]  # fmt: skip
    write(failure("a", ""), failure("c", ""))
    assert standing() == [("b", "image", "first"), ("a", "text", "first")]
    append(store, "other", random_codes(9, 3, 64), "text")
    write(failure("a", "third"))
    expected = [("a", "image", "third"), ("b", "image", "first"), ("a", "text", "first")]
    assert standing() == expected
    compact(store)
    assert standing() == expected
    write(failure("a", ""), failure("b", ""), failure("a", "", "text"))
    compact(store)
    assert standing() == []
    told = run_cli("info", store.path)
    assert '"failed": 0' in told.stdout
    assert run_cli("info", store.path, "--failures").stdout == ""


def test_a_repaired_row_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_module, "CHUNK_BYTES", 256)
    (tmp_path / "t.jsonl").write_text("\n".join(f'{{"text": "t {n}"}}' for n in range(50)))
    store = tmp_path / "s.ssah"
    build(open_reader(tmp_path / "t.jsonl"), store, HashEncoder())
    spoil(Store.open(store), 0, "codes/c/0/0", 0)
    repair(Store.open(store))
    assert len(Store.open(store).snapshot().failures()) == 32
    report = build(open_reader(tmp_path / "t.jsonl"), store, HashEncoder())
    assert (report.written, report.skipped, report.failed, report.mended) == (32, 18, 0, 32)
    assert Store.open(store).snapshot().failures() == []


def test_info_names_a_damaged_index(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n".join(f'{{"text": "t {n}"}}' for n in range(50)))
    path = tmp_path / "s.ssah"
    build(open_reader(tmp_path / "t.jsonl"), path, HashEncoder())
    entry = index_of(path)
    about = path / "indexes" / entry.folder / "index.json"
    content = about.read_bytes()
    about.write_bytes(content.replace(b"shape", b"shale"))
    assert '"fault"' in run_cli("info", path).stdout
    about.unlink()
    assert '"fault"' in run_cli("info", path).stdout


def index_of(path):
    """Publish an index, which must not be used."""
    from ssah_index.store import IndexDraft, IndexWork

    store = Store.open(path)
    segments = [entry.folder for entry in store.newest().segments]
    work = IndexWork(kind="mih", modality="text", segments=segments, shape={"m": 1, "b": 8},
                     arrays={"x": "<u4"})  # fmt: skip
    with IndexDraft(store.place, work) as draft:
        draft.append("x", np.arange(4, dtype="<u4"))
        entry = draft.finish({})
    store.change(lambda current: replace(current.following("index"), indexes=(entry,)))
    return entry
