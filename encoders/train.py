"""Training: the loop over passes, its checkpoint, and files in, an encoder out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import torch

from encoders import checkpoint
from encoders.config import TrainSpec
from encoders.export import SsahEncoder
from encoders.joint import JointTrainer
from encoders.pairs import TrainingSet, read_pairs
from encoders.phases import PhaseTrainer
from ssah_index.errors import SpecError
from ssah_index.types import Item, Progress

Trainer: TypeAlias = JointTrainer | PhaseTrainer


def fit(
    pairs: TrainingSet,
    spec: TrainSpec,
    *,
    report: Callable[[str], None],
    progress: Progress,
    resume: Path | None = None,
) -> Trainer:
    """Train the networks of a preset.

    Parameters
    ----------
    pairs : TrainingSet
    spec : TrainSpec
    report : callable
        Told a line a pass.
    progress : Progress
        Told after every batch or pass.
    resume : Path, optional
        A checkpoint: read if it is there and of this very run, written after every pass.
        A run that is killed and started again ends in the same weights, bit for bit, on a
        CPU with the same number of threads.

    Returns
    -------
    Trainer
        Its ``image_net`` and ``text_net`` are trained.

    Raises
    ------
    SpecError
        If a preset of the paper is asked for on pixels without a named trunk.
    """
    if spec.preset != "modern" and pairs.images.ndim == 4 and not spec.fine_tune:
        raise SpecError(
            f"preset {spec.preset!r} on pixels",
            "image features, or a named trunk",
            "Name an image_trunk, or use preset modern.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        trainer = (JointTrainer if spec.preset == "modern" else PhaseTrainer)(pairs, spec)
        run = checkpoint.fingerprint(
            asdict(spec), {"images": pairs.images, "bags": pairs.bags, "labels": pairs.labels}
        )
        first = 0 if resume is None else checkpoint.restore(resume, run, trainer)
        for number in range(first, spec.passes):
            mean_loss = trainer.run_pass(number, progress)
            report(f"pass {number + 1} of {spec.passes}: loss {mean_loss:.3f}")
            if resume is not None:
                checkpoint.keep(resume, run, number + 1, trainer)
    return trainer


def train(
    items: Sequence[Item],
    spec: TrainSpec,
    *,
    report: Callable[[str], None],
    progress: Progress,
    resume: Path | None = None,
) -> SsahEncoder:
    """Train SSAH on labelled pairs.

    Parameters
    ----------
    items : sequence of Item
        Those with an image and a text are trained on.
    spec : TrainSpec
    report, progress, resume
        As `fit` takes them.

    Returns
    -------
    SsahEncoder
        The same for the same items, spec and thread count.

    Raises
    ------
    SourceError
        If there is too little to train on.
    """
    pairs, inputs, names = read_pairs(items, spec, report, progress)
    trainer = fit(pairs, spec, report=report, progress=progress, resume=resume)
    if resume is not None:
        resume.unlink(missing_ok=True)
    return SsahEncoder(spec, inputs, names, trainer.image_net, trainer.text_net)
