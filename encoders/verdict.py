"""What is wrong with the codes of a finished training, judged on what it was trained on.

Codes that tell nothing apart there tell nothing apart anywhere. Nothing here draws from
torch's generators.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.config import TrainSpec
from encoders.pairs import TrainingSet
from encoders.ranking import (
    COLLAPSE_MARGIN,
    expected_precisions,
    has_collapsed,
    mean_over_queries,
)
from encoders.retrieval import Retrieval
from encoders.validation import Judged, codes_of
from ssah_index.types import Codes

JUDGED = 2000
"""Most training pairs that are ranked against each other."""
FEW = 30
"""Pairs that share a label with another below which a mean over them is mostly luck."""


class Within(NamedTuple):
    """How items of one modality find each other."""

    found: float
    """MAP of each among the others; ties count as the mean over their orders."""
    chance: float
    """MAP of codes that are all equal."""
    queries: int
    """Items that share a label with another, over which the means are."""


def verdict(trainer: Judged, pairs: TrainingSet, spec: TrainSpec) -> str | None:
    """Say why trained codes are of no use.

    Parameters
    ----------
    trainer : Judged
        On the CPU.
    pairs : TrainingSet
        Trained on; a sample of at most 2,000, fixed by the seed, is ranked.
    spec : TrainSpec

    Returns
    -------
    str or None
        A sentence with figures; None where the codes tell items apart, or there are too few
        to say so.
    """
    own = torch.Generator().manual_seed(spec.seed)
    sample = pairs.rows(torch.randperm(len(pairs), generator=own)[:JUDGED])
    labels = sample.labels.cpu().numpy()
    trainer.eval()
    codes = {
        "image": codes_of(trainer.image_net, sample.images),
        "text": codes_of(trainer.text_net, sample.bags),
    }
    reasons = [*_equal("image", codes["image"], sample.images)]
    reasons += _equal("text", codes["text"], sample.bags)
    sides = {name: found for name in codes if (found := _within(codes[name], labels)) is not None}
    telling = [side for side in sides.values() if side.queries >= FEW]
    if labels.shape[1] == 1:
        reasons.append("there is one label, so that nothing can be told apart")
    elif any(side.chance > 1 - COLLAPSE_MARGIN for side in telling):
        reasons.append("nearly all pairs share a label, so that nothing can be told apart")
    poor = any(has_collapsed(side.found, side.chance) for side in telling)
    if not (reasons or poor):
        return None
    figures = [f"{name}s among {name}s {side.found:.3f}" for name, side in sides.items()]
    figures += [f"by chance {side.chance:.3f}" for side in [*sides.values()][:1]]
    shown = f" (MAP of {', '.join(figures)})" if figures else ""
    more = f": {'; '.join(reasons)}" if reasons else ""
    return (
        f"The codes have collapsed: within a modality they find no better than chance{shown}{more}."
    )


def _equal(name: str, codes: Codes, inputs: Tensor) -> list[str]:
    """A remark where all codes are equal, and whether what they are of is so too."""
    if (codes != codes[0]).any():
        return []
    alike = bool((inputs == inputs[0]).all())
    return [f"all {name} codes are equal" + (f", as the {name}s are" if alike else "")]


def _within(codes: Codes, labels: NDArray[np.float32]) -> Within | None:
    """How items find each other; None where none shares a label with another."""
    task = Retrieval(queries=codes, query_labels=labels, database=codes, database_labels=labels)
    total, hits = task.counts()
    total[:, 0] -= 1  # the item itself, at distance 0
    hits[:, 0] -= labels.any(axis=1)
    matched = hits.sum(axis=1) > 0
    if not matched.any():
        return None
    total, hits = total[matched], hits[matched]
    one_group = (counts.sum(axis=1, keepdims=True) for counts in (total, hits))
    return Within(
        mean_over_queries(expected_precisions(total, hits)),
        mean_over_queries(expected_precisions(*one_group)),
        len(total),
    )
