"""Presets on features, their wiring, and runs that are killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders import losses
from encoders.config import TrainSpec
from encoders.pairs import TrainingSet
from encoders.phases import PhaseTrainer
from encoders.ranking import map_of
from encoders.retrieval import Retrieval
from encoders.train import fit
from ssah_index.codes import pack
from ssah_index.errors import EncoderError, SpecError
from ssah_index.types import no_progress

SMALL = {"bits": 16, "hidden": 64, "passes": 2, "batch_rows": 64, "seed": 3}


def quiet(message):
    pass


def features(n=900, seed=0):
    """Pairs of 12 classes, one to three each: noisy 32-d "images" and 60-d tags."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(12, 32))
    words = np.random.default_rng(8).random((12, 60)) < 0.15
    labels = np.zeros((n, 12), np.float32)
    for row in labels:
        row[random.choice(12, random.integers(1, 4), replace=False)] = 1
    images = labels @ centres + random.normal(size=(n, 32))
    tags = (labels @ words > 0) & (random.random((n, 60)) < 0.7)
    bags = tags / np.maximum(np.sqrt(tags.sum(1, keepdims=True)), 1)
    return TrainingSet(
        images=torch.from_numpy(images).float(),
        bags=torch.from_numpy(bags).float(),
        labels=torch.from_numpy(labels),
    )


def both_maps(trainer, pairs):
    """Image to text, text to image, the first 200 rows against the others."""
    trainer.eval()
    with torch.inference_mode():
        images = pack(trainer.image_net(pairs.images).code.numpy())
        texts = pack(trainer.text_net(pairs.bags).code.numpy())
    labels = pairs.labels.numpy()
    return [
        map_of(
            Retrieval(
                queries=queries[:200],
                query_labels=labels[:200],
                database=database[200:],
                database_labels=labels[200:],
            )
        )
        for queries, database in ((images, texts), (texts, images))
    ]


def prevalence(pairs):
    return losses.similarity(pairs.labels[:200], pairs.labels[200:]).mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["modern", "paper", "official"])
def test_every_preset_learns_and_does_not_collapse(preset):
    options = {**SMALL, "preset": preset, "learning_rate": 2e-3, "hidden": 1024}
    if preset == "modern":
        options |= {"hidden": 64, "passes": 10, "bank_rows": 300}
    else:
        options |= {"passes": 10, "label_passes": 12}
    trainer = fit(features(), TrainSpec.of(options), report=quiet, progress=no_progress)
    for direction in both_maps(trainer, features()):
        assert direction > prevalence(features()) + 0.2


