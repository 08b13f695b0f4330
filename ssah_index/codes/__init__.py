"""Packing, layout and validation of codes; everything above trusts what leaves here."""

from ssah_index.codes.bitmap import allowed_rows, as_bitmap, complement
from ssah_index.codes.check import (
    as_codes,
    check_bitorder,
    check_bits,
    check_k_and_radius,
    check_modality,
    reverse_bits,
)
from ssah_index.codes.pack import pack, to_words, unpack
from ssah_index.codes.whole import as_int64

__all__ = [
    "allowed_rows",
    "as_bitmap",
    "as_codes",
    "as_int64",
    "check_bitorder",
    "check_bits",
    "check_k_and_radius",
    "check_modality",
    "complement",
    "pack",
    "reverse_bits",
    "to_words",
    "unpack",
]
