"""The trainer of the preset ``modern``: all networks step together, batch by batch.

Discriminators and networks take turns within each batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from encoders import losses
from encoders.assembly import new_image_net, rate_groups, text_net, vector_net
from encoders.config import TrainSpec
from encoders.networks import Output, discriminator
from encoders.pairs import TrainingSet
from ssah_index.types import Progress

CONTRAST_SCALE = 16.0
"""Inverse temperature of the image-text term, on inner products that reach from -1 to 1."""


class JointTrainer(nn.Module):
    """The networks, the discriminators and one optimiser for each side.

    Parameters
    ----------
    pairs : TrainingSet
    spec : TrainSpec
    """

    bank: Tensor

    def __init__(self, pairs: TrainingSet, spec: TrainSpec) -> None:
        super().__init__()
        classes = pairs.labels.shape[1]
        self.label_net = vector_net(spec, classes, classes)
        self.image_net = new_image_net(spec, pairs.images, classes)
        self.text_net = text_net(spec, pairs.bags.shape[1], classes)
        self.discriminators = nn.ModuleList([discriminator(), discriminator()])
        # Codes of all pairs as last seen, one bank a network: what a batch is compared with.
        rows = len(pairs) if spec.bank_rows else 0
        self.register_buffer("bank", torch.zeros(3, rows, spec.bits))
        self._pairs = pairs
        self._spec = spec
        self._steps = len(pairs) // spec.batch_rows
        self._nets = nn.ModuleList([self.label_net, self.image_net, self.text_net])
        self._optimiser = torch.optim.AdamW(
            rate_groups(self._nets, spec.learning_rate, spec.trunk_rate),
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

    def run_pass(self, number: int, progress: Progress) -> float:
        """Pass ``number`` over the pairs in random order; returns the mean loss."""
        self.train()
        order = torch.randperm(len(self._pairs))
        total = 0.0
        for step in range(self._steps):
            rows = order[step * self._spec.batch_rows :][: self._spec.batch_rows]
            total += self.step(rows, use_bank=number > 0)
            done = number * self._steps + step + 1
            progress(done, self._spec.passes * self._steps, "training steps")
        return total / self._steps

    def step(self, rows: Tensor, use_bank: bool = False) -> float:
        """One batch: first the discriminators, then the networks; returns the loss."""
        labels = self._pairs.labels[rows]
        outputs = (
            self.label_net(labels),
            self.image_net(self._pairs.images[rows]),
            self.text_net(self._pairs.bags[rows]),
        )
        if self._spec.adversary:
            self._step_discriminators(*outputs)
        loss = self._objective(outputs, labels, losses.likeness(self._pairs.bags[rows]))
        if self._spec.bank_rows:
            self.bank[:, rows] = torch.stack([output.code.detach() for output in outputs])
            if use_bank:
                loss = loss + self._bank_term(outputs, labels)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._rate.step()
        return float(loss.detach())

    def _step_discriminators(self, label: Output, image: Output, text: Output) -> None:
        real = label.feature.detach()
        terms = [
            losses.discriminator(judge(real), judge(fake.feature.detach()))
            for judge, fake in zip(self.discriminators, (image, text), strict=True)
        ]
        self._adversary_optimiser.zero_grad()
        torch.stack(terms).sum().backward()
        self._adversary_optimiser.step()

    def _objective(
        self, outputs: tuple[Output, Output, Output], labels: Tensor, targets: Tensor
    ) -> Tensor:
        """The weighted objective of all three networks on one batch."""
        spec = self._spec
        _, image, text = outputs
        similar = losses.similarity(labels, labels).fill_diagonal_(1)
        loss = spec.contrast_weight * losses.contrast(
            image.code, text.code, targets, CONTRAST_SCALE / spec.bits
        )
        used = outputs if spec.lab_net else outputs[1:]
        for position, left in enumerate(used):
            for right in used[position:]:
                pairwise = losses.balanced_nll(
                    left.code, right.code, similar, spec.pair_scale / spec.bits
                )
                loss = loss + spec.similarity_weight * pairwise
            quantised = losses.quantisation(left.code) / left.code.numel()
            loss = loss + spec.quantisation_weight * quantised
            classified = losses.cross_entropy(left.logits, labels)
            loss = loss + spec.classification_weight * classified
        if spec.adversary:
            for judge, fake in zip(self.discriminators, (image, text), strict=True):
                # The judge's own gradients are dropped: its next step clears them first.
                loss = loss + spec.adversary * losses.adversary(judge(fake.feature))
        return loss

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
        terms = [
            losses.balanced_nll(left.code, bank, similar, spec.pair_scale / spec.bits)
            for left, bank in couples
        ]
        return spec.similarity_weight * torch.stack(terms).sum()
