"""A trained encoder as the engine meets it: paths or texts in, packed codes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from encoders import checkpoint
from encoders.config import TrainSpec
from encoders.data import Vocabulary, load_image
from encoders.joint import image_net, vector_net
from ssah_index.codes import pack
from ssah_index.errors import ItemError
from ssah_index.types import Codes, Modality


class SsahEncoder:
    """ImgNet, TexNet and what they need to read files and texts.

    Parameters
    ----------
    spec : TrainSpec
        As it was trained.
    vocabulary : Vocabulary
        Of TexNet.
    labels : sequence of str
        Classes it was trained on.
    images, texts
        Trained ImgNet and TexNet.
    """

    def __init__(
        self,
        spec: TrainSpec,
        vocabulary: Vocabulary,
        labels: Sequence[str],
        images: nn.Module,
        texts: nn.Module,
    ) -> None:
        self.spec = spec
        self.vocabulary = vocabulary
        self.labels = tuple(labels)
        self._nets = nn.ModuleDict({"image": images, "text": texts}).eval()
        self._fingerprint = checkpoint.fingerprint(self._document(), self._nets.state_dict())

    @classmethod
    def load(cls, folder: Path) -> SsahEncoder:
        """Open an encoder folder.

        Raises
        ------
        EncoderError
            If it is damaged.
        """
        document, weights, _ = checkpoint.load(folder)
        spec = TrainSpec.of(document["spec"])
        vocabulary = Vocabulary(document["vocabulary"])
        labels = document["labels"]
        image = image_net(spec, None, len(labels))
        text = vector_net(spec, len(vocabulary), len(labels))
        nets = nn.ModuleDict({"image": image, "text": text})
        nets.load_state_dict(weights)
        return cls(spec, vocabulary, labels, image, text)

    @property
    def bits(self) -> int:
        """Code width."""
        return self.spec.bits

    @property
    def fingerprint(self) -> str:
        """A hash over weights, vocabulary and specification."""
        return self._fingerprint

    def save(self, folder: Path) -> None:
        """Write the encoder into an existing folder."""
        checkpoint.save(folder, self._document(), self._nets.state_dict())

    def _document(self) -> dict[str, Any]:
        return {
            "spec": asdict(self.spec),
            "vocabulary": list(self.vocabulary.words),
            "labels": list(self.labels),
        }

    def activations(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
        """Real-valued codes before the sign.

        Parameters
        ----------
        modality : {"image", "text"}
        batch : sequence of Path or of str

        Returns
        -------
        activations : float32 (len(batch) - len(failures), bits), in (-1, 1)
            In the order of the batch, failed items left out.
        failures : list of (int, str)
            Position in the batch, ascending, and reason.
        """
        read: Callable[[Any], NDArray[Any]] = (
            self.vocabulary.bag
            if modality == "text"
            else lambda path: load_image(path, self.spec.image_size)
        )
        inputs, failures = [], []
        for position, value in enumerate(batch):
            try:
                inputs.append(read(value))
            except ItemError as error:
                failures.append((position, str(error)))
        if not inputs:
            return np.empty((0, self.bits), np.float32), failures
        with torch.inference_mode():
            out = self._nets[modality](torch.from_numpy(np.stack(inputs)))
        return out.code.float().numpy(), failures

    def encode(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[Codes, list[tuple[int, str]]]:
        """Packed codes, uint8 (len(batch) - len(failures), bits / 8); see `activations`."""
        activations, failures = self.activations(modality, batch)
        return pack(activations), failures
