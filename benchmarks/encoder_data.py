"""The data sets that encoders are measured on, each as arrays and a split by seed.

MIRFLICKR-25K and Wikipedia are read from the folder SSAH_DATA, or ../shared/data; the icons
are rendered into the folder of the demo, unless it holds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.config import TrainSpec
from encoders.data import label_matrix
from encoders.datasets import Dataset, load_mirflickr_npz, load_wikipedia
from encoders.images import load_image
from encoders.splits import Split, split_for
from encoders.words import WordCounts, words_of
from ssah_index.demo.icons import TABLE, render_icons
from ssah_index.ingest import open_reader
from ssah_index.types import Item, no_progress

FOLDER = Path(os.environ.get("SSAH_DATA", "../shared/data"))
DEMO = Path("demo")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Image-text pairs; row i of each array is pair i."""

    images: NDArray[Any]
    """float (n, d) features, or uint8 (n, 3, size, size) pixels."""
    texts: NDArray[Any]
    """numeric (n, words)."""
    labels: NDArray[Any]
    """0/1 (n, c)."""
    note: str
    """What to say beside any figure; may be empty."""
    split: Callable[[int], Split]
    """The split of a seed; the same for all where the data set has its own."""


def mirflickr() -> Pairs:
    """MIRFLICKR-25K: frozen image features, tags, 24 labels."""
    return _of(load_mirflickr_npz(FOLDER / "mirflickr25k/mirflickr25k.npz"))


def wikipedia() -> Pairs:
    """Wikipedia: SIFT words, topics, 10 classes."""
    return _of(load_wikipedia([FOLDER / "wikipedia/wikiData.mat"]))


def _of(data: Dataset) -> Pairs:
    return Pairs(
        images=data.images,
        texts=data.texts,
        labels=data.labels,
        note=data.note,
        split=lambda seed: split_for(data.name, len(data), seed),
    )


def icons(folder: Path = DEMO) -> Pairs:
    """The demo's icons as pixels: nine in ten are trained on and searched, the tenth asks.

    Queries are those with a label and a word that the vocabulary of the others has, the
    same for images and texts.
    """
    parts = folder / "icons", folder / "held-out"
    if not all((part / TABLE).exists() for part in parts):
        render_icons(*parts, no_progress)
    database, held_out = (_items(part) for part in parts)
    spec = TrainSpec()
    counts = WordCounts((item.text or "" for item in database), spec.words)
    vocabulary = counts.vocabulary(spec.min_word_texts, spec.max_words)
    known = set(vocabulary.words)
    asking = [
        i for i in held_out if i.labels and known.intersection(words_of(i.text or "", spec.words))
    ]
    items = [*database, *asking]
    names = sorted({name for item in database for name in item.labels})
    searched = np.arange(len(database), dtype=np.int64)
    split = Split(
        query=np.arange(len(database), len(items), dtype=np.int64),
        retrieval=searched,
        train=searched,
        validation=searched[:0],
        seed=-1,
    )
    return Pairs(
        images=np.stack([load_image(i.image, spec.image_size) for i in items if i.image]),
        texts=np.stack([vocabulary.bag(item.text or "") for item in items]),
        labels=label_matrix([item.labels for item in items], names).numpy(),
        note="options chosen on these held-out icons, so slightly optimistic",
        split=lambda _: split,
    )


def _items(folder: Path) -> list[Item]:
    reader = open_reader(folder)
    return [row for row in reader.read(0, len(reader)) if isinstance(row, Item)]


LOADERS: dict[str, Callable[[], Pairs]] = {
    "mirflickr": mirflickr,
    "wikipedia": wikipedia,
    "icons": icons,
}
"""By name."""
