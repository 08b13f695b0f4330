"""Packing, layout and validation of codes; everything above trusts what leaves here."""

from ssah_index.codes.bitmap import allowed_rows, as_bitmap, complement
from ssah_index.codes.check import as_codes, check_bits, check_k_and_radius
from ssah_index.codes.pack import pack, to_words, unpack

__all__ = [
    "allowed_rows",
    "as_bitmap",
    "as_codes",
    "check_bits",
    "check_k_and_radius",
    "complement",
    "pack",
    "to_words",
    "unpack",
]
