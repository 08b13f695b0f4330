"""Encoding with any encoder: one bad item costs one item, a wrong answer is refused.

Encoders report bad items and do not raise for them; those of other packages may do so all
the same. Relies on the Protocols of encoders alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import EncoderError, ItemError, SsahError
from ssah_index.types import Codes, Encoder, Modality, RealEncoder

Failed: TypeAlias = list[tuple[int, str]]
"""Positions in a batch, ascending, and reasons."""
_Answer: TypeAlias = tuple[NDArray[Any], Failed]


def encode_items(
    encoder: Encoder, modality: Modality, values: Sequence[Any]
) -> tuple[Codes, Failed]:
    """Encode a batch; if the encoder raises, encode it item by item.

    Parameters
    ----------
    encoder : Encoder
    modality : {"image", "text"}
    values : sequence of Path or str

    Returns
    -------
    codes : uint8 (len(values) - len(failed), nbytes)
        In the order of the batch, failed items left out.
    failed : list of (int, str)
        Positions, ascending, and reasons: the encoder's own, or what it raised for the item.

    Raises
    ------
    EncoderError
        If the encoder's answer has another number, width or type of codes.
    SsahError
        Whatever of ours it raises that is no ItemError.
    """

    def encode(batch: Sequence[Any]) -> Any:
        return encoder.encode(modality, batch)

    return _guarded(encode, values, (np.dtype(np.uint8), encoder.bits // 8), encoder.fingerprint)


def activate_items(
    encoder: RealEncoder, modality: Modality, values: Sequence[Any]
) -> tuple[NDArray[np.float32], Failed]:
    """Activations of a batch, float32 (n, bits); the rest as `encode_items`."""

    def encode(batch: Sequence[Any]) -> Any:
        return encoder.activations(modality, batch)

    return _guarded(encode, values, (np.dtype(np.float32), encoder.bits), encoder.fingerprint)


def _guarded(
    encode: Callable[[Sequence[Any]], Any],
    values: Sequence[Any],
    kind: tuple[np.dtype[Any], int],
    name: str,
) -> _Answer:
    """Call an encoder's method; ``kind`` is the type and width of a row of its answer."""
    try:
        answer = encode(values)
    except Exception as error:
        if isinstance(error, SsahError) and not isinstance(error, ItemError):
            raise
        if len(values) == 1:
            return np.empty((0, kind[1]), kind[0]), [(0, reason_of(error))]
    else:
        return _checked(answer, len(values), kind, name)
    parts, failed = [np.empty((0, kind[1]), kind[0])], []
    for position, value in enumerate(values):
        part, reasons = _guarded(encode, [value], kind, name)
        parts.append(part)
        failed += [(position, reason) for _, reason in reasons]
    return np.concatenate(parts), failed


def reason_of(error: Exception) -> str:
    """Why an item failed, for the ledger: what was raised, and its message."""
    message = str(error)
    if isinstance(error, ItemError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _checked(answer: Any, n: int, kind: tuple[np.dtype[Any], int], name: str) -> _Answer:
    """What an encoder returned for n items, if it is what the Protocol says."""
    dtype, width = kind
    try:
        rows, failed = answer
        reasons = {int(position): str(reason) for position, reason in failed}
        shape, found = rows.shape, rows.dtype
    except (TypeError, ValueError, AttributeError) as error:
        raise EncoderError(
            f"encoder {name} returned what is no answer ({error})",
            "an array, and a list of positions and reasons",
            "Correct the encoder.",
        ) from error
    if len(reasons) != len(failed) or any(not 0 <= place < n for place in reasons):
        raise EncoderError(
            f"encoder {name} named failed positions {[place for place, _ in failed][:5]}",
            f"positions from 0 to {n - 1}, each once",
            "Correct the encoder.",
        )
    if shape != (n - len(reasons), width) or found != dtype:
        raise EncoderError(
            f"encoder {name} returned {found} of shape {shape} for {n} items, of which "
            f"{len(reasons)} failed",
            f"{dtype} of shape {(n - len(reasons), width)}",
            "Correct the encoder.",
        )
    return np.ascontiguousarray(rows), sorted(reasons.items())
