"""An encoder folder: encoder.json, the weights, and the fingerprint over both.

It may come from a stranger. The document is checked field by field, networks are laid out
from it without memory, and weights are read once their types and shapes are the networks'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encoders.checkpoint import fingerprint
from encoders.config import MOST, TrainSpec
from encoders.weights import Weights, damaged, write_weights
from ssah_index.errors import EncoderError, SpecError
from ssah_index.foreign import read_document

SPEC_FILE = "encoder.json"
REMEDY = "Restore the folder from a copy, or train again."
SHOWN = 3
"""Faults that an error names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What encoder.json says."""

    spec: TrainSpec
    vocabulary: tuple[str, ...]
    """Empty where a sentence encoder reads the texts."""
    labels: tuple[str, ...]
    frozen: Mapping[str, str]
    """Fingerprints of parts that the encoder names and does not hold."""
    content: Mapping[str, Any]
    """All of it that the fingerprint is over."""
    fingerprint: str


def save(folder: Path, content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write encoder.json and weights.safetensors into an existing folder."""
    document = {"kind": "ssah", **content, "fingerprint": fingerprint(content, weights)}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    (folder / SPEC_FILE).write_text(text, "utf-8")
    write_weights(folder, weights)


def load_document(folder: Path) -> Document:
    """Read and check encoder.json.

    Raises
    ------
    EncoderError
        If it is missing, or a field is missing or of the wrong type or size.
    """
    content = read_document(folder, SPEC_FILE)
    stated, _ = content.pop("fingerprint", None), content.pop("kind", None)
    frozen = content.get("frozen", {})
    faults = [] if isinstance(stated, str) else ["fingerprint is no text"]
    if not isinstance(frozen, dict) or not all(isinstance(mark, str) for mark in frozen.values()):
        faults.append("frozen is no object of fingerprints")
    faults += _list_faults(content, "vocabulary") + _list_faults(content, "labels")
    spec = None
    try:
        options = content.get("spec")
        spec = TrainSpec.stored(options) if isinstance(options, dict) else None
        faults += [] if spec else ["spec is no object"]
    except SpecError as error:
        faults.append(f"spec: {error.fault}")
    if not faults and spec and (spec.text_encoder == "bag") != bool(content["vocabulary"]):
        faults.append(f"a vocabulary of {len(content['vocabulary'])} words beside its text_encoder")
    if faults or spec is None:
        raise EncoderError(
            f"{SPEC_FILE} of the encoder in {folder} is faulty: {'; '.join(faults)[:1000]}",
            "fields as they were written",
            REMEDY,
        )
    return Document(
        spec=spec,
        vocabulary=tuple(content["vocabulary"]),
        labels=tuple(content["labels"]),
        frozen=frozen,
        content=content,
        fingerprint=str(stated),
    )


def _list_faults(content: Mapping[str, Any], name: str) -> list[str]:
    """What is wrong with a list of distinct words."""
    words = content.get(name)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return [f"{name} is no list of texts"]
    if len(words) > MOST["max_words"]:
        return [f"{name} has {len(words)} entries, above {MOST['max_words']}"]
    if len(set(words)) < len(words):
        return [f"{name} has an entry twice"]
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return [f"{name} has an entry that is no Unicode"]
    return []


def read_weights(
    folder: Path, document: Document, weights: Weights, nets: nn.Module
) -> dict[str, Tensor]:
    """Read weights that fit networks, and compare them with the fingerprint.

    Parameters
    ----------
    folder : Path
        Where they are from, for errors.
    document : Document
    weights : Weights
    nets : nn.Module
        Laid out from the document; its tensors may be without memory.

    Raises
    ------
    EncoderError
        If a tensor is missing, unknown, of another type or shape, or no number, or the
        fingerprint does not hold.
    """
    wanted = {name: (part.dtype, tuple(part.shape)) for name, part in nets.state_dict().items()}
    faults = [f"no {name}" for name in wanted.keys() - weights.kinds.keys()]
    faults += [f"{name[:100]}, which is unknown" for name in weights.kinds.keys() - wanted.keys()]
    faults += [
        f"{name} of {kind.dtype} {kind.shape} instead of {' '.join(map(str, wanted[name]))}"
        for name, kind in weights.kinds.items()
        if name in wanted and kind != wanted[name]
    ]
    if faults:
        raise EncoderError(
            f"the weights of the encoder in {folder} do not fit its {SPEC_FILE}: they have "
            f"{'; '.join(sorted(faults)[:SHOWN])}",
            f"the {len(wanted)} tensors it calls for",
            REMEDY,
        )
    try:
        tensors = weights.read()
    except Exception as error:  # a damaged file fails in a dozen unrelated ways
        raise damaged(folder, error) from error
    _check_numbers(folder, tensors)
    actual = fingerprint(document.content, tensors)
    if actual != document.fingerprint:
        raise EncoderError(
            f"the encoder in {folder} has fingerprint {actual}",
            f"{document.fingerprint[:100]}, as {SPEC_FILE} says",
            REMEDY,
        )
    return tensors


def _check_numbers(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse NaN, and infinity but for the deviation of a feature that never moves."""
    for name, tensor in tensors.items():
        wrong = torch.isnan(tensor) if name.endswith(".deviation") else ~torch.isfinite(tensor)
        if wrong.any():
            raise EncoderError(
                f"{name} of the encoder in {folder} has {int(wrong.sum())} values that are no "
                "finite number",
                "weights that make codes",
                "Train again; if its training ended so, with a lower --learning-rate.",
            )
