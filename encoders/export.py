"""A trained encoder as the engine meets it: paths or texts in, packed codes out."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from encoders import checkpoint, folder
from encoders.assembly import image_net, text_net
from encoders.config import TrainSpec
from encoders.inputs import Inputs
from encoders.trunks import Trunk, find_trunk, open_trunk, outline_trunk, refuse_unlisted
from encoders.weights import Kind, open_weights
from encoders.words import Vocabulary
from ssah_index.codes import pack
from ssah_index.errors import EncoderError, ItemError, SpecError
from ssah_index.types import Codes, Modality, TrainReport


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
    trunk_file : Path, optional
        The file that holds a frozen trunk; it is copied wherever the encoder is saved.
    report : TrainReport, optional
        What came of its training, where that has just ended.
    """

    def __init__(
        self,
        spec: TrainSpec,
        inputs: Inputs,
        labels: Sequence[str],
        images: nn.Module,
        texts: nn.Module,
        *,
        trunk_file: Path | None = None,
        report: TrainReport | None = None,
    ) -> None:
        self.spec = spec
        self.inputs = inputs
        self.labels = tuple(labels)
        self.report = report
        self._trunk_file = trunk_file
        self._nets = nn.ModuleDict({"image": images, "text": texts}).eval()
        self._frozen = _frozen_fingerprints(inputs)
        self._fingerprint = checkpoint.fingerprint(self._document(), self._nets.state_dict())

    @classmethod
    def load(cls, path: Path, *, trusted: bool = False) -> SsahEncoder:
        """Open an encoder folder.

        Parameters
        ----------
        path : Path
        trusted : bool
            Whether the folder may name files anywhere, and networks to be fetched from
            anywhere. Otherwise a trunk's file is looked for by its name alone, in the folder
            and in those of the environment variable SSAH_INDEX_TRUNKS, and a hub's network
            has a name that the hub's library lists.

        Raises
        ------
        EncoderError
            If it is damaged, or a frozen part is missing or not the one it was trained with.
        SourceError, MissingExtraError
            If a frozen part cannot be read or its package is not installed.
        """
        document = folder.load_document(path)
        spec, labels = document.spec, document.labels
        if not trusted:
            refuse_unlisted(spec.image_trunk, path)
        weights = open_weights(path)
        trunk_file = None if spec.fine_tune else find_trunk(spec.image_trunk, path, trusted)
        trunk = _trunk(spec, weights.kinds, trunk_file, path)
        inputs = Inputs(spec, Vocabulary(document.vocabulary, spec.words), trunk)
        _check_frozen(inputs, document, path)
        trained = trunk if spec.fine_tune else None
        try:
            with torch.device("meta"):  # laid out, without memory
                image = image_net(spec, inputs.image_width, len(labels), trained)
                text = text_net(spec, inputs.text_width, len(labels))
        except (RuntimeError, SpecError) as error:
            raise _unfit(path, error) from error
        nets = nn.ModuleDict({"image": image, "text": text})
        nets.load_state_dict(folder.read_weights(path, document, weights, nets), assign=True)
        return cls(spec, inputs, labels, image, text, trunk_file=trunk_file)

    @property
    def bits(self) -> int:
        """Code width."""
        return self.spec.bits

    @property
    def fingerprint(self) -> str:
        """A hash over weights, vocabulary and specification."""
        return self._fingerprint

    def save(self, path: Path) -> None:
        """Write the encoder into an existing folder."""
        folder.save(path, self._document(), self._nets.state_dict())
        if self._trunk_file is not None:
            with contextlib.suppress(shutil.SameFileError):
                shutil.copyfile(self._trunk_file, path / self._trunk_file.name)

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
        return _numbers(out.code.float().numpy(), len(batch), failures)

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


def _numbers(
    found: NDArray[np.float32], items: int, failures: list[tuple[int, str]]
) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
    """Activations without the items, of so many, for which the networks make no numbers."""
    wrong = np.isnan(found).any(axis=1)
    if not wrong.any():
        return found, failures
    failed = {position for position, _ in failures}
    encoded = np.array([position for position in range(items) if position not in failed])
    reason = "the encoder's networks make no numbers of it; train another encoder"
    more = [(int(position), reason) for position in encoded[wrong]]
    return found[~wrong], sorted(failures + more)


def _trunk(
    spec: TrainSpec, kinds: Mapping[str, Kind], trunk_file: Path | None, path: Path
) -> Trunk | None:
    """The trunk of a stored encoder: as it is published, or for its own weights to fill."""
    if spec.image_trunk == "pixels":
        return None
    if not spec.fine_tune:
        return open_trunk(spec.image_trunk, trunk_file)
    prefix = "image.trunk."
    shapes = {k.removeprefix(prefix): v.shape for k, v in kinds.items() if k.startswith(prefix)}
    try:
        return outline_trunk(spec.image_trunk, shapes)
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise _unfit(path, error) from error


def _unfit(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"the networks of the encoder in {path} cannot be laid out "
        f"({type(error).__name__}: {str(error)[:200]})",
        "a specification and weights that belong together",
        folder.REMEDY,
    )


def _frozen_fingerprints(inputs: Inputs) -> dict[str, str]:
    return {name: checkpoint.fingerprint(*part) for name, part in inputs.frozen().items()}


def _check_frozen(inputs: Inputs, document: folder.Document, path: Path) -> None:
    """Refuse a frozen part that is not the one the networks were trained on."""
    for name, actual in _frozen_fingerprints(inputs).items():
        if actual != (stated := document.frozen.get(name)):
            raise EncoderError(
                f"the {name} {getattr(document.spec, name)!r} found here has fingerprint {actual}",
                f"{stated}, which the encoder in {path} was trained with",
                "Install or restore that version of its weights, or train again.",
            )
