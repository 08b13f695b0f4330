"""How well codes use their bits, and how far the two modalities lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes import as_codes, unpack
from ssah_index.errors import InputError
from ssah_index.types import Codes

Floats = NDArray[np.float64]

BATCH_BITS = 1 << 22
"""Bits unpacked at once: at most about 40 MB."""


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

    def summary(self) -> dict[str, Any]:
        """The figures without those of single bits."""
        return {
            "balance_min": float(self.balance.min()),
            "balance_mean": float(self.balance.mean()),
            "balance_max": float(self.balance.max()),
            "entropy_mean": float(self.entropy.mean()),
            "constant": self.constant,
            "correlation": self.correlation,
            "distinct": self.distinct,
        }


def bit_report(codes: Codes) -> BitReport:
    """Measure balance, entropy, redundancy and distinctness.

    Parameters
    ----------
    codes : uint8 (n, nbytes)
        At least one.

    Notes
    -----
    Codes are unpacked BATCH_BITS at a time; telling them apart takes three copies of the
    packed codes.
    """
    codes = as_codes(codes)
    _refuse_empty(codes)
    n, bits = len(codes), 8 * codes.shape[1]
    sums, products = np.zeros(bits), np.zeros((bits, bits))
    for signs in _batches(codes):
        sums += signs.sum(axis=0)
        products += signs.T @ signs  # whole numbers below 2^24: exact in float32
    balance = (sums / n + 1) / 2
    varies = (balance > 0) & (balance < 1)
    return BitReport(
        balance=balance,
        entropy=_entropy(balance),
        constant=int((~varies).sum()),
        correlation=_mean_correlation(n, sums[varies], products[np.ix_(varies, varies)]),
        distinct=len(np.unique(codes, axis=0)),
    )


def _entropy(share: Floats) -> Floats:
    """Of a coin, in bits; 0 log 0 is 0."""
    inner = np.clip(share, 1e-300, 1)
    other = np.clip(1 - share, 1e-300, 1)
    return np.asarray(-share * np.log2(inner) - (1 - share) * np.log2(other))


def _mean_correlation(n: int, sums: Floats, products: Floats) -> float:
    """Over pairs of bits, from the sums of n signs and of their products."""
    bits = len(sums)
    if bits < 2:
        return float("nan")
    spread = np.sqrt(n * n - sums * sums)
    matrix = np.abs((n * products - np.outer(sums, sums)) / np.outer(spread, spread))
    return float((matrix.sum() - np.trace(matrix)) / (bits * (bits - 1)))


def _batches(codes: Codes) -> Iterator[NDArray[np.float32]]:
    """Signs of codes, float32 (batch, bits)."""
    size = max(BATCH_BITS // (8 * codes.shape[1]), 1)
    for start in range(0, len(codes), size):
        yield unpack(codes[start : start + size], "signs").astype(np.float32)


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
    ones, others = _shares(images), _shares(texts)
    # A bit differs in this share of all n * n pairs; partners are taken out below.
    everyone = float((ones * (1 - others) + (1 - ones) * others).sum())
    unpaired = (n * everyone - paired) / (n - 1) if n > 1 else float("nan")
    return ModalityGap(paired=paired, unpaired=unpaired)


def _shares(codes: Codes) -> Floats:
    """Share of ones of each bit, (bits,)."""
    sums = np.sum([signs.sum(axis=0, dtype=np.float64) for signs in _batches(codes)], axis=0)
    return np.asarray((sums / len(codes) + 1) / 2)


def _refuse_empty(codes: Codes) -> None:
    if not len(codes):
        raise InputError("there are no codes", "at least one", "Encode some items first.")
