"""A trained encoder as the engine meets it: paths or texts in, packed codes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders import checkpoint
from encoders.assembly import image_net, text_net
from encoders.config import TrainSpec
from encoders.inputs import Inputs
from encoders.trunks import Trunk, open_trunk, restore_trunk
from encoders.words import Vocabulary
from ssah_index.codes import pack
from ssah_index.errors import EncoderError, ItemError
from ssah_index.types import Codes, Modality


class SsahEncoder:
    """ImgNet, TexNet and what they need to read files and texts.

    Parameters
    ----------
    spec : TrainSpec
        As it was trained.
    inputs : Inputs
        What reads files and texts: vocabulary or sentence encoder, and a frozen trunk.
    labels : sequence of str
        Classes it was trained on.
    images, texts
        Trained ImgNet and TexNet.
    """

    def __init__(
        self,
        spec: TrainSpec,
        inputs: Inputs,
        labels: Sequence[str],
        images: nn.Module,
        texts: nn.Module,
    ) -> None:
        self.spec = spec
        self.inputs = inputs
        self.labels = tuple(labels)
        self._nets = nn.ModuleDict({"image": images, "text": texts}).eval()
        self._frozen = _frozen_fingerprints(inputs)
        self._fingerprint = checkpoint.fingerprint(self._document(), self._nets.state_dict())

    @classmethod
    def load(cls, folder: Path) -> SsahEncoder:
        """Open an encoder folder.

        Raises
        ------
        EncoderError
            If it is damaged, or a frozen part is not the one it was trained with.
        SourceError, MissingExtraError
            If a frozen part is not there.
        """
        document, weights, _ = checkpoint.load(folder)
        spec = TrainSpec.stored(document["spec"])
        labels = document["labels"]
        trunk = _trunk(spec, weights, folder)
        vocabulary = Vocabulary(document["vocabulary"], spec.words)
        inputs = Inputs(spec, vocabulary, trunk)
        _check_frozen(inputs, document, folder)
        trained = trunk if spec.fine_tune else None
        image = image_net(spec, inputs.image_width, len(labels), trained)
        text = text_net(spec, inputs.text_width, len(labels))
        nets = nn.ModuleDict({"image": image, "text": text})
        nets.load_state_dict(weights)
        return cls(spec, inputs, labels, image, text)

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
        document = {
            "spec": self.spec.document(),
            "vocabulary": list(self.inputs.vocabulary.words),
            "labels": list(self.labels),
        }
        return document | ({"frozen": self._frozen} if self._frozen else {})

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
        values, failures = [], []
        for position, value in enumerate(batch):
            try:
                values.append(self.inputs.read(modality, value))
            except ItemError as error:
                failures.append((position, str(error)))
        if not values:
            return np.empty((0, self.bits), np.float32), failures
        with torch.inference_mode():
            out = self._nets[modality](self.inputs.stack(modality, values))
        return out.code.float().numpy(), failures

    def encode(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[Codes, list[tuple[int, str]]]:
        """Packed codes, uint8 (len(batch) - len(failures), bits / 8); see `activations`."""
        activations, failures = self.activations(modality, batch)
        return pack(activations), failures

    def warnings(self, modality: Modality, batch: Sequence[Any]) -> list[list[str]]:
        """Sentences about what of each item is left out; none where it cannot be encoded."""
        sentences = []
        for value in batch:
            try:
                sentences.append(self.inputs.warnings(modality, value))
            except ItemError:
                sentences.append([])
        return sentences


def _trunk(spec: TrainSpec, weights: Mapping[str, Tensor], folder: Path) -> Trunk | None:
    """The trunk of a stored encoder: its own if it was fine-tuned, else as it is published."""
    if spec.image_trunk == "pixels":
        return None
    if not spec.fine_tune:
        return open_trunk(spec.image_trunk, folder)
    prefix = "image.trunk."
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return restore_trunk(spec.image_trunk, own)


def _frozen_fingerprints(inputs: Inputs) -> dict[str, str]:
    return {name: checkpoint.fingerprint(*part) for name, part in inputs.frozen().items()}


def _check_frozen(inputs: Inputs, document: Mapping[str, Any], folder: Path) -> None:
    """Refuse a frozen part that is not the one the networks were trained on."""
    stated = document.get("frozen", {})
    for name, actual in _frozen_fingerprints(inputs).items():
        if actual != stated.get(name):
            raise EncoderError(
                f"the {name} {document['spec'][name]!r} found here has fingerprint {actual}",
                f"{stated.get(name)}, which the encoder in {folder} was trained with",
                "Install or restore that version of its weights, or train again.",
            )
