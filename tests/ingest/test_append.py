"""Several sources in one store."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssah_index.errors import DuplicateIdError, EncoderError, SourceError, SpecError
from ssah_index.ingest import BuildSpec, append, build, open_reader
from ssah_index.store import Store, verify
from tests.conftest import HashEncoder
from tests.ingest.test_build import contents

SPEC = BuildSpec(share_rows=4, batch_rows=3)


class Counting(HashEncoder):
    """Counts what it encodes."""

    encoded = 0

    def encode(self, modality, batch):
        self.encoded += len(batch)
        return super().encode(modality, batch)


def table(folder, name, texts):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in texts.items()))
    return open_reader(path)


@pytest.fixture
def store(tmp_path):
    """Ten texts, t0 to t9."""
    path = tmp_path / "s.ssah"
    build(
        table(tmp_path, "a", {f"t{i}": f"text {i}" for i in range(10)}), path, HashEncoder(),
        spec=SPEC,
    )  # fmt: skip
    return Store.open(path)


def texts_of(store):
    snapshot = store.snapshot()
    rows = snapshot.find([f"t{i}" for i in range(99)])
    columns = snapshot.take(rows, ["id", "text"]).to_pydict()
    return dict(zip(columns["id"], columns["text"], strict=True))


def test_a_second_source_is_added(store, tmp_path):
    more = table(tmp_path, "b", {f"t{i}": f"more {i}" for i in range(10, 25)})
    report = append(more, store, HashEncoder(), spec=SPEC)
    assert (report.written, report.skipped, report.replaced, report.failed) == (15, 0, 0, 0)
    assert len(contents(store.path)) == 25
    again = append(more, store, HashEncoder(), spec=SPEC)
    assert (again.written, again.skipped) == (0, 15)
    assert store.snapshot().live == 25


def test_skip_encodes_what_is_new_alone(store, tmp_path):
    encoder = Counting()
    more = table(tmp_path, "b", {f"t{i}": f"more {i}" for i in range(5, 15)})
    report = append(more, store, encoder, on_duplicate="skip", spec=SPEC)
    assert (report.written, report.skipped, encoder.encoded) == (5, 5, 5)
    assert texts_of(store)["t7"] == "text 7"
    assert texts_of(store)["t12"] == "more 12"
    report = append(
        table(tmp_path, "c", {"t3": "x"}), store, encoder, on_duplicate="skip", spec=SPEC
    )
    assert (report.written, report.skipped) == (0, 1)


def test_replace_takes_the_place_of_what_is_there(store, tmp_path):
    more = table(tmp_path, "b", {f"t{i}": f"more {i}" for i in range(5, 15)})
    report = append(more, store, HashEncoder(), on_duplicate="replace", spec=SPEC)
    assert (report.written, report.replaced) == (10, 5)
    texts = texts_of(store)
    assert [texts[f"t{i}"] for i in (4, 5, 14)] == ["text 4", "more 5", "more 14"]
    assert store.snapshot().live == 15
    assert verify(store) == []


def test_error_stops_before_anything_is_encoded(store, tmp_path):
    encoder = Counting()
    more = table(tmp_path, "b", {f"t{i}": "x" for i in (50, 51, 52, 53, 54, 3)})
    with pytest.raises(DuplicateIdError, match="1 ids are in the store already: 't3'"):
        append(more, store, encoder, spec=SPEC)
    assert encoder.encoded == 0
    assert store.snapshot().live == 10


def test_failures_are_kept_and_counted(store, tmp_path):
    more = table(tmp_path, "b", {"t20": "x", "t21": "", "t22": 7})
    report = append(more, store, HashEncoder(), spec=SPEC)
    assert (report.written, report.failed) == (1, 2)
    assert {failure.id for failure in store.snapshot().failures()} == {"t21", "t22"}
    with pytest.raises(SourceError, match="none of the 1 rows"):
        append(table(tmp_path, "c", {"t30": ""}), store, HashEncoder(), spec=SPEC)


def test_what_does_not_fit_is_refused(store, tmp_path):
    more = table(tmp_path, "b", {"t20": "x"})
    with pytest.raises(EncoderError, match="hash-64-salt"):
        append(more, store, HashEncoder(salt="salt"))
    numbered = Store.create(
        tmp_path / "n.ssah", bits=64, ids="int64", fingerprint=HashEncoder().fingerprint
    )
    with pytest.raises(SpecError, match="int64"):
        append(more, numbered, HashEncoder())


def test_columns_of_tables_come_along(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [{"id": f"t{i}", "text": f"x {i}", "n": i, "none": None} for i in range(10)]
    lines[6]["n"] = None
    path.write_text("\n".join(map(json.dumps, lines)))
    build(open_reader(path), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    store = Store.open(tmp_path / "s.ssah")
    day = datetime.date(2026, 1, 2)
    table = {"id": ["t20"], "text": ["y"], "n": [7], "day": [day], "tags": [["a"]]}
    pq.write_table(pa.table(table), tmp_path / "b.parquet")
    append(open_reader(tmp_path / "b.parquet"), store, HashEncoder(), spec=SPEC)
    snapshot = store.snapshot()
    assert snapshot.schema.names[5:] == ["n", "day", "tags"]
    assert snapshot.schema.field("day").type == pa.date32()
    taken = snapshot.take(snapshot.find(["t3", "t6", "t20"]), ["n", "day", "tags"]).to_pydict()
    assert taken == {"n": [3, None, 7], "day": [None, None, day], "tags": [None, None, ["a"]]}


def test_columns_of_several_types_or_reserved_names_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n')
    with pytest.raises(SourceError, match=r"column .n. of .* has values of several types"):
        build(open_reader(path), tmp_path / "s.ssah", HashEncoder())
    path.write_text('{"text": "a", "distance": 1}\n')
    with pytest.raises(SourceError, match="has column 'distance', and a store uses that name"):
        open_reader(path)
