import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssah_index.codes import allowed_rows, as_bitmap, complement
from ssah_index.errors import QueryError


def flags_of(bitmap, n):
    """Bool (n,), after a look at what lies behind row n - 1."""
    bits = np.unpackbits(bitmap.view(np.uint8), bitorder="little").astype(bool)
    assert not bits[n:].any()
    assert len(bits) >= 64 * (-(-n // 64)) + 64
    return bits[:n]


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 20))
def test_every_way_to_choose_rows_gives_the_same_bitmap(flags, offset):
    n = len(flags)
    expected = np.array(flags, bool)
    longer = pa.array([True] * offset + flags + [True] * 3, pa.bool_())
    for rows in (
        expected,
        flags if n else expected,
        pa.array(flags, pa.bool_()),
        longer.slice(offset, n),
        pa.chunked_array([longer.slice(offset, n // 2), longer.slice(offset + n // 2, n - n // 2)]),
        np.flatnonzero(expected)[::-1],
        pa.array(np.flatnonzero(expected)),
    ):
        np.testing.assert_array_equal(flags_of(as_bitmap(rows, n), n), expected)


@given(st.integers(0, 200), st.integers(0, 9), st.booleans(), st.booleans())
def test_deleted_rows_are_taken_from_those_chosen(n, seed, choose, delete):
    where, deleted = np.random.default_rng(seed).random((2, n)) < 0.5
    allowed = allowed_rows(
        where if choose else None, complement(as_bitmap(deleted, n), n) if delete else None, n
    )
    expected = (where if choose else np.ones(n, bool)) & ~(deleted & delete)
    if allowed is None:
        assert not choose
        assert not delete
    else:
        np.testing.assert_array_equal(flags_of(allowed, n), expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(9, bool), "9 flags meets 10 rows"),
        (pa.array([True] * 11), "11 flags meets 10 rows"),
        ([0, 10], "rows 0 to 10 are asked for; expected rows from 0 to 9"),
        ([-1], "rows -1 to -1"),
        (np.ones(10, np.uint8), "uint8 of shape .*from_buffers"),
        (np.ones((10, 1), bool), r"bool of shape \(10, 1\)"),
        ([0.5], "float64"),
        (pa.array([True, None] * 5), "type bool with 5 nulls"),
        (pa.array(["a"] * 10), "type string"),
    ],
)
def test_other_choices_are_refused_with_their_values(rows, message):
    with pytest.raises(QueryError, match=message):
        as_bitmap(rows, 10)


def test_no_row_may_be_chosen():
    assert not flags_of(as_bitmap([], 10), 10).any()
