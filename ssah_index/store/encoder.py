"""The encoder that a store carries, so that texts and images can be asked of it."""

from __future__ import annotations

from pathlib import Path

from ssah_index.errors import EncoderError
from ssah_index.plugins import load_encoder
from ssah_index.store.format import ENCODER, Format
from ssah_index.store.names import refuse_links_below
from ssah_index.store.place import Place
from ssah_index.types import Encoder


def bring_encoder(place: Place, format: Format) -> Path | None:
    """Have the encoder's files on this machine; their folder, or None if there are none."""
    if not format.files:
        return None
    place.confirm()
    place.bring(format.files)
    refuse_links_below(place.root, ENCODER)
    return place.root / ENCODER


def open_encoder(place: Place, format: Format) -> Encoder:
    """Open the encoder; this is `Store.load_encoder`, which says what it raises."""
    folder = bring_encoder(place, format)
    if folder is None:
        raise EncoderError(
            f"{place} carries no encoder",
            "one, to encode texts and images",
            "Search it by codes, or build it again with an encoder.",
        )
    encoder = load_encoder(folder)
    if encoder.fingerprint != format.encoder:
        raise EncoderError(
            f"the encoder in {folder} has fingerprint {encoder.fingerprint}",
            f"{format.encoder}, which made the codes",
            "Restore the encoder folder from a copy.",
        )
    return encoder
