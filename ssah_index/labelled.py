"""Codes with labels: the rows of a store, and items encoded on the spot.

An evaluation sets the ones against the others. Relies on the store; encoders come in by
their Protocol.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes import pack
from ssah_index.encoding import activate_items, encode_items
from ssah_index.store import Snapshot
from ssah_index.types import (
    Codes,
    Encoder,
    Failure,
    Item,
    Labelled,
    Modality,
    Progress,
    RealEncoder,
    no_progress,
)

BATCH_ROWS = 256


def stored(
    snapshot: Snapshot, modality: Modality, trained_on: Collection[str] | None = None
) -> Labelled:
    """All rows of a modality that are not deleted, in order of insertion.

    Parameters
    ----------
    snapshot : Snapshot
        With at least one row of the modality.
    modality : {"image", "text"}
    trained_on : collection of str, optional
        Ids of what training has seen.

    Notes
    -----
    Codes are copied out of the map, and labels become Python strings.
    """
    seen = None
    if trained_on is not None:
        seen = np.array([key in trained_on for key in column(snapshot, modality, "id")], np.bool_)
    return Labelled(
        codes=np.concatenate([s.codes[s.keep()] for s in snapshot.select(modality)]),
        labels=[tuple(own) for own in column(snapshot, modality, "labels")],
        seen=seen,
    )


def column(snapshot: Snapshot, modality: Modality, name: str) -> list[Any]:
    """One column of all rows of a modality that are not deleted, in order of insertion."""
    rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.select(modality)]
    taken = snapshot.take(np.concatenate([np.empty(0, np.int64), *rows]), [name])
    values: list[Any] = taken.column(name).to_pylist()
    return values


def pairs(snapshot: Snapshot) -> NDArray[np.int64]:
    """Images and texts of one id, int64 (m, 2): their places among the rows of either."""
    images = {key: place for place, key in enumerate(column(snapshot, "image", "id"))}
    texts = enumerate(column(snapshot, "text", "id"))
    found = [(images[key], place) for place, key in texts if key in images]
    return np.array(found, np.int64).reshape(-1, 2)


def encoded(
    encoder: Encoder, modality: Modality, items: Sequence[Item], progress: Progress = no_progress
) -> tuple[Labelled, list[Failure]]:
    """Codes of the items that have the modality, with activations where they are to be had.

    Returns
    -------
    Labelled
        In the order of the items, failed ones left out.
    list of Failure
        The items that could not be encoded.
    """
    items = [item for item in items if getattr(item, modality) is not None]
    codes: list[Codes] = [np.empty((0, encoder.bits // 8), np.uint8)]
    real: list[NDArray[np.float32]] = []
    labels: list[tuple[str, ...]] = []
    failures: list[Failure] = []
    for start in range(0, len(items), BATCH_ROWS):
        batch = items[start : start + BATCH_ROWS]
        values = [getattr(item, modality) for item in batch]
        if isinstance(encoder, RealEncoder):
            activations, failed = activate_items(encoder, modality, values)
            real.append(activations)
            codes.append(pack(activations))
        else:
            part, failed = encode_items(encoder, modality, values)
            codes.append(part)
        reasons = dict(failed)
        for place, item in enumerate(batch):
            if place in reasons:
                failures.append(_failure(item, modality, reasons[place]))
            else:
                labels.append(item.labels)
        progress(start + len(batch), len(items), f"{modality}s")
    own = Labelled(
        codes=np.concatenate(codes),
        labels=labels,
        activations=np.concatenate(real) if real else None,
    )
    return own, failures


def _failure(item: Item, modality: Modality, reason: str) -> Failure:
    return Failure(id=item.id, source=item.source, modality=modality, reason=reason)
