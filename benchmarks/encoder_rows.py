"""The rows of the encoders' tables: baselines, presets and ablations, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.encoder_data import Pairs
from encoders.baselines import BASELINES, RandomCodes
from encoders.config import TrainSpec
from encoders.pairs import TrainingSet
from encoders.splits import Split
from encoders.train import fit
from ssah_index.types import Modality, no_progress

Options: TypeAlias = dict[str, Any]
Encode: TypeAlias = Callable[[Modality], NDArray[Any]]
"""All pairs of a data set in one modality: packed codes, or activations if the row has them."""
ENCODE_ROWS = 512

MODERN: Options = {
    "hidden": 1024,
    "passes": 40,
    "learning_rate": 3e-3,
    "dropout": 0.3,
    "input_dropout": 0.2,
    "bank_rows": 1000,
    "pair_scale": 8.0,
    "learn_scale": True,
    "quantisation_weight": 0.1,
    "contrast_weight": 0.0,
}
"""What suits features and twenty-four labels."""

DEFAULTS = asdict(TrainSpec())
PAPER: Options = {"preset": "paper"}
ON_FEATURES: dict[str, Options] = {
    "paper": PAPER,
    "paper, no LabNet": {**PAPER, "lab_net": False},
    "paper, no multi-scale block": {**PAPER, "multi_scale": False},
    "paper, no adversary": {**PAPER, "adversary_weight": 0.0},
    "official": {"preset": "official"},
    "modern": MODERN,
    "modern, no LabNet": {**MODERN, "lab_net": False},
    "modern, no adversary": {**MODERN, "adversary_weight": 0.0},
}

TRAINED: dict[str, dict[str, Options]] = {
    "mirflickr": ON_FEATURES,
    # The released code averages windows of up to 50 words; ten topics have none.
    "wikipedia": {row: own for row, own in ON_FEATURES.items() if row != "official"},
    "icons": {"modern": {}},
}
"""Options of trained rows, by data set."""


def row_names(data: str) -> list[str]:
    """Rows of a data set in the order of its table; icons are pixels, which few rows take."""
    return [*(["random"] if data == "icons" else BASELINES), *TRAINED[data]]


def options_of(data: str, row: str, bits: int, seed: int) -> Options:
    """All options of a trained row; none of a baseline."""
    if row in BASELINES:
        return {}
    return asdict(TrainSpec.of({**TRAINED[data][row], "bits": bits, "seed": seed}))


def train_row(
    pairs: Pairs, split: Split, row: str, bits: int, seed: int, options: Options
) -> Encode:
    """Train a row on the training pairs of a split; ``options`` as `options_of` gives them."""
    if row in BASELINES:
        return _baseline(pairs, split, row, bits, seed)
    return _trained(pairs, split, TrainSpec.of(options))


def _baseline(pairs: Pairs, split: Split, row: str, bits: int, seed: int) -> Encode:
    train = split.train
    texts = pairs.texts[train]
    fitted = BASELINES[row].fit(pairs.images[train], texts, pairs.labels[train], bits, seed)
    arrays: dict[Modality, NDArray[Any]] = {"image": pairs.images, "text": pairs.texts}
    encode = fitted.encode if isinstance(fitted, RandomCodes) else fitted.activations
    return lambda modality: encode(modality, arrays[modality])


def _trained(pairs: Pairs, split: Split, spec: TrainSpec) -> Encode:
    nets, inputs = train_nets(pairs, split, spec)

    def activations(modality: Modality) -> NDArray[Any]:
        with torch.inference_mode():
            parts = [nets[modality](part).code for part in inputs[modality].split(ENCODE_ROWS)]
        return torch.cat(parts).numpy()

    return activations


def train_nets(
    pairs: Pairs, split: Split, spec: TrainSpec, known: Path | None = None
) -> tuple[dict[Modality, torch.nn.Module], dict[Modality, torch.Tensor]]:
    """Networks and what they take, by modality; read from ``known`` or kept there if named."""
    inputs = tensors(pairs, split)
    if known is not None and known.exists():
        return torch.load(known, weights_only=False), inputs
    training = TrainingSet(
        images=inputs["image"][split.train],
        bags=inputs["text"][split.train],
        labels=torch.from_numpy(pairs.labels[split.train].astype(np.float32)),
    )
    trainer = fit(training, spec, report=lambda _: None, progress=no_progress).eval()
    nets: dict[Modality, torch.nn.Module] = {"image": trainer.image_net, "text": trainer.text_net}
    if known is not None:
        torch.save(nets, known)
    return nets, inputs


def tensors(pairs: Pairs, split: Split) -> dict[Modality, torch.Tensor]:
    """Features standardised by the training rows, pixels as they are; texts of unit length."""
    images = pairs.images
    if images.ndim == 2:
        images = images.astype(np.float32)
        images = (images - images[split.train].mean(axis=0)) / images[split.train].std()
    texts = pairs.texts.astype(np.float32)
    texts /= np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-12)
    return {"image": torch.from_numpy(images), "text": torch.from_numpy(texts)}
