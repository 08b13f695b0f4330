"""Bits, signs and activations to packed codes and back, and codes to 64-bit words.

Bit j of a code is bit j % 8 of byte j // 8 (NumPy's bitorder "little"), so that eight
bytes read as a little-endian uint64 hold bits 0 to 63. +1 is 1, -1 is 0, sign(0) is +1.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes.check import as_codes, check_bitorder, check_bits, nearest_bits
from ssah_index.errors import CodeError
from ssah_index.types import BitOrder, Codes, Words


def pack(values: Any, *, bitorder: BitOrder = "little") -> Codes:
    """Pack one value a bit into codes.

    Parameters
    ----------
    values : bool, signed integer or float (n, bits), or (bits,) for one code
        Bits; signs in {-1, +1}; or real activations, of which the sign counts.
    bitorder : {"little", "big"}
        Where bit 0 lies in a byte; stores and searches take "little" unless told.

    Returns
    -------
    uint8 (n, bits / 8)

    Raises
    ------
    CodeError
        If the width is no multiple of 8, the dtype is unsigned (already packed, or
        0/1 integers: ambiguous), an integer is neither -1 nor +1, or a float is NaN.

    Examples
    --------
    >>> pack([[True, False, False, False, False, False, False, True]])
    array([[129]], dtype=uint8)
    """
    check_bitorder(bitorder)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise CodeError(
            f"values of type {type(values).__name__} make no array ({error})",
            "rows of equal width",
            "Give one value a bit in each row.",
        ) from error
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise CodeError(
            f"values have {array.ndim} axes, shape {array.shape}",
            "two: (n, bits)",
            "Reshape to one row a code.",
        )
    bits = array.shape[1]
    if bits % 8 or not bits:
        raise CodeError(
            f"rows of {bits} values do not fill bytes",
            "a multiple of 8",
            f"Train for {nearest_bits(bits)} bits, or pad every row to them alike.",
        )
    check_bits(bits)
    return np.packbits(_as_bits(array), axis=1, bitorder=bitorder)


def _as_bits(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Bool (n, bits) from bools, signs or activations."""
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            row, bit = np.argwhere(np.isnan(array))[0]
            raise CodeError(
                f"activation {bit} of row {row} is NaN",
                "real numbers",
                "Look for a diverged encoder or a damaged item.",
            )
        return array >= 0
    if array.dtype.kind == "i":
        wrong = np.abs(array) != 1
        if wrong.any():
            row, bit = np.argwhere(wrong)[0]
            raise CodeError(
                f"integer {array[row, bit]} at row {row}, bit {bit}",
                "signs, -1 or +1",
                "Convert 0/1 values with .astype(bool).",
            )
        return array > 0
    raise CodeError(
        f"values of dtype {array.dtype}",
        "bool bits, signed integers in {-1, +1}, or float activations",
        "Convert 0/1 values with .astype(bool); packed codes need no packing.",
    )


def unpack(
    codes: Any, to: Literal["bits", "signs"] = "bits", *, bitorder: BitOrder = "little"
) -> NDArray[Any]:
    """Undo `pack`.

    Parameters
    ----------
    codes : uint8 (n, nbytes)
    to : {"bits", "signs"}
        bool, or int8 in {-1, +1}.
    bitorder : {"little", "big"}
        Of the codes, as `pack` takes it.

    Returns
    -------
    bool or int8 (n, 8 * nbytes)
    """
    bits = np.unpackbits(as_codes(codes, bitorder=bitorder), axis=1, bitorder="little")
    if to == "bits":
        return bits.view(np.bool_)
    if to != "signs":
        raise CodeError(f"to is {to!r}", "'bits' or 'signs'", "Correct the spelling.")
    return (2 * bits.view(np.int8) - 1).astype(np.int8, copy=False)


def to_words(codes: Codes) -> Words:
    """View codes as 64-bit words; copies only what is no multiple of 8 bytes, in width or address.

    Parameters
    ----------
    codes : uint8 (n, nbytes), C-contiguous

    Returns
    -------
    uint64 (n, ceil(nbytes / 8))
        Little-endian; trailing bits of the last word are zero.
    """
    n, nbytes = codes.shape
    if nbytes % 8:
        padded = np.zeros((n, -(-nbytes // 8) * 8), np.uint8)
        padded[:, :nbytes] = codes
        codes = padded
    return np.require(codes.view("<u8"), requirements=["C", "A"])
