"""MAP of the demo's encoder on held-out icons, beside what knows nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssah_index.ingest import open_reader
from ssah_index.labelled import encoded, stored
from ssah_index.plugins import encoder_kind, load_encoder
from ssah_index.store import Store
from ssah_index.types import MODALITIES, Encoder, Item, Labelled, Modality, Progress


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
    items = _items(database)
    snapshot = Store.open(store).snapshot()
    trained = load_encoder(encoder)
    untrained = encoder_kind("ssah").train(
        items,
        options={"bits": trained.bits, "passes": 0},
        report=lambda _: None,
        progress=progress,
    )
    random = np.random.default_rng(0)
    in_store = {modality: stored(snapshot, modality) for modality in MODALITIES}
    return [
        _score("trained", in_store, _encoded(trained, queries)),
        _score("untrained", _encoded(untrained, items), _encoded(untrained, queries)),
        _score(
            "random codes",
            _random(random, trained.bits, items),
            _random(random, trained.bits, queries),
        ),
    ]


def _score(
    name: str, database: Mapping[Modality, Labelled], queries: Mapping[Modality, Labelled]
) -> Score:
    def mean_average_precision(asking: Modality, found: Modality) -> float:
        kind = encoder_kind("ssah")
        report = kind.evaluate({asking: queries[asking]}, {found: database[found]})
        return float(report["directions"][f"{asking}->{found}"]["map"])

    return Score(
        encoder=name,
        text_to_image=mean_average_precision("text", "image"),
        image_to_text=mean_average_precision("image", "text"),
    )


def _items(folder: Path) -> list[Item]:
    reader = open_reader(folder)
    return [row for row in reader.read(0, len(reader)) if isinstance(row, Item)]


def _encoded(encoder: Encoder, items: Sequence[Item]) -> dict[Modality, Labelled]:
    """The items that can be encoded, by modality; nothing here is said of activations."""
    return {
        modality: replace(encoded(encoder, modality, items)[0], activations=None)
        for modality in MODALITIES
    }


def _random(
    random: np.random.Generator, bits: int, items: Sequence[Item]
) -> dict[Modality, Labelled]:
    codes = random.integers(0, 256, (len(items), bits // 8), dtype=np.uint8)
    own = Labelled(codes=codes, labels=[item.labels for item in items])
    return dict.fromkeys(MODALITIES, own)
