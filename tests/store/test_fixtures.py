"""What earlier releases wrote opens for ever: the folder of a format version is never made anew."""

import datetime
import shutil
from pathlib import Path

import numpy as np
import pytest

import ssah_index
from ssah_index.store import Store, compact, verify
from ssah_index.types import Failure

FIXTURE = Path(__file__).parent.parent / "fixtures" / "format-1.ssah"
NEAREST = {
    None: (["a-9", "a-14", "c-4", "a-12", "a-15"], [2, 2, 2, 3, 3], [8, 13, 32, 11, 14]),
    "begun": (["a-9", "a-14", "a-12", "a-15", "b-6"], [2, 2, 3, 3, 3], [9, 14, 12, 15, 26]),
}
NUMBERED = ([9, 1, 1, 5, 5], [12, 13, 14, 14, 14], [9, 13, 1, 5, 17])


@pytest.mark.parametrize("generation", NEAREST)
def test_a_store_of_format_1_answers_as_it_did(generation):
    found = ssah_index.open(FIXTURE, generation).search(np.zeros(8, np.uint8), k=5)
    assert (found.ids.tolist(), found.distances.tolist(), found.rows.tolist()) == (
        NEAREST[generation]
    )


def test_all_of_it_is_read(tmp_path):
    store = Store.open(FIXTURE)
    assert verify(store) == []
    snapshot = store.snapshot()
    assert (len(snapshot), snapshot.live) == (38, 37)
    assert [manifest.operation for manifest in store.history()] == [
        "delete", "compact", "delete", "tag", "append", "append", "append",
    ]  # fmt: skip
    assert snapshot.failures() == [
        Failure(id="broken", source="broken.png", modality="image", reason="it is cut short")
    ]
    row = snapshot.take(snapshot.find(["c-4"]), ["text", "labels", "source", "modality"])
    assert row.to_pylist() == [
        {"text": "text 4", "labels": ["a", "b4"], "source": "c-4.txt", "modality": "text"}
    ]
    copy = Store.open(shutil.copytree(FIXTURE, tmp_path / "copy"))
    assert compact(copy).dropped == 1
    assert verify(copy) == []


def test_a_store_of_format_1_with_int64_ids_and_columns_answers_as_it_did(tmp_path):
    path = FIXTURE.with_name("format-1-columns.ssah")
    found = ssah_index.open(path).search(np.zeros(16, np.uint8), k=5)
    assert (found.ids.tolist(), found.distances.tolist(), found.rows.tolist()) == NUMBERED
    store = Store.open(path)
    assert verify(store) == []
    assert (store.snapshot().live, store.snapshot("replaced").live) == (19, 20)
    snapshot = store.snapshot()
    rows = snapshot.find([2, -7, 0], "image")
    taken = snapshot.take(rows, ["id", "price", "kind", "day", "tags"]).to_pylist()
    assert [tuple(row.values()) for row in taken] == [
        (0, 0.0, "x", None, None),
        (2, 9.0, None, datetime.date(2026, 1, 1), ["a"]),
        (-7, None, None, datetime.date(2026, 1, 4), ["b", "c"]),
    ]
    copy = Store.open(shutil.copytree(path, tmp_path / "copy"))
    assert compact(copy).dropped == 3
    assert verify(copy) == []
