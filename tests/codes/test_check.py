import numpy as np
import pyarrow as pa
import pytest
import torch

from ssah_index.codes import as_codes, check_bits, check_k_and_radius, to_words
from ssah_index.errors import CodeError, QueryError


@pytest.mark.parametrize("bits", [8, 64, 72, 4096])
def test_allowed_widths(bits):
    assert check_bits(bits) == bits


@pytest.mark.parametrize(
    ("bits", "advice"),
    [(0, "8 bits"), (12, "16 bits"), (-8, "8 bits"), (4104, "4096 bits"), (8.0, "in bits")],
)
def test_other_widths_are_refused_with_the_nearest(bits, advice):
    with pytest.raises(CodeError, match=advice):
        check_bits(bits)


def test_wrong_width_says_both_in_bytes_and_bits():
    with pytest.raises(CodeError, match=r"16 bytes \(128 bits\) wide; expected 8 bytes \(64 bits"):
        as_codes(np.zeros((3, 16), np.uint8), 64)


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 8), np.float32), np.zeros((3, 9), bool), np.zeros((1, 1, 8), np.uint8)]
)
def test_what_is_no_code_is_refused(codes):
    with pytest.raises(CodeError):
        as_codes(codes)


def test_one_code_may_come_without_its_first_axis():
    assert as_codes(np.zeros(8, np.uint8)).shape == (1, 8)


def test_bools_are_packed_low_bit_first():
    bits = np.zeros((2, 16), bool)
    bits[0, 0] = bits[1, 9] = True
    np.testing.assert_array_equal(as_codes(bits), [[1, 0], [0, 2]])
    np.testing.assert_array_equal(as_codes(bits[1]), [[0, 2]])


class OnDevice:
    """An array that says it lies on a GPU, as a tensor would."""

    def __dlpack_device__(self):
        return 2, 0


def test_tensors_are_viewed_where_they_are_in_main_memory():
    tensor = torch.arange(32, dtype=torch.uint8).reshape(4, 8)
    viewed = as_codes(tensor)
    np.testing.assert_array_equal(viewed, tensor.numpy())
    tensor[0, 0] = 9
    assert viewed[0, 0] == 9
    with pytest.raises(CodeError, match=r"on device 0 of DLPack type 2.*\.cpu\(\)"):
        as_codes(OnDevice())


@pytest.mark.parametrize("shift", range(8))
def test_words_of_codes_at_any_address_are_aligned(shift):
    raw = np.arange(100, dtype=np.uint8)
    codes = raw[shift : shift + 64].reshape(4, 16)
    words = to_words(codes)
    assert words.flags.aligned
    np.testing.assert_array_equal(words.view(np.uint8), codes)


def test_arrow_codes_are_viewed_slices_too():
    rows = [bytes(range(i, i + 8)) for i in range(5)]
    array = pa.array(rows, pa.binary(8))
    np.testing.assert_array_equal(as_codes(array.slice(2)), [list(row) for row in rows[2:]])
    column = pa.chunked_array([array.slice(0, 2), array.slice(2)])
    np.testing.assert_array_equal(as_codes(column), [list(row) for row in rows])
    with pytest.raises(CodeError, match="1 nulls"):
        as_codes(pa.array([b"12345678", None], pa.binary(8)))


@pytest.mark.parametrize(
    ("k", "radius"), [(None, None), (0, None), (None, -1), (2.0, None), (True, None)]
)
def test_unbounded_or_senseless_searches_are_refused(k, radius):
    with pytest.raises(QueryError):
        check_k_and_radius(k, radius)
