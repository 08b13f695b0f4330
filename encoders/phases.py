"""The trainer of the presets ``paper`` and ``official``: one network at a time.

Source: Li et al., CVPR 2018, algorithm 1, in the order of the released code: LabNet, then by
rounds the discriminators, ImgNet and TexNet towards LabNet. What a phase reads of other
networks is detached, as banks of whole data, so each optimiser moves one network.

Three cures for the collapse that users of the released code report: the summed objective
is divided by n * B, LabNet is trained once and then frozen, and no rate ever restarts.
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
from encoders.passlog import Tally, total
from ssah_index.types import Progress

JUDGED = 4
"""Discriminators see one batch in so many: they tell features apart long before a pass ends,
and with 19 million weights each they would take most of a round."""
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

    image_net: nn.Module
    text_net: nn.Module

    def __init__(self, pairs: TrainingSet, spec: TrainSpec) -> None:
        super().__init__()
        classes = pairs.labels.shape[1]
        self.label_net = paper_lab_net(classes, spec.hidden, spec.bits)
        self.image_net = new_image_net(spec, pairs.images, classes)
        self.text_net = text_net(spec, pairs.bags.shape[1], classes)
        self.discriminators = nn.ModuleList([paper_discriminator(spec.hidden) for _ in range(2)])
        self._pairs = pairs
        self._spec = spec
        self._tally = Tally()
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

    def run_pass(self, number: int, progress: Progress) -> dict[str, float]:
        """Round ``number`` of phases; returns the mean loss and terms of ImgNet's and TexNet's
        steps, and of the others' the mean loss.
        """
        self.train()
        if number == 0 and self._spec.lab_net:
            for _ in range(self._spec.label_passes):
                self._label_pass(progress)
        bank = self.outputs(self.label_net, self._pairs.labels)
        self._adversary_pass(bank, progress)
        self._modality_pass(self.image_net, self._pairs.images, 0, bank, progress)
        self._modality_pass(self.text_net, self._pairs.bags, 1, bank, progress)
        return self._tally.means()

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
        total = spec.label_passes + 3 * spec.passes
        progress(min(self._done, total), total, "training passes")
        return list(order.split(spec.batch_rows))[: len(order) // spec.batch_rows]

    def _label_pass(self, progress: Progress) -> None:
        """LabNet against its own bank, which is refreshed at the batch's rows."""
        bank = self.outputs(self.label_net, self._pairs.labels)
        for rows in self._batches(progress):
            out = self.label_net(self._pairs.labels[rows])
            bank.feature[rows], bank.code[rows] = out.feature.detach(), out.code.detach()
            loss = self._descend("label", self.objective(out, bank, rows))
            self._tally.add({"label_net": loss})

    def _modality_pass(
        self, net: nn.Module, inputs: Tensor, judge: int, bank: Output, progress: Progress
    ) -> None:
        name = ("image", "text")[judge]
        batches = self._batches(progress)
        banks = [bank] if self._spec.lab_net else self._banks_without_labels()
        for rows in batches:
            out = net(inputs[rows])
            if not self._spec.lab_net:
                banks[judge].feature[rows] = out.feature.detach()
                banks[judge].code[rows] = out.code.detach()
            found = [self.objective(out, each, rows) for each in banks]
            terms = {term: torch.stack([each[term] for each in found]).mean() for term in found[0]}
            if self._spec.adversary:
                terms["adversary"] = self._adversary_term(judge, out.feature)
            loss = self._descend(name, terms)
            self._tally.add({"loss": loss, **terms})

    def _banks_without_labels(self) -> list[Output]:
        """Without LabNet, what ImgNet and TexNet are compared with: both of them.

        Against its own codes alone, each would learn the labels in a frame of its own (MAP
        across modalities 0.50, where chance has 0.56).
        """
        return [
            self.outputs(self.image_net, self._pairs.images),
            self.outputs(self.text_net, self._pairs.bags),
        ]

    def _adversary_term(self, judge: int, feature: Tensor) -> Tensor:
        """The generator's term; the judge's own gradients are not even computed."""
        net = self.discriminators[judge].requires_grad_(False)
        term = self._spec.adversary * losses.adversary(net(feature))
        net.requires_grad_(True)
        return term

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
        for rows in self._batches(progress)[::JUDGED]:
            terms = {
                name: losses.discriminator(judge(bank.feature[rows]), judge(fake[rows]))
                for name, judge, fake in zip(
                    ("image", "text"), self.discriminators, features, strict=True
                )
            }
            self._tally.add({"discriminators": self._descend("adversary", terms)})

    def objective(self, out: Output, bank: Output, rows: Tensor) -> dict[str, Tensor]:
        """Terms of equations 2 and 3 on one batch against the whole bank, divided by n * B."""
        spec, labels = self._spec, self._pairs.labels
        official = spec.preset == "official"
        similar = losses.similarity(labels, labels[rows], OFFICIAL_POSITIVE if official else 1.0)
        pair = losses.pairwise_squared if official else losses.pairwise_nll
        half = 0.5 if official else 1.0
        feature_pairs = pair(bank.feature, out.feature, similar)
        code_pairs = pair(bank.code, out.code, similar)
        quantised = half * losses.quantisation(out.code)
        classified = half * losses.classification(torch.sigmoid(out.logits), labels[rows])
        return {
            "feature_pairs": spec.similarity_weight * feature_pairs / similar.numel(),
            "pairs": spec.similarity_weight * code_pairs / similar.numel(),
            "quantisation": spec.quantisation_weight * quantised / similar.numel(),
            "classification": spec.classification_weight * classified / similar.numel(),
        }

    def _descend(self, name: str, terms: dict[str, Tensor]) -> Tensor:
        """One step of an optimiser; returns the loss."""
        loss = total(terms)
        optimiser = self._optimisers[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss
