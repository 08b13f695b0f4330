"""The trainer of the preset ``modern``: all networks step together, batch by batch.

Discriminators and networks take turns within each batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from encoders import losses
from encoders.assembly import fresh_norms, new_image_net, rate_groups, text_net, vector_net
from encoders.config import TrainSpec
from encoders.networks import Output, discriminator
from encoders.pairs import TrainingSet
from encoders.passlog import Tally, total
from ssah_index.types import Progress

CONTRAST_SCALE = 16.0
"""Inverse temperature of the image-text term, on inner products that reach from -1 to 1."""
MOMENTUM = 0.1
"""Weight of a batch in batch norm's running mean and variance."""
SHORT_STEPS = 50
"""A run of fewer steps weighs its first batches by their number instead: after one step, running
values are else those of no data for nine tenths, and codes of few pairs are all equal."""


class JointTrainer(nn.Module):
    """The networks, the discriminators and one optimiser for each side.

    Parameters
    ----------
    pairs : TrainingSet
    spec : TrainSpec
    """

    image_net: nn.Module
    text_net: nn.Module
    bank: Tensor

    def __init__(self, pairs: TrainingSet, spec: TrainSpec) -> None:
        super().__init__()
        classes = pairs.labels.shape[1]
        self.label_net = vector_net(spec, classes, classes)
        self.image_net = new_image_net(spec, pairs.images, classes)
        self.text_net = text_net(spec, pairs.bags.shape[1], classes)
        self.discriminators = nn.ModuleList([discriminator(), discriminator()])
        # Of the pair terms; the logarithm keeps the scale positive.
        scale = torch.tensor(math.log(spec.pair_scale / spec.bits))
        self.log_scale = nn.Parameter(scale, requires_grad=spec.learn_scale)
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=spec.learn_scale)
        # Codes of all pairs as last seen, one bank a network: what a batch is compared with.
        rows = len(pairs) if spec.bank_rows else 0
        self.register_buffer("bank", torch.zeros(3, rows, spec.bits))
        self._pairs = pairs
        self._spec = spec
        self._tally = Tally()
        self._steps = len(pairs) // spec.batch_rows
        self._nets = nn.ModuleList([self.label_net, self.image_net, self.text_net])
        groups = rate_groups(self._nets, spec.learning_rate, spec.trunk_rate)
        if spec.learn_scale:
            groups.append({"params": [self.log_scale, self.bias], "weight_decay": 0.0})
        self._optimiser = torch.optim.AdamW(
            groups,
            spec.learning_rate,
            weight_decay=1e-4,
            fused=True,
        )
        self._adversary_optimiser = torch.optim.AdamW(
            self.discriminators.parameters(), spec.adversary_rate, betas=(0.5, 0.999)
        )
        self._rate = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            [group["lr"] for group in self._optimiser.param_groups],
            total_steps=max(spec.passes * self._steps, 1),
        )

    def optimisers(self) -> dict[str, Any]:
        """What holds state besides the weights, by name."""
        return {
            "optimiser": self._optimiser,
            "adversary": self._adversary_optimiser,
            "rate": self._rate,
        }

    def run_pass(self, number: int, progress: Progress) -> dict[str, float]:
        """Pass ``number`` over the pairs in random order; returns the mean loss and terms."""
        self.train()
        order = torch.randperm(len(self._pairs))
        for step in range(self._steps):
            if self._spec.passes * self._steps < SHORT_STEPS:
                self._weigh(number * self._steps + step)
            rows = order[step * self._spec.batch_rows :][: self._spec.batch_rows]
            self.step(rows, use_bank=number > 0)
            done = number * self._steps + step + 1
            progress(done, self._spec.passes * self._steps, "training steps")
        return self._tally.means()

    def _weigh(self, step: int) -> None:
        """Have running values be the mean of all batches so far, until MOMENTUM is more."""
        for norm in fresh_norms(self._nets):
            norm.momentum = max(MOMENTUM, 1 / (step + 1))

    def step(self, rows: Tensor, use_bank: bool = False) -> None:
        """One batch: first the discriminators, then the networks."""
        labels = self._pairs.labels[rows]
        outputs = (
            self.label_net(labels),
            self.image_net(self._pairs.images[rows]),
            self.text_net(self._pairs.bags[rows]),
        )
        if self._spec.adversary:
            self._step_discriminators(*outputs)
        terms = self._objective(outputs, labels, losses.likeness(self._pairs.bags[rows]))
        if self._spec.bank_rows:
            self.bank[:, rows] = torch.stack([output.code.detach() for output in outputs])
            if use_bank:
                terms["bank"] = self._bank_term(outputs, labels)
        loss = total(terms)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._rate.step()
        self._tally.add({"loss": loss, **terms})

    def _step_discriminators(self, label: Output, image: Output, text: Output) -> None:
        real = label.feature.detach()
        terms = [
            losses.discriminator(judge(real), judge(fake.feature.detach()))
            for judge, fake in zip(self.discriminators, (image, text), strict=True)
        ]
        loss = torch.stack(terms).sum()
        self._adversary_optimiser.zero_grad()
        loss.backward()
        self._adversary_optimiser.step()
        self._tally.add({"discriminators": loss})

    def _objective(
        self, outputs: tuple[Output, Output, Output], labels: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """The weighted terms of all three networks on one batch; their sum is the loss."""
        spec = self._spec
        _, image, text = outputs
        similar = losses.similarity(labels, labels).fill_diagonal_(1)
        contrast = losses.contrast(image.code, text.code, targets, CONTRAST_SCALE / spec.bits)
        used = outputs if spec.lab_net else outputs[1:]
        pairs, quantised, classified = [], [], []
        for position, left in enumerate(used):
            pairs += [self._pair_term(left.code, right.code, similar) for right in used[position:]]
            quantised.append(losses.quantisation(left.code) / left.code.numel())
            classified.append(losses.cross_entropy(left.logits, labels))
        terms = {
            "contrast": spec.contrast_weight * contrast,
            "pairs": spec.similarity_weight * torch.stack(pairs).sum(),
            "quantisation": spec.quantisation_weight * torch.stack(quantised).sum(),
            "classification": spec.classification_weight * torch.stack(classified).sum(),
        }
        if spec.adversary:
            # The judges' own gradients are dropped: their next step clears them first.
            judged = [
                losses.adversary(judge(fake.feature))
                for judge, fake in zip(self.discriminators, (image, text), strict=True)
            ]
            terms["adversary"] = spec.adversary * torch.stack(judged).sum()
        return terms

    def _pair_term(self, left: Tensor, right: Tensor, similar: Tensor) -> Tensor:
        return losses.balanced_nll(left, right, similar, self.log_scale.exp(), self.bias)

    def _bank_term(self, outputs: tuple[Output, Output, Output], labels: Tensor) -> Tensor:
        """Pair terms of a batch's images and texts with a sample of the bank."""
        spec = self._spec
        sample = torch.randperm(len(self._pairs))[: spec.bank_rows]
        similar = losses.similarity(labels, self._pairs.labels[sample])
        label_bank, image_bank, text_bank = self.bank[:, sample]
        _, image, text = outputs
        couples = [(image, text_bank), (text, image_bank)]
        if spec.lab_net:
            couples += [(image, label_bank), (text, label_bank)]
        terms = [self._pair_term(left.code, bank, similar) for left, bank in couples]
        return spec.similarity_weight * torch.stack(terms).sum()
