"""The choice of a pass by held-out pairs, and the sight of codes that have collapsed.

Nothing here draws from torch's generators, so that a run with validation trains the very
weights of one without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from encoders.config import TrainSpec
from encoders.pairs import TrainingSet
from encoders.ranking import expected_precisions, has_collapsed, map_of, mean_over_queries
from encoders.retrieval import Retrieval
from ssah_index.codes import pack
from ssah_index.errors import CollapseError
from ssah_index.types import Codes

SAMPLE = 5000
"""Most training pairs that validation pairs are ranked against."""
ENCODE_ROWS = 1024
NETS = ("image_net", "text_net")


class Judged(Protocol):
    """A trainer whose networks are chosen between passes."""

    image_net: nn.Module
    text_net: nn.Module

    def eval(self) -> object:
        """Dropout off, batch norm by its running means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """MAP of validation queries over the whole ranking of the training sample, 0 to 1."""

    image_to_text: float
    """Ties in the sample's order, as of text_to_image."""
    text_to_image: float
    image_to_image: float
    """Expected over the orders of ties, as of text_to_text."""
    text_to_text: float
    prevalence: float
    """What codes that are all equal score: the share of relevant items, or little more."""

    @classmethod
    def names(cls) -> list[str]:
        """The fields, in order."""
        return [field.name for field in fields(cls)]

    def __str__(self) -> str:
        """The choice's two figures, for a line of progress."""
        return f"validation {self.image_to_text:.3f} / {self.text_to_image:.3f}"

    @property
    def mean(self) -> float:
        """Of the two directions across modalities: what a pass is chosen by."""
        return (self.image_to_text + self.text_to_image) / 2

    @property
    def collapsed(self) -> bool:
        """Whether a modality ranks its own kind no better than equal codes do."""
        within = (self.image_to_image, self.text_to_text)
        return any(has_collapsed(found, self.prevalence) for found in within)


class Choice:
    """The best pass so far, and the scores that say so.

    Parameters
    ----------
    validation : TrainingSet or None
        Held out of ``pairs``, and never the queries a result is reported on: a pass that is
        chosen by them makes the result optimistic. None: the last pass is the choice.
    pairs : TrainingSet
        Trained on; a sample of at most 5,000, fixed by the seed, is what is ranked.
    spec : TrainSpec
    device : torch.device
        Where the networks are.
    """

    def __init__(
        self,
        validation: TrainingSet | None,
        pairs: TrainingSet,
        spec: TrainSpec,
        device: torch.device,
    ) -> None:
        self._spec = spec
        self._validation = None
        if validation is not None:
            own = torch.Generator().manual_seed(spec.seed)
            sample = torch.randperm(len(pairs), generator=own)[:SAMPLE]
            self._validation = validation.to(device)
            self._sample = pairs.rows(sample).to(device)
        self._best: dict[str, Any] = {"score": 0.0, "pass": 0, "judged": 0, "nets": {}}

    @property
    def settled(self) -> bool:
        """Whether patience is at its end."""
        waited = self._best["judged"] - self._best["pass"]
        return bool(0 < self._spec.patience <= waited)

    def state_dict(self) -> dict[str, Any]:
        """Score, number and weights of the best pass, and the last pass judged."""
        return dict(self._best)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`."""
        self._best = dict(state)

    def judge(self, number: int, trainer: Judged) -> Scores | None:
        """Score pass ``number``, the first being 1, and keep its weights if none was better.

        None where there is no validation, or it is not this pass's turn; the last pass
        always has one.
        """
        due = number % self._spec.validate_every == 0 or number == self._spec.passes
        if self._validation is None or not due:
            return None
        trainer.eval()
        scores = self._scores(self._validation, trainer)
        self._best["judged"] = number
        if scores.mean > self._best["score"]:
            nets = {
                name: {k: v.cpu().clone() for k, v in getattr(trainer, name).state_dict().items()}
                for name in NETS
            }
            self._best |= {"score": scores.mean, "pass": number, "nets": nets}
        return scores

    def apply(self, trainer: Judged) -> None:
        """Give the trainer the networks of the best pass."""
        for name, weights in self._best["nets"].items():
            getattr(trainer, name).load_state_dict(weights)

    def __str__(self) -> str:
        """The end of a line that says which pass was chosen; nothing without validation."""
        if self._validation is None:
            return ""
        return f", the best by validation is pass {self._best['pass']}"

    def _scores(self, validation: TrainingSet, trainer: Judged) -> Scores:
        asked, found = (
            (codes_of(trainer.image_net, pairs.images), codes_of(trainer.text_net, pairs.bags))
            for pairs in (validation, self._sample)
        )
        query_labels, labels = (pairs.labels.cpu().numpy() for pairs in (validation, self._sample))

        def task(query: int, database: int) -> Retrieval:
            return Retrieval(
                queries=asked[query],
                query_labels=query_labels,
                database=found[database],
                database_labels=labels,
            )

        own_images, prevalence = own_map(task(0, 0))
        return Scores(
            image_to_text=map_of(task(0, 1)),
            text_to_image=map_of(task(1, 0)),
            image_to_image=own_images,
            text_to_text=own_map(task(1, 1))[0],
            prevalence=prevalence,
        )


@torch.no_grad()
def codes_of(net: nn.Module, inputs: Tensor) -> Codes:
    """Packed codes of all rows, uint8 (n, bits / 8)."""
    parts = [net(part).code for part in inputs.split(ENCODE_ROWS)]
    return pack(torch.cat(parts).cpu().numpy())


def own_map(task: Retrieval) -> tuple[float, float]:
    """Expected MAP, and that of codes that are all equal: one group of ties."""
    total, hits = task.counts()
    one_group = total.sum(axis=1, keepdims=True), hits.sum(axis=1, keepdims=True)
    return (
        mean_over_queries(expected_precisions(total, hits)),
        mean_over_queries(expected_precisions(*one_group)),
    )


def collapse(number: int, scores: Scores, spec: TrainSpec) -> CollapseError:
    """The error that stops a run which cannot recover; it names pass and scores."""
    values = asdict(scores)
    prevalence = values.pop("prevalence")
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in values.items())
    return CollapseError(
        f"codes have collapsed at pass {number} of {spec.passes}: MAP of validation {shown}, "
        f"where codes that are all equal have {prevalence:.3f}, the prevalence",
        "image to image and text to text well above it",
        "Remove the checkpoint, if there is one: it is of the pass before. Train again with a "
        "lower --learning-rate (learning_rate), or a lower quantisation_weight or "
        "adversary_weight (--set NAME=VALUE); with --set stop_on_collapse=false a run goes on.",
    )


def check_loss(number: int, loss: float, spec: TrainSpec) -> None:
    """Refuse to go on from weights that are no numbers any more.

    Raises
    ------
    CollapseError
    """
    if not math.isfinite(loss):
        raise CollapseError(
            f"training diverged at pass {number} of {spec.passes}: the mean loss is {loss}",
            "a finite loss",
            "Remove the checkpoint, if there is one, and train again with a lower "
            f"--learning-rate (learning_rate), now {spec.learning_rate}.",
        )
