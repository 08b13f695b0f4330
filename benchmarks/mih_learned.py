"""Codes of an encoder, as many as are wanted, by encoding perturbed items of its data set.

No code is copied: a drawn item is one item moved towards one of its nearest, and disturbed.
Queries are drawn so from the items that the split holds out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.encoder_data import LOADERS
from benchmarks.encoder_rows import options_of, train_nets
from benchmarks.search import FOLDER
from encoders.config import TrainSpec
from ssah_index.codes import pack
from ssah_index.types import Modality

ROWS = 4096
"""Items encoded at a time."""
NEAR = 10
"""Nearest items, of which one is moved towards."""
NOISE = 0.3
"""Of image features, whose standard deviation is 1."""
KEPT, TAKEN, STRANGE = 0.8, 0.3, 0.2
"""Shares of own words kept, of the near item's words taken; texts with a word of any other."""


def mixed_features(random: np.random.Generator, own: Tensor, near: Tensor) -> Tensor:
    """Between an item's features and those of one near it, nearer to its own, and noise."""
    weight = torch.from_numpy(random.uniform(0.5, 1.0, (len(own), 1)).astype(np.float32))
    noise = torch.from_numpy(random.standard_normal(own.shape, np.float32))
    return own * weight + near * (1 - weight) + NOISE * noise


def mixed_words(random: np.random.Generator, own: Tensor, near: Tensor) -> Tensor:
    """Some of a text's words, some of one near it and at times a strange one, of unit length."""
    chance = torch.from_numpy(random.random(own.shape, np.float32))
    bags = torch.maximum(own.sign() * (chance < KEPT), near.sign() * (chance > 1 - TAKEN))
    strange = torch.from_numpy(random.integers(0, own.shape[1], len(own)))
    some = torch.from_numpy(np.flatnonzero(random.random(len(own)) < STRANGE))
    bags[some, strange[some]] = 1.0
    empty = bags.sum(dim=1) == 0
    bags[empty] = own[empty].sign()
    return bags / bags.norm(dim=1, keepdim=True).clamp(min=1e-12)


KINDS: dict[str, tuple[Modality, Callable[..., Tensor]]] = {
    "mirflickr": ("image", mixed_features),
    "icons": ("text", mixed_words),
}
"""What is encoded of each data set, and how it is perturbed."""


class Learned:
    """The encoder "modern" of a data set, seed 0; trained once and kept in the folder."""

    def __init__(self, data: str, bits: int) -> None:
        modality, self._perturbed = KINDS[data]
        pairs = LOADERS[data]()
        split = pairs.split(0)
        path = FOLDER / f"mih-{data}-{bits}.pt"
        spec = TrainSpec.of(options_of(data, "modern", bits, 0))
        nets, inputs = train_nets(pairs, split, spec, known=path)
        torch.set_num_threads(1)  # pieces are drawn on all cores
        self._net = nets[modality]
        self._parts = {
            held_out: _with_neighbours(inputs[modality][rows])
            for held_out, rows in ((False, split.retrieval), (True, split.query))
        }

    def draw(self, random: np.random.Generator, count: int, held_out: bool) -> NDArray[np.uint8]:
        items, neighbours = self._parts[held_out]
        codes: list[NDArray[Any]] = []
        for start in range(0, count, ROWS):
            rows = random.integers(0, len(items), min(ROWS, count - start))
            near = neighbours[rows, random.integers(0, neighbours.shape[1], len(rows))]
            with torch.inference_mode():
                found = self._net(self._perturbed(random, items[rows], items[near])).code
            codes.append(pack(found.numpy()))
        return np.concatenate(codes)


def _with_neighbours(items: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
    """Items, and the rows of the nearest of each by cosine; int64 (n, NEAR)."""
    unit = items / items.norm(dim=1, keepdim=True).clamp(min=1e-12)
    found = [(part @ unit.T).topk(NEAR + 1).indices[:, 1:] for part in unit.split(512)]
    return items, torch.cat(found).numpy()
