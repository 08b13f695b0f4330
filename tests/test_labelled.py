"""Codes with labels, out of a store."""

import numpy as np

from ssah_index.labelled import column, pairs, stored
from ssah_index.store import Store
from tests.conftest import random_codes


def test_deleted_rows_are_not_judged(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    codes = random_codes(1, 4, 64)
    rows = {"id": list("abcd"), "labels": [["x"], ["y"], ["z"], []]}
    store.append(codes, rows)
    store.append(codes[:3], {"id": list("abc")}, "text")
    store.delete(["b"], "image")
    store.delete(["c"], "text")
    snapshot = store.snapshot()
    own = stored(snapshot, "image", trained_on={"a"})
    np.testing.assert_array_equal(own.codes, codes[[0, 2, 3]])
    assert own.labels == [("x",), ("z",), ()]
    assert own.seen.tolist() == [True, False, False]
    assert column(snapshot, "text", "id") == ["a", "b"]
    assert pairs(snapshot).tolist() == [[0, 0]]
