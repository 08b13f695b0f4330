"""From what a user typed or piped to query codes; a query that fails costs itself alone."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssah_index.codes import as_codes
from ssah_index.encoding import encode_items
from ssah_index.errors import CodeError
from ssah_index.types import BitOrder, Codes, Encoder, Modality

Kind = Literal["text", "image", "code"]
SHOWN_CHARACTERS = 200
_HEX = re.compile("[0-9a-fA-F]*")


def parse_codes(
    values: Sequence[str], bits: int, bitorder: BitOrder = "little"
) -> tuple[Codes, dict[int, str]]:
    """Packed codes of hexadecimal texts, each byte in the given bit order.

    Returns
    -------
    codes : uint8 (len(values) - len(errors), bits / 8)
        In the order of the values, those that fail left out.
    errors : dict of int to str
        By position.
    """
    codes: list[Codes] = [np.empty((0, bits // 8), np.uint8)]
    errors: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            codes.append(_parse_code(value, bits, bitorder))
        except CodeError as error:
            errors[position] = str(error)
    return np.concatenate(codes), errors


def _parse_code(value: str, bits: int, bitorder: BitOrder) -> Codes:
    digits = f"{bits // 4} digits"
    if not _HEX.fullmatch(value):
        raise CodeError(
            f"code {shown(value)} is not hexadecimal",
            f"{digits} 0-9 and a-f, nothing before, between or behind them",
            "Byte 0 comes first.",
        )
    if not value or len(value) % 2:
        raise CodeError(
            f"code {shown(value)} has {len(value)} digits",
            f"{digits}, two for each byte",
            "Byte 0 comes first.",
        )
    code = np.frombuffer(bytes.fromhex(value), np.uint8)
    return as_codes(code, bits, what="query codes", bitorder=bitorder)


def encode(
    encoder: Encoder, modality: Modality, values: Sequence[str]
) -> tuple[Codes, dict[int, str]]:
    """Codes of texts, or of image files; the rest as `parse_codes`.

    Raises
    ------
    EncoderError
        If the encoder answers wrongly.
    """
    check = _image_error if modality == "image" else _text_error
    found = {position: check(value) for position, value in enumerate(values)}
    errors = {position: error for position, error in found.items() if error is not None}
    rest = [position for position in range(len(values)) if position not in errors]
    batch = as_items(modality, [values[position] for position in rest])
    codes, failures = encode_items(encoder, modality, batch)
    return codes, errors | {rest[position]: reason for position, reason in failures}


def as_items(modality: Modality, values: Sequence[str]) -> list[Any]:
    """What encoders take: paths of images, or texts."""
    return [Path(value) for value in values] if modality == "image" else list(values)


def _text_error(value: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return (
            f"text {shown(value)} is no Unicode at character {error.start}; expected UTF-8. "
            "Convert it, with iconv say."
        )
    return None


def _image_error(value: str) -> str | None:
    """What is no file is not handed to a decoder, which would wait for a FIFO for ever."""
    try:
        if stat.S_ISREG(Path(value).stat().st_mode):
            return None
        reason = "it is no file"
    except FileNotFoundError:
        reason = "no such file"
    except (OSError, ValueError) as error:  # ValueError: a NUL byte
        reason = getattr(error, "strerror", None) or str(error)
    return (
        f"image {shown(value)} cannot be read ({reason}); expected an image file. Correct the path."
    )


def shown(value: str) -> str:
    """A value as an error quotes it: in a line, and not too long."""
    if len(value) <= SHOWN_CHARACTERS:
        return repr(value)
    return f"{value[:SHOWN_CHARACTERS]!r}... ({len(value):,} characters)"