def test_presets_of_the_paper_need_features():
    pixels = replace(features(), images=torch.zeros(900, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(SpecError, match="preset 'paper' on pixels"):
        fit(pixels, TrainSpec.of({"preset": "paper"}), report=quiet, progress=no_progress)


def gradients(module):
    return sum(0 if p.grad is None else float(p.grad.abs().sum()) for p in module.parameters())


def test_each_phase_moves_one_network():
    pairs = features(128)
    trainer = PhaseTrainer(pairs, TrainSpec.of({**SMALL, "preset": "paper"}))
    parts = {
        "label": trainer.label_net,
        "image": trainer.image_net,
        "text": trainer.text_net,
        "judges": trainer.discriminators,
    }
    bank = trainer.outputs(trainer.label_net, pairs.labels)
    phases = {
        "label": lambda: trainer._label_pass(no_progress),
        "image": lambda: trainer._modality_pass(
            trainer.image_net, pairs.images, 0, bank, no_progress
        ),
        "text": lambda: trainer._modality_pass(trainer.text_net, pairs.bags, 1, bank, no_progress),
        "judges": lambda: trainer._adversary_pass(bank, no_progress),
    }
    for name, run in phases.items():
        before = {part: [p.clone() for p in net.parameters()] for part, net in parts.items()}
        run()
        moved = {
            part
            for part, net in parts.items()
            if any((a != b).any() for a, b in zip(before[part], net.parameters(), strict=True))
        }
        assert moved == {name}


def test_the_papers_adversary_reaches_image_and_text_networks():
    pairs = features(128)
    trainer = PhaseTrainer(pairs, TrainSpec.of({**SMALL, "preset": "paper"}))
    for net, inputs, judge in (
        (trainer.image_net, pairs.images, 0),
        (trainer.text_net, pairs.bags, 1),
    ):
        losses.adversary(trainer.discriminators[judge](net(inputs).feature)).backward()
        assert gradients(net) > 0
    assert gradients(trainer.label_net) == 0


def test_the_bank_filled_with_outputs_gives_the_symmetric_loss_and_no_gradient():
    pairs = features(64)
    trainer = PhaseTrainer(pairs, TrainSpec.of({**SMALL, "preset": "paper"}))
    bank = trainer.outputs(trainer.label_net, pairs.labels)
    out = trainer.label_net(pairs.labels)
    everything = torch.arange(64)
    terms = trainer.objective(out, bank, everything)
    similar = losses.similarity(pairs.labels, pairs.labels)
    expected = {
        "feature_pairs": losses.pairwise_nll(out.feature, out.feature, similar),
        "pairs": losses.pairwise_nll(out.code, out.code, similar),
        "quantisation": 1e-4 * losses.quantisation(out.code),
        "classification": 1e-4 * losses.classification(torch.sigmoid(out.logits), pairs.labels),
    }
    sums = {name: term * similar.numel() for name, term in terms.items()}
    torch.testing.assert_close(sums, expected)
    assert not bank.code.requires_grad


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_without_lab_net_neither_it_nor_the_judges_move(preset):
    spec = TrainSpec.of({**SMALL, "preset": preset, "lab_net": False})
    pairs = features(192)
    moved = fit(pairs, spec, report=quiet, progress=no_progress)
    still = fit(pairs, replace(spec, passes=0), report=quiet, progress=no_progress)
    for part, same in (("label_net", True), ("discriminators", True), ("text_net", False)):
        after, before = getattr(moved, part).parameters(), getattr(still, part).parameters()
        assert all((a == b).all() for a, b in zip(after, before, strict=True)) == same


RUN = """
import sys, time
from pathlib import Path
from encoders import checkpoint
from encoders.config import TrainSpec
from encoders.train import fit
from ssah_index.types import no_progress
from tests.encoders.test_fit import SMALL, features

def report(line):
    print(line, flush=True)
    time.sleep(float(sys.argv[3]))

spec = TrainSpec.of({**SMALL, "preset": sys.argv[1], "passes": 4, "bank_rows": 200})
trainer = fit(features(), spec, report=report, progress=no_progress, resume=Path(sys.argv[2]))
print(checkpoint.fingerprint({}, trainer.state_dict()))
"""


def run(*words):
    return [sys.executable, "-c", RUN, *map(str, words)]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_a_killed_run_goes_on_to_the_same_weights(preset, tmp_path):
    whole = subprocess.run(
        run(preset, tmp_path / "whole", 0), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(whole) == 6
    with subprocess.Popen(
        run(preset, tmp_path / "killed", 0.3), stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(3):
            process.stdout.readline()
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    resumed = subprocess.run(
        run(preset, tmp_path / "killed", 0), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert 3 <= len(resumed) < 6
    assert resumed[-1] == whole[-1]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    spec = TrainSpec.of(SMALL)
    path = tmp_path / "kept"
    fit(features(), spec, report=quiet, progress=no_progress, resume=path)
    with pytest.raises(EncoderError, match=r"of another run: seed was 3 and is 4"):
        fit(features(), replace(spec, seed=4), report=quiet, progress=no_progress, resume=path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(EncoderError, match="cannot be read"):
        fit(features(), spec, report=quiet, progress=no_progress, resume=path)
