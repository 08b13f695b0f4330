"""Validation at the public edge: what a caller hands in becomes uint8 (n, nbytes).

Relies on NumPy and the error tree.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes.whole import is_arrow
from ssah_index.errors import CodeError, InputError, QueryError
from ssah_index.types import MODALITIES, BitOrder, Codes, Modality

MIN_BITS = 8
MAX_BITS = 4096
DLPACK_CPU = 1
"""kDLCPU in dlpack.h."""


def check_bits(bits: int) -> int:
    """Return ``bits`` if codes may have that width.

    Raises
    ------
    CodeError
        If it is not a multiple of 8 from 8 to 4096.
    """
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)):
        raise CodeError(
            f"a code width of {bits!r} is not a whole number",
            f"a multiple of 8 from {MIN_BITS} to {MAX_BITS}",
            "Give the width in bits, for example 64.",
        )
    if bits % 8 or not MIN_BITS <= bits <= MAX_BITS:
        raise CodeError(
            f"codes of {bits} bits cannot be stored",
            f"a multiple of 8 from {MIN_BITS} to {MAX_BITS}",
            f"Use {nearest_bits(int(bits))} bits.",
        )
    return int(bits)


def nearest_bits(bits: int) -> int:
    """The least allowed width that holds ``bits`` bits."""
    return min(max(-(-bits // 8) * 8, MIN_BITS), MAX_BITS)


def check_modality(
    modality: Modality | None, error: type[InputError] = QueryError, *, any_of_them: bool = False
) -> None:
    """Refuse what is no modality; None, for both, is taken where ``any_of_them``.

    Raises
    ------
    InputError
        If it is none.
    """
    if modality is None and any_of_them:
        return
    if not isinstance(modality, str) or modality not in MODALITIES:
        expected = " or ".join(map(repr, (*MODALITIES, None) if any_of_them else MODALITIES))
        raise error(f"modality is {modality!r}", expected, "Correct the spelling.")


def check_bitorder(bitorder: BitOrder) -> None:
    """Refuse what is no order of bits in a byte.

    Raises
    ------
    CodeError
        If it is none.
    """
    if not isinstance(bitorder, str) or bitorder not in get_args(BitOrder):
        raise CodeError(
            f"bitorder is {bitorder!r}",
            "'little' (bit j of a code is bit j % 8 of byte j // 8) or 'big' (np.packbits' own)",
            "Correct the spelling.",
        )


def reverse_bits(codes: Codes) -> Codes:
    """Codes of one bit order in the other; a copy."""
    for shift, low in ((4, 0x0F), (2, 0x33), (1, 0x55)):  # swap halves, pairs, neighbours
        codes = (((codes >> shift) & low) | ((codes & low) << shift)).astype(np.uint8, copy=False)
    return codes


def as_codes(
    codes: Any, bits: int | None = None, what: str = "codes", *, bitorder: BitOrder = "little"
) -> Codes:
    """Return packed codes as a C-contiguous uint8 array.

    Parameters
    ----------
    codes : uint8 (n, nbytes), bool (n, bits), or Arrow FixedSizeBinary array or column
        Packed; bools are packed here. Anything that speaks DLPack on the CPU, such as a
        torch tensor, is taken as an array. One code may come without its first axis.
    bits : int, optional
        The width the codes must have.
    what : str
        How the message names them.
    bitorder : {"little", "big"}
        Where bit 0 lies in a packed byte: "little" at its low end, as in every store, "big" at
        its high end, as np.packbits packs unless told. It says nothing of bools.

    Returns
    -------
    uint8 (n, nbytes)
        In little bit order; a view where possible. Bools and big codes are copied.

    Raises
    ------
    CodeError
        If dtype, shape, width or bit order is wrong.
    """
    check_bitorder(bitorder)
    array = _from_arrow(codes) if is_arrow(codes) else _from_array(codes, what)
    packed_here = array.dtype == np.bool_
    if array.dtype == np.bool_ and array.ndim and array.shape[-1] % 8 == 0:
        array = np.packbits(array, axis=-1, bitorder="little")
    if array.dtype != np.uint8:
        raise CodeError(
            f"{what} have dtype {array.dtype}",
            "packed codes of dtype uint8, or bool bits, a multiple of 8 of them",
            "Turn signs or activations into codes with ssah_index.pack().",
        )
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise CodeError(
            f"{what} have {array.ndim} axes, shape {array.shape}",
            "two: (n, nbytes)",
            "Reshape to one row a code.",
        )
    width = 8 * array.shape[1]
    if bits is not None and width != bits:
        raise CodeError(
            f"{what} are {array.shape[1]} bytes ({width} bits) wide",
            f"{bits // 8} bytes ({bits} bits)",
            "Encode with the encoder and width that this store was built with.",
        )
    check_bits(width)
    if bitorder == "big" and not packed_here:
        return reverse_bits(array)
    return np.ascontiguousarray(array)


def _from_array(codes: Any, what: str) -> NDArray[Any]:
    """View an array, or a tensor that is on the CPU, as a NumPy array."""
    if isinstance(codes, np.ndarray) or not hasattr(codes, "__dlpack_device__"):
        try:
            return np.asarray(codes)
        except (ValueError, OverflowError, TypeError) as error:
            raise CodeError(
                f"{what} of type {type(codes).__name__} make no array ({error})",
                "rows of equal width",
                "Give a NumPy array, uint8 (n, nbytes) or bool (n, bits).",
            ) from error
    kind, number = codes.__dlpack_device__()
    if kind != DLPACK_CPU:
        raise CodeError(
            f"{what} lie on device {number} of DLPack type {int(kind)}",
            f"an array in main memory (type {DLPACK_CPU})",
            "Copy it there, with .cpu() in torch.",
        )
    return np.asarray(codes)


def check_k_and_radius(k: int | None, radius: int | None) -> None:
    """Refuse a search that has no bound, or one that makes no sense.

    Raises
    ------
    QueryError
        If both are absent, k is below 1 or radius is below 0.
    """
    for name, value in (("k", k), ("radius", radius)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer, type(None))):
            raise QueryError(
                f"{name} is {value!r}", "a whole number", "Give a whole number or leave it out."
            )
    if k is None and radius is None:
        raise QueryError("neither k nor radius is given", "one of them", "Pass k=10, say.")
    if k is not None and k < 1:
        raise QueryError(f"k is {k}", "1 or more", "Ask for at least one hit.")
    if radius is not None and radius < 0:
        raise QueryError(f"radius is {radius} bits", "0 or more", "0 finds equal codes only.")


def _from_arrow(array: Any) -> Codes:
    """View an Arrow FixedSizeBinary array, or column, without nulls as uint8 (n, nbytes)."""
    import pyarrow as pa

    try:
        if hasattr(array, "__arrow_c_stream__"):
            array = pa.chunked_array(array).combine_chunks()
        values = pa.array(array)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise CodeError(
            f"codes of type {type(array).__name__} make no Arrow array ({error})",
            "fixed_size_binary without nulls",
            "Give a NumPy array, uint8 (n, nbytes) or bool (n, bits).",
        ) from error
    if not pa.types.is_fixed_size_binary(values.type) or values.null_count:
        raise CodeError(
            f"an Arrow array of type {values.type} with {values.null_count} nulls",
            "fixed_size_binary without nulls",
            "Cast it, and drop the nulls.",
        )
    width = values.type.byte_width
    if not len(values):
        return np.empty((0, width), np.uint8)
    data = values.buffers()[1]
    first = values.offset * width
    flat = np.frombuffer(data, np.uint8, count=len(values) * width, offset=first)
    return flat.reshape(len(values), width)
