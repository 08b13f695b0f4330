"""Images and texts as tensors: decoding, the vocabulary, label vectors.

What a failed item says here is what the ledger of a build says of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ssah_index.errors import ItemError

_WORD = re.compile(r"[^\W_]+")
SHOWN_WORDS = 5


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, in lower case."""
    return _WORD.findall(text.lower())


def load_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode an image whole, squeezed to a square as the field's data sets are.

    Parameters
    ----------
    path : Path
        Anything Pillow opens; transparency is laid on white.
    size : int
        Pixels a side.

    Returns
    -------
    uint8 (3, size, size)

    Raises
    ------
    ItemError
        If the file is missing, empty, cut short, too large, or no image.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            white = Image.new("RGBA", upright.size, "white")
            flat = Image.alpha_composite(white, upright).convert("RGB")
            pixels = np.asarray(flat.resize((size, size), Image.Resampling.BICUBIC))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ItemError(
            f"image {path} cannot be decoded ({_reason(path, error)})",
            "a whole image file",
            "Replace the file, or leave it out.",
        ) from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if path.is_file() and not path.stat().st_size:
        return "the file is empty"
    return str(error)


class Vocabulary:
    """Words with a place in the bag; part of the encoder.

    Parameters
    ----------
    words : sequence of str
        In order of their columns.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._columns = {word: column for column, word in enumerate(self.words)}

    @classmethod
    def of(cls, texts: Iterable[str], min_texts: int, max_words: int) -> Vocabulary:
        """The words that stand in at least ``min_texts`` texts, the most frequent first."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls([word for word, count in ranked[:max_words] if count >= min_texts])

    def __len__(self) -> int:
        return len(self.words)

    def bag(self, text: str) -> NDArray[np.float32]:
        """Bag of words, of unit length.

        Returns
        -------
        float32 (words,)

        Raises
        ------
        ItemError
            If the text is empty or none of its words is known.
        """
        words = words_of(text)
        if not words:
            raise ItemError(
                f"text {text!r} has no words",
                "at least one word",
                "Give it words, or leave it out.",
            )
        known = [self._columns[word] for word in words if word in self._columns]
        if not known:
            shown = ", ".join(words[:SHOWN_WORDS])
            raise ItemError(
                f"none of the words of {text!r} is known to the encoder ({shown})",
                f"at least one of its {len(self)} words",
                "Use other words, or train on texts that have these.",
            )
        bag = np.zeros(len(self), np.float32)
        bag[known] = 1
        return bag / np.float32(np.sqrt(bag.sum()))


def label_matrix(labels: Sequence[Sequence[str]], names: Sequence[str]) -> torch.Tensor:
    """float32 (n, c): 1 where an item has a label; names that are not listed count nothing."""
    columns = {name: column for column, name in enumerate(names)}
    matrix = torch.zeros(len(labels), len(names))
    for row, own in enumerate(labels):
        for name in own:
            if name in columns:
                matrix[row, columns[name]] = 1
    return matrix
