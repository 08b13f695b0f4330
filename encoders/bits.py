"""How well codes use their bits, and how far the two modalities lie apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes import as_codes, unpack
from ssah_index.errors import InputError
from ssah_index.types import Codes

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class BitReport:
    """Statistics of the bits of one set of codes."""

    balance: Floats
    """(bits,) share of ones; 0.5 is best."""
    entropy: Floats
    """(bits,) bits of information, 0 to 1."""
    constant: int
    """Bits that are the same in every code."""
    correlation: float
    """Mean absolute correlation over pairs of bits that vary, 0 to 1; NaN below two."""
    distinct: int
    """Number of different codes."""


def bit_report(codes: Codes) -> BitReport:
    """Measure balance, entropy, redundancy and distinctness.

    Parameters
    ----------
    codes : uint8 (n, nbytes)
        At least one.

    Notes
    -----
    Peak memory is 9 bytes a bit: float64 of the unpacked codes.
    """
    codes = as_codes(codes)
    _refuse_empty(codes)
    signs = unpack(codes, "signs").astype(np.float64)
    balance = (signs.mean(axis=0) + 1) / 2
    varies = (balance > 0) & (balance < 1)
    return BitReport(
        balance=balance,
        entropy=_entropy(balance),
        constant=int((~varies).sum()),
        correlation=_mean_correlation(signs[:, varies]),
        distinct=len(np.unique(codes, axis=0)),
    )


def _entropy(share: Floats) -> Floats:
    """Of a coin, in bits; 0 log 0 is 0."""
    inner = np.clip(share, 1e-300, 1)
    other = np.clip(1 - share, 1e-300, 1)
    return np.asarray(-share * np.log2(inner) - (1 - share) * np.log2(other))


def _mean_correlation(signs: Floats) -> float:
    bits = signs.shape[1]
    if bits < 2:
        return float("nan")
    centred = signs - signs.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=0))
    matrix = np.abs(centred.T @ centred)
    return float((matrix.sum() - np.trace(matrix)) / (bits * (bits - 1)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ModalityGap:
    """Mean Hamming distances between image and text codes, in bits."""

    paired: float
    """Of an image and its own text."""
    unpaired: float
    """Of an image and the text of another item, over all such pairs; NaN for one item."""

    @property
    def gap(self) -> float:
        """How much nearer partners are, in bits; about 0 means nothing is shared."""
        return self.unpaired - self.paired


def modality_gap(image_codes: Codes, text_codes: Codes) -> ModalityGap:
    """Distance of partners against that of strangers, exactly and without sampling.

    Parameters
    ----------
    image_codes, text_codes : uint8 (n, nbytes)
        Row i of both is one item.
    """
    images = as_codes(image_codes, what="image codes")
    texts = as_codes(text_codes, 8 * images.shape[1], "text codes")
    if len(images) != len(texts):
        raise InputError(
            f"{len(images)} image codes meet {len(texts)} text codes",
            "as many of both: row i is item i",
            "Encode the pairs of one data set.",
        )
    _refuse_empty(images)
    n = len(images)
    paired = float(np.bitwise_count(images ^ texts).sum() / n)
    ones, others = unpack(images).mean(axis=0), unpack(texts).mean(axis=0)
    # A bit differs in this share of all n * n pairs; partners are taken out below.
    everyone = float((ones * (1 - others) + (1 - ones) * others).sum())
    unpaired = (n * everyone - paired) / (n - 1) if n > 1 else float("nan")
    return ModalityGap(paired=paired, unpaired=unpaired)


def _refuse_empty(codes: Codes) -> None:
    if not len(codes):
        raise InputError("there are no codes", "at least one", "Encode some items first.")
