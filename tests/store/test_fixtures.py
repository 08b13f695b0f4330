"""What earlier releases wrote opens for ever: the folder of a format version is never made anew."""

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
