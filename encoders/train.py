"""Training: the loop over passes, its checkpoint, and files in, an encoder out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

import torch

from encoders import checkpoint
from encoders.config import TrainSpec
from encoders.devices import bring_home, choose_device, precision, settle
from encoders.export import SsahEncoder
from encoders.joint import JointTrainer
from encoders.pairs import TrainingSet, check_count, pairs_among, read_pairs, set_aside
from encoders.passlog import PassLog, check_log
from encoders.phases import PhaseTrainer
from encoders.sentences import require_sentences
from encoders.trunks import require_trunk, trunk_file
from encoders.validation import Choice, Scores, check_loss, collapse
from encoders.verdict import verdict
from ssah_index.errors import SpecError
from ssah_index.types import Item, Progress, TrainReport

Trainer: TypeAlias = JointTrainer | PhaseTrainer


def fit(
    pairs: TrainingSet,
    spec: TrainSpec,
    *,
    report: Callable[[str], None],
    progress: Progress,
    resume: Path | None = None,
    validation: TrainingSet | None = None,
    log: Path | None = None,
    device: str = "auto",
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
    validation : TrainingSet, optional
        Pairs held out: the networks returned are those of the pass that ranks them best,
        and a run whose codes collapse is stopped. None: those of the last pass.
    log : Path, optional
        A CSV file with a row a pass: seconds, mean loss and terms, validation scores.
    device : {"auto", "cpu", "cuda"}
        "auto" is a GPU where there is one; there, passes run in bfloat16, compiled.

    Returns
    -------
    Trainer
        On the CPU; its ``image_net`` and ``text_net`` are trained.

    Raises
    ------
    SpecError
        If a preset of the paper is asked for on pixels without a named trunk, or there is no
        such device.
    SourceError
        If there are fewer than two pairs.
    CollapseError
        If codes collapse and ``spec.stop_on_collapse``, or the loss is no number any more.
    """
    if pairs.images.ndim == 4:
        _refuse_pixels(spec)
    check_count(len(pairs), replace(spec, validation_share=0), f"{len(pairs)} pairs")
    spec = fit_batch(spec, len(pairs), report)
    place = choose_device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        kind = JointTrainer if spec.preset == "modern" else PhaseTrainer
        trainer = kind(pairs.to(place), spec)
        settle(trainer, place)
        run = Run(trainer, pairs, validation, spec, resume, log, place)
        try:
            while not run.finished:
                report(run.advance(progress))
            report(run.finish())
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(run.kept)
            raise
    return trainer


def fit_batch(spec: TrainSpec, pairs: int, report: Callable[[str], None]) -> TrainSpec:
    """The specification with a batch of all pairs, where it asks for a larger one."""
    if pairs >= spec.batch_rows:
        return spec
    report(f"batch_rows is {pairs}: there are only {pairs} pairs")
    return replace(spec, batch_rows=pairs)


def _refuse_pixels(spec: TrainSpec) -> None:
    if spec.preset != "modern" and not spec.fine_tune:
        raise SpecError(
            f"preset {spec.preset!r} on pixels",
            "image features, or a named trunk",
            "Name one with --image-trunk (image_trunk), or use --preset modern.",
        )


def check(spec: TrainSpec, resume: Path | None = None, log: Path | None = None) -> None:
    """Refuse what `train` would refuse whatever the items are, before they are read.

    Raises
    ------
    SpecError
        If options do not go together.
    SourceError, MissingExtraError
        If a trunk or a text encoder is not there, or the log is something else.
    EncoderError
        If there is a checkpoint of other options.
    WriteFailedError
        If the log cannot be written.
    """
    if spec.image_trunk == "pixels":
        _refuse_pixels(spec)
    else:
        require_trunk(spec.image_trunk)
    if spec.text_encoder == "minilm":
        require_sentences()
    if resume is not None:
        checkpoint.check(resume, asdict(spec))
    if log is not None:
        check_log(log)


