"""Encoders on features that any trained one has to beat: chance, ridge, CCA-ITQ, DCMH.

All but DCMH, from a file of its own, are closed forms or a few rounds of linear algebra in
NumPy. Each is a class with ``fit(images, texts, labels, bits, seed)`` and
``encode(modality, array)``; those that are not random have ``activations`` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from encoders.dcmh import DcmhCodes
from encoders.features import Array, Floats, check_pairs, check_width
from ssah_index.codes import check_bits, pack
from ssah_index.types import MODALITIES, Codes, Modality

BLOCK_ROWS = 4096
ITQ_ROUNDS = 50
# Ridges in units of the features' mean variance, chosen by MAP at 64 bits of 1,000 validation
# pairs of MIRFLICKR-25K: ridge .73 / .72 with .01, .736 / .742 as below; CCA .61 with .01, .687.
IMAGE_RIDGE = 0.1
TEXT_RIDGE = 1.0
CCA_RIDGE = 10.0


class Baseline(Protocol):
    """A fitted baseline."""

    @property
    def bits(self) -> int:
        """Code width."""

    def encode(self, modality: Modality, array: Array) -> Codes:
        """Codes of rows of features of one modality, uint8 (n, bits / 8)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomCodes:
    """Codes that know nothing: MAP is the prevalence of relevant pairs."""

    bits: int
    """Code width."""
    seed: int
    """Of the generator; images and texts draw apart."""

    @classmethod
    def fit(
        cls,
        images: Array,  # noqa: ARG003
        texts: Array,  # noqa: ARG003
        labels: Array,  # noqa: ARG003
        bits: int,
        seed: int,
    ) -> RandomCodes:
        """Learn nothing."""
        return cls(bits=check_bits(bits), seed=seed)

    def encode(self, modality: Modality, array: Array) -> Codes:
        """One random code a row; the same call gives the same codes."""
        random = np.random.default_rng([self.seed, MODALITIES.index(modality)])
        return random.integers(0, 256, (len(array), self.bits // 8), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class LinearCodes:
    """Signs of a centred linear map of each modality's features."""

    maps: Mapping[Modality, tuple[Floats, Floats]]
    """Per modality: mean (d,) and matrix (d, bits)."""

    @property
    def bits(self) -> int:
        """Code width."""
        return int(self.maps["image"][1].shape[1])

    def activations(self, modality: Modality, array: Array) -> Floats:
        """The mapped features, float64 (n, bits), whose signs are the codes."""
        mean, matrix = self.maps[modality]
        check_width(modality, array, len(mean))
        # By blocks: float64 of a whole data set is what fills memory.
        blocks = (array[start : start + BLOCK_ROWS] for start in range(0, len(array), BLOCK_ROWS))
        mapped = [(block.astype(np.float64) - mean) @ matrix for block in blocks]
        return np.concatenate([np.empty((0, self.bits)), *mapped])

    def encode(self, modality: Modality, array: Array) -> Codes:
        """Codes of features.

        Parameters
        ----------
        modality : {"image", "text"}
        array : numeric (n, d)

        Returns
        -------
        uint8 (n, bits / 8)
        """
        return pack(self.activations(modality, array))


class RidgeCodes(LinearCodes):
    """Ridge regression of each modality to the labels, turned at random, then signs.

    Notes
    -----
    W = (X'X + r tr(X'X)/d I)^-1 X'L on centred X and L, then sign(x W R) with one Gaussian
    R (c, bits) for both modalities: random hyperplanes in the space of predicted labels
    (Charikar, STOC 2002).
    """

    @classmethod
    def fit(cls, images: Array, texts: Array, labels: Array, bits: int, seed: int) -> RidgeCodes:
        """Fit on n pairs.

        Parameters
        ----------
        images : numeric (n, d)
        texts : numeric (n, words)
        labels : 0/1 (n, c)
        bits : int
        seed : int
            Of the random turn.
        """
        check_bits(bits)
        check_pairs(images, texts, labels)
        turn = np.random.default_rng(seed).standard_normal((labels.shape[1], bits))
        targets = labels - labels.mean(axis=0, dtype=np.float64)
        maps: dict[Modality, tuple[Floats, Floats]] = {
            "image": _regress(images, targets, IMAGE_RIDGE, turn),
            "text": _regress(texts, targets, TEXT_RIDGE, turn),
        }
        return cls(maps=maps)


class CcaItqCodes(LinearCodes):
    """Canonical correlation of images and texts, turned so that signs lose least.

    Labels are not used. With more bits than canonical directions (the smaller feature
    width) the turn becomes a map to bits with orthonormal rows, found in the same way.

    Notes
    -----
    Canonical directions scaled by their correlations; the turn R alternates B = sign(VR) and
    R = U W' of the decomposition V'B = U S W', over the stacked images and texts.
    Source: Gong and Lazebnik, CVPR 2011, and Gong et al., IJCV 2014 (scaling).
    """

    @classmethod
    def fit(
        cls,
        images: Array,
        texts: Array,
        labels: Array,
        bits: int,
        seed: int,
    ) -> CcaItqCodes:
        """Fit on n pairs; parameters as those of `RidgeCodes.fit`."""
        check_bits(bits)
        check_pairs(images, texts, labels)
        image_mean, left = _centre(images)
        text_mean, right = _centre(texts)
        of_images, of_texts = _canonical(left, right, bits)
        views = np.concatenate([left @ of_images, right @ of_texts])
        turn = _quantising_turn(views, bits, seed)
        return cls(
            maps={"image": (image_mean, of_images @ turn), "text": (text_mean, of_texts @ turn)}
        )


BASELINES: Mapping[
    str, type[RandomCodes] | type[RidgeCodes] | type[CcaItqCodes] | type[DcmhCodes]
] = {
    "random": RandomCodes,
    "ridge": RidgeCodes,
    "cca-itq": CcaItqCodes,
    "dcmh": DcmhCodes,
}
"""By name."""


def _centre(array: Array) -> tuple[Floats, Floats]:
    """Mean (d,) and the rows less it, float64 (n, d)."""
    rows = array.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    return mean, rows


def _regress(array: Array, targets: Floats, ridge: float, turn: Floats) -> tuple[Floats, Floats]:
    """Mean (d,) and matrix (d, bits) of one modality."""
    mean, centred = _centre(array)
    gram = _ridged(centred.T @ centred, ridge)
    return mean, np.linalg.solve(gram, centred.T @ targets) @ turn


def _ridged(gram: Floats, ridge: float) -> Floats:
    """Add ``ridge`` times the mean of the diagonal to the diagonal."""
    return np.asarray(gram + (ridge * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)))


def _canonical(left: Floats, right: Floats, most: int) -> tuple[Floats, Floats]:
    """Up to ``most`` pairs of directions, scaled to unit variance times correlation.

    With Cholesky factors A A' = X'X, C C' = Y'Y, the singular vectors of A^-1 X'Y C'^-1.
    """
    first = np.linalg.cholesky(_ridged(left.T @ left, CCA_RIDGE))
    second = np.linalg.cholesky(_ridged(right.T @ right, CCA_RIDGE))
    half = np.linalg.solve(first, left.T @ right)
    outer, correlations, inner = np.linalg.svd(
        np.linalg.solve(second, half.T).T, full_matrices=False
    )
    scale = correlations[:most] * np.sqrt(len(left))
    return (
        np.linalg.solve(first.T, outer[:, :most]) * scale,
        np.linalg.solve(second.T, inner[:most].T) * scale,
    )


def _quantising_turn(views: Floats, bits: int, seed: int) -> Floats:
    """(dims, bits) with orthonormal rows that brings views near their signs."""
    dims = views.shape[1]
    start = np.random.default_rng(seed).standard_normal((bits, dims))
    turn = np.linalg.qr(start)[0].T
    for _ in range(ITQ_ROUNDS):
        signs = np.where(views @ turn >= 0, 1.0, -1.0)
        outer, _, inner = np.linalg.svd(views.T @ signs, full_matrices=False)
        turn = outer @ inner
    return turn
