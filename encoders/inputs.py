"""How image files and texts become rows of the networks' inputs, in training and in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encoders.config import TrainSpec
from encoders.images import image_warnings, load_image
from encoders.sentences import WIDTH, SentenceEncoder
from encoders.trunks import Trunk
from encoders.words import Vocabulary, check_words
from ssah_index.types import Modality


class Inputs:
    """The fixed parts of an encoder, in front of its networks.

    Parameters
    ----------
    spec : TrainSpec
    vocabulary : Vocabulary
        Empty where a sentence encoder reads the texts.
    trunk : Trunk or None
        The one that ``spec`` names; None for "pixels".

    Raises
    ------
    MissingExtraError
        If the sentence encoder is not installed.
    """

    def __init__(self, spec: TrainSpec, vocabulary: Vocabulary, trunk: Trunk | None) -> None:
        self.vocabulary = vocabulary
        self._image_size = spec.image_size if trunk is None else trunk.size
        self._trunk = None if spec.fine_tune else trunk
        self._sentences = SentenceEncoder() if spec.text_encoder == "minilm" else None

    @property
    def text_width(self) -> int:
        """Columns of a text's row."""
        return len(self.vocabulary) if self._sentences is None else WIDTH

    @property
    def image_width(self) -> int | None:
        """Columns of an image's row of features; None where the rows are pixels."""
        return None if self._trunk is None else self._trunk.width

    def read(self, modality: Modality, value: Any) -> Any:
        """One path or text as `stack` takes it.

        Raises
        ------
        ItemError
            If it cannot be encoded.
        """
        if modality == "image":
            return load_image(value, self._image_size)
        if self._sentences is None:
            return self.vocabulary.bag(value)
        check_words(value, self.vocabulary.rule)
        return value

    def warnings(self, modality: Modality, value: Any) -> list[str]:
        """Sentences about what `read` and `stack` leave out of one path or text.

        Raises
        ------
        ItemError
            If it is a text that cannot be encoded.
        """
        if modality == "image":
            return image_warnings(value)
        self.read(modality, value)
        parts = self.vocabulary if self._sentences is None else self._sentences
        return parts.warnings(value)

    def stack(self, modality: Modality, values: Sequence[Any]) -> Tensor:
        """Rows for what has been read, at least one.

        Returns
        -------
        Tensor
            Images: uint8 (n, 3, size, size), or float32 (n, width) of a frozen trunk.
            Texts: float32 (n, width).
        """
        if modality == "text" and self._sentences is not None:
            return self._sentences.vectors(values)
        rows = torch.from_numpy(np.stack(values))
        if modality == "text" or self._trunk is None:
            return rows
        with torch.no_grad():
            features: Tensor = self._trunk(rows)
        return features

    def frozen(self) -> dict[str, tuple[dict[str, Any], Mapping[str, Tensor]]]:
        """Settings and weights of the parts that an encoder names but does not hold."""
        parts: dict[str, tuple[dict[str, Any], Mapping[str, Tensor]]] = {}
        if self._trunk is not None:
            parts["image_trunk"] = ({"size": self._trunk.size}, self._trunk.state_dict())
        if self._sentences is not None:
            tokenizer, weights = self._sentences.parts()
            parts["text_encoder"] = ({"tokenizer": tokenizer}, weights)
        return parts