class Run:
    """One training run from pass to pass, with what it keeps of each.

    Parameters are those of `fit`; ``trainer`` is on ``device`` already.
    """

    def __init__(
        self,
        trainer: Trainer,
        pairs: TrainingSet,
        validation: TrainingSet | None,
        spec: TrainSpec,
        resume: Path | None,
        log: Path | None,
        device: torch.device,
    ) -> None:
        self._trainer = trainer
        self._spec = spec
        self._resume = resume
        self._device = device
        self._choice = Choice(validation, pairs, spec, device)
        self._parts = {"trainer": trainer, **trainer.optimisers(), "choice": self._choice}
        held_out = {} if validation is None else validation.tensors("validation_")
        name = checkpoint.fingerprint(asdict(spec), pairs.tensors() | held_out)
        self._run = checkpoint.Run(name, asdict(spec))
        self._passes = 0
        if resume is not None:
            self._passes = checkpoint.restore(resume, self._run, self._parts, device)
        self._kept = self._passes
        self._log = None if log is None else PassLog(log, self._passes)

    @property
    def finished(self) -> bool:
        """Whether all passes are run, or validation has not improved for long enough."""
        return self._passes == self._spec.passes or self._choice.settled

    @property
    def kept(self) -> str:
        """What an interruption now would leave, for a person."""
        if not self._kept:
            return "no pass is kept; run the same command again to begin anew"
        return (
            f"{self._kept} of {self._spec.passes} passes are kept in {self._resume}; run the same "
            "command again to go on"
        )

    def advance(self, progress: Progress) -> str:
        """Run one pass, score it, log it and keep it; returns a line about it."""
        number = self._passes + 1
        begun = time.perf_counter()
        with precision(self._device):
            means = self._trainer.run_pass(self._passes, progress)
        seconds = round(time.perf_counter() - begun, 2)
        scores = self._choice.judge(number, self._trainer)
        if self._log is not None:
            judged = dict.fromkeys(Scores.names()) if scores is None else asdict(scores)
            self._log.add({"pass": number, "seconds": seconds, **means, **judged})
        check_loss(number, means["loss"], self._spec)
        if scores is not None and scores.collapsed and self._spec.stop_on_collapse:
            raise collapse(number, scores, self._spec)
        self._passes = number
        if self._resume is not None:
            checkpoint.keep(self._resume, self._run, number, self._parts, self._device)
            self._kept = number
        told = f"pass {number} of {self._spec.passes}: loss {means['loss']:.3f}"
        return told if scores is None else f"{told}, {scores}"

    def finish(self) -> str:
        """Take up the networks of the best pass; returns a line about the run."""
        self._choice.apply(self._trainer)
        bring_home(self._trainer, self._device)
        return f"trained {self._passes} of {self._spec.passes} passes{self._choice}"


def train(
    items: Sequence[Item],
    spec: TrainSpec,
    *,
    report: Callable[[str], None],
    progress: Progress,
    resume: Path | None = None,
    log: Path | None = None,
    device: str = "auto",
) -> SsahEncoder:
    """Train SSAH on labelled pairs.

    Parameters
    ----------
    items : sequence of Item
        Those with an image and a text are trained on.
    spec : TrainSpec
        Its ``validation_share`` of the pairs is set aside to choose a pass by.
    report, progress, resume, log, device
        As `fit` takes them.

    Returns
    -------
    SsahEncoder
        The same for the same items, spec and thread count; its ``report`` tells how many
        pairs could not be read, and whether its codes have collapsed. A checkpoint at
        ``resume`` stays until the caller has saved it.

    Raises
    ------
    SourceError
        If there is too little to train on.
    SpecError, CollapseError
        As `fit` does.
    EncoderError, MissingExtraError, WriteFailedError
        As `check` does.
    """
    check(spec, resume, log)
    every, inputs, names = read_pairs(items, spec, report, progress)
    pairs, validation = set_aside(every, spec)
    spec = fit_batch(spec, len(pairs), report)
    trainer = fit(
        pairs,
        spec,
        report=report,
        progress=progress,
        resume=resume,
        validation=validation,
        log=log,
        device=device,
    )
    outcome = TrainReport(
        failed=len(pairs_among(items)) - len(every),
        collapsed=verdict(trainer, pairs, spec) if spec.passes else None,
    )
    return SsahEncoder(
        spec,
        inputs,
        names,
        trainer.image_net,
        trainer.text_net,
        trunk_file=None if spec.fine_tune else trunk_file(spec.image_trunk),
        report=outcome,
    )
