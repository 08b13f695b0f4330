"""The trainer of the presets ``paper`` and ``official``: one network at a time.

Source: Li et al., CVPR 2018, algorithm 1: LabNet, then ImgNet and TexNet towards it, then
the discriminators. What a phase reads of other networks is detached, as banks of whole
data, so each optimiser moves one network.

Three cures for the collapse that users of the released code report: the summed objective
is divided by n * B, LabNet is frozen after its first round, and its rate does not restart.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from encoders import losses
from encoders.assembly import new_image_net, rate_groups, text_net
from encoders.config import TrainSpec
from encoders.networks import Output, paper_discriminator, paper_lab_net
from encoders.pairs import TrainingSet
from ssah_index.types import Progress

LABEL_PASSES = 10
"""Of LabNet, in the first round only."""
MODALITY_PASSES = 7
"""Of ImgNet and of TexNet, every round."""
ENCODE_ROWS = 1024
OFFICIAL_POSITIVE = 0.999
"""S of similar pairs in the released code."""


class PhaseTrainer(nn.Module):
    """The networks with an optimiser each, and the banks they read of LabNet.

    Parameters
    ----------
    pairs : TrainingSet
        Of image features, or of pixels where ``spec`` names a trunk to fine-tune.
    spec : TrainSpec
    """

    def __init__(self, pairs: TrainingSet, spec: TrainSpec) -> None:
        super().__init__()
        classes = pairs.labels.shape[1]
        self.label_net = paper_lab_net(classes, spec.hidden, spec.bits)
        self.image_net = new_image_net(spec, pairs.images, classes)
        self.text_net = text_net(spec, pairs.bags.shape[1], classes)
        self.discriminators = nn.ModuleList([paper_discriminator(spec.hidden) for _ in range(2)])
        self._pairs = pairs
        self._spec = spec
        self._optimisers = {
            name: torch.optim.Adam(rate_groups(net, rate, spec.trunk_rate), fused=True)
            for name, net, rate in (
                ("label", self.label_net, spec.learning_rate),
                ("image", self.image_net, spec.learning_rate / 3),
                ("text", self.text_net, spec.learning_rate),
                ("adversary", self.discriminators, spec.adversary_rate),
            )
        }
        self._done = 0

    def optimisers(self) -> dict[str, Any]:
        """What holds state besides the weights, by name."""
        return dict(self._optimisers)

    def run_pass(self, number: int, progress: Progress) -> float:
        """Round ``number`` of phases; returns the mean loss of ImgNet's and TexNet's steps."""
        self.train()
        if number == 0 and self._spec.lab_net:
            for _ in range(LABEL_PASSES):
                self._label_pass(progress)
        bank = self.outputs(self.label_net, self._pairs.labels)
        total = 0.0
        for _ in range(MODALITY_PASSES):
            total += self._modality_pass(self.image_net, self._pairs.images, 0, bank, progress)
            total += self._modality_pass(self.text_net, self._pairs.bags, 1, bank, progress)
            self._adversary_pass(bank, progress)
        return total / (2 * MODALITY_PASSES)

    @staticmethod
    @torch.no_grad()
    def outputs(net: nn.Module, inputs: Tensor) -> Output:
        """Outputs of all rows, detached."""
        parts = [net(part) for part in inputs.split(ENCODE_ROWS)]
        return Output(*(torch.cat(field) for field in zip(*parts, strict=True)))

    def _batches(self, progress: Progress) -> list[Tensor]:
        spec = self._spec
        order = torch.randperm(len(self._pairs))
        self._done += 1
        total = LABEL_PASSES + 3 * MODALITY_PASSES * spec.passes
        progress(min(self._done, total), total, "training passes")
        return list(order.split(spec.batch_rows))[: len(order) // spec.batch_rows]

    def _label_pass(self, progress: Progress) -> None:
        """LabNet against its own bank, which is refreshed at the batch's rows."""
        bank = self.outputs(self.label_net, self._pairs.labels)
        for rows in self._batches(progress):
            out = self.label_net(self._pairs.labels[rows])
            bank.feature[rows], bank.code[rows] = out.feature.detach(), out.code.detach()
            self._descend("label", self.objective(out, bank, rows))

    def _modality_pass(
        self, net: nn.Module, inputs: Tensor, judge: int, bank: Output, progress: Progress
    ) -> float:
        name = ("image", "text")[judge]
        total = 0.0
        batches = self._batches(progress)
        own = bank if self._spec.lab_net else self.outputs(net, inputs)
        for rows in batches:
            out = net(inputs[rows])
            if not self._spec.lab_net:
                own.feature[rows], own.code[rows] = out.feature.detach(), out.code.detach()
            loss = self.objective(out, own, rows)
            if self._spec.adversary:
                fake = self.discriminators[judge](out.feature)
                loss = loss + self._spec.adversary * losses.adversary(fake)
            self._descend(name, loss)
            total += float(loss.detach())
        return total / len(batches)

    def _adversary_pass(self, bank: Output, progress: Progress) -> None:
        """Both discriminators learn to tell label features from the modality's."""
        if not self._spec.adversary:
            return
        features = [
            self.outputs(net, inputs).feature
            for net, inputs in (
                (self.image_net, self._pairs.images),
                (self.text_net, self._pairs.bags),
            )
        ]
        for rows in self._batches(progress):
            terms = [
                losses.discriminator(judge(bank.feature[rows]), judge(fake[rows]))
                for judge, fake in zip(self.discriminators, features, strict=True)
            ]
            self._descend("adversary", torch.stack(terms).sum())

    def objective(self, out: Output, bank: Output, rows: Tensor) -> Tensor:
        """Equations 2 and 3 on one batch against the whole bank, divided by n * B."""
        spec, labels = self._spec, self._pairs.labels
        official = spec.preset == "official"
        similar = losses.similarity(labels, labels[rows], OFFICIAL_POSITIVE if official else 1.0)
        pair = losses.pairwise_squared if official else losses.pairwise_nll
        half = 0.5 if official else 1.0
        total = spec.similarity_weight * pair(bank.feature, out.feature, similar)
        total = total + spec.similarity_weight * pair(bank.code, out.code, similar)
        total = total + spec.quantisation_weight * half * losses.quantisation(out.code)
        scores = torch.sigmoid(out.logits)
        classified = losses.classification(scores, labels[rows])
        total = total + spec.classification_weight * half * classified
        return total / similar.numel()

    def _descend(self, name: str, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
