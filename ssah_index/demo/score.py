"""MAP of the demo's encoder on held-out icons, beside what knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssah_index.ingest import open_reader
from ssah_index.plugins import encoder_kind, load_encoder
from ssah_index.store import Snapshot, Store
from ssah_index.types import MODALITIES, Codes, Encoder, Item, Modality, Progress

BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Mean average precision over the whole ranking, between 0 and 1."""

    encoder: str
    """What made the codes: "trained", "untrained" or "random codes"."""
    text_to_image: float
    """Held-out texts against the images of the store."""
    image_to_text: float
    """Held-out images against the texts of the store."""


def score(
    database: Path, held_out: Path, store: Path, encoder: Path, progress: Progress
) -> list[Score]:
    """Score the trained encoder, the same one untrained, and random codes.

    Parameters
    ----------
    database, held_out : Path
        Folders of icons, as `render_icons` leaves them.
    store : Path
        Built from ``database`` with ``encoder``.
    encoder : Path
        The trained encoder's folder.
    progress : Progress
    """
    queries = [item for item in _items(held_out) if item.labels]
    snapshot = Store.open(store).snapshot()
    trained = load_encoder(encoder)
    items = _items(database)
    untrained = encoder_kind("ssah").train(
        items,
        options={"bits": trained.bits, "passes": 0},
        report=lambda _: None,
        progress=progress,
    )
    random = np.random.default_rng(0)
    return [
        _score("trained", [_stored(snapshot, m) for m in MODALITIES], _encoded(trained, queries)),
        _score("untrained", _encoded(untrained, items), _encoded(untrained, queries)),
        _score(
            "random codes",
            [_random(random, trained.bits, items)] * 2,
            [_random(random, trained.bits, queries)] * 2,
        ),
    ]


Labelled = tuple[Codes, list[tuple[str, ...]]]
"""Codes and the labels of each."""


def _score(name: str, database: Sequence[Labelled], queries: Sequence[Labelled]) -> Score:
    """Both directions; each argument holds images, then texts, as MODALITIES does."""
    kind = encoder_kind("ssah")
    images, texts = database
    query_images, query_texts = queries
    return Score(
        encoder=name,
        text_to_image=kind.evaluate(*query_texts, *images),
        image_to_text=kind.evaluate(*query_images, *texts),
    )


def _items(folder: Path) -> list[Item]:
    reader = open_reader(folder)
    return [row for row in reader.read(0, len(reader)) if isinstance(row, Item)]


def _stored(snapshot: Snapshot, modality: Modality) -> Labelled:
    """All codes of a modality in the store, and their labels."""
    segments = snapshot.select(modality)
    codes = np.concatenate([segment.codes for segment in segments])
    rows = np.concatenate([s.first_row + np.arange(len(s)) for s in segments])
    labels = snapshot.take(rows, ["labels"]).column("labels").to_pylist()
    return codes, [tuple(own) for own in labels]


def _encoded(encoder: Encoder, items: Sequence[Item]) -> list[Labelled]:
    """Codes of the items that can be encoded, images and texts, and their labels."""
    out = []
    for modality in MODALITIES:
        codes, labels = [], []
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            part, failures = encoder.encode(modality, [getattr(i, modality) for i in batch])
            failed = {position for position, _ in failures}
            codes.append(part)
            labels += [item.labels for number, item in enumerate(batch) if number not in failed]
        out.append((np.concatenate(codes), labels))
    return out


def _random(random: np.random.Generator, bits: int, items: Sequence[Item]) -> Labelled:
    codes = random.integers(0, 256, (len(items), bits // 8), dtype=np.uint8)
    return codes, [item.labels for item in items]
