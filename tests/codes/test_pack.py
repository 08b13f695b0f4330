import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssah_index.codes import pack, to_words, unpack
from ssah_index.errors import CodeError

widths = st.one_of(st.integers(1, 40), st.sampled_from([64, 512])).map(lambda nbytes: 8 * nbytes)
bits = widths.flatmap(lambda w: hnp.arrays(np.bool_, st.tuples(st.integers(0, 5), st.just(w))))


@given(bits)
def test_bits_signs_and_activations_pack_alike(values):
    codes = pack(values)
    assert codes.shape == (len(values), values.shape[1] // 8)
    np.testing.assert_array_equal(unpack(codes), values)
    signs = np.where(values, 1, -1).astype(np.int8)
    np.testing.assert_array_equal(pack(signs), codes)
    np.testing.assert_array_equal(unpack(codes, "signs"), signs)
    np.testing.assert_array_equal(pack(signs * 0.25), codes)


@given(bits)
def test_words_hold_the_bits_in_order_with_zeros_behind(values):
    words = to_words(pack(values))
    assert words.shape == (len(values), -(-values.shape[1] // 64))
    for row, own in zip(words.tolist(), values, strict=True):
        expected = sum(int(bit) << place for place, bit in enumerate(own))
        assert sum(word << (64 * i) for i, word in enumerate(row)) == expected


def test_bit_j_is_bit_j_mod_8_of_byte_j_div_8():
    for place in range(24):
        values = np.zeros((1, 24), bool)
        values[0, place] = True
        expected = np.zeros(3, np.uint8)
        expected[place // 8] = 1 << (place % 8)
        np.testing.assert_array_equal(pack(values)[0], expected)


def test_zero_is_plus_one():
    assert pack(np.array([[0.0, -0.0] * 4])).tolist() == [[255]]


def test_words_are_a_view_where_bytes_fill_them():
    codes = pack(np.ones((3, 128), bool))
    assert np.shares_memory(codes, to_words(codes))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((2, 12), bool), "12 values"),
        (np.zeros((2, 0), bool), "0 values"),
        (np.zeros((2, 4104), bool), "4104 bits"),
        (np.zeros((2, 2, 8), bool), r"3 axes, shape \(2, 2, 8\)"),
        (np.zeros((1, 8), np.uint8), "dtype uint8"),
        (np.array([[1, -1, 1, 1, 0, 1, 1, 1]]), "integer 0 at row 0, bit 4"),
        (np.array([[1.0] * 7 + [np.nan]]), "activation 7 of row 0 is NaN"),
        (np.array([["a"] * 8]), "dtype <U1"),
    ],
)
def test_what_cannot_be_packed_is_named(values, words):
    with pytest.raises(CodeError, match=words):
        pack(values)


def test_unpack_knows_two_targets():
    with pytest.raises(CodeError, match="to is 'sign'"):
        unpack(np.zeros((1, 8), np.uint8), "sign")
