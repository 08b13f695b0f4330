"""What baselines ask of features: pairs that match, and the width they were fitted on."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import InputError
from ssah_index.types import Modality

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]


def check_pairs(images: Array, texts: Array, labels: Array) -> None:
    """Refuse what are not features of the same pairs.

    Parameters
    ----------
    images, texts, labels : numeric (n, d), (n, words), (n, c)

    Raises
    ------
    InputError
        If the numbers of rows differ or are below two, or an array is no matrix.
    """
    arrays = {"images": images, "texts": texts, "labels": labels}
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1 or min(counts) < 2 or any(array.ndim != 2 for array in arrays.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(
            f"arrays of shapes {shapes}",
            "two axes each and as many rows, two at least",
            "Give features of the same pairs; pixels need a backbone first.",
        )


def check_width(modality: Modality, array: Array, width: int) -> None:
    """Refuse features of another width than the fitted ones.

    Raises
    ------
    InputError
        If ``array`` is not (n, width).
    """
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(
            f"{modality} features of shape {array.shape}",
            f"(n, {width})",
            "Give the features this baseline was fitted on.",
        )
