"""Encoders by name: the entry points of the group ``ssah_index.encoders``.

An encoder folder has an encoder.json whose ``kind`` names the entry point that reads the
rest. The engine meets encoders only here, and imports no part of them itself.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

from ssah_index.errors import EncoderError, MissingExtraError
from ssah_index.types import Encoder, EncoderKind

GROUP = "ssah_index.encoders"
SPEC_FILE = "encoder.json"


def encoder_kind(name: str) -> EncoderKind:
    """The installed kind of encoder of that name.

    Raises
    ------
    EncoderError
        If none is installed under the name.
    MissingExtraError
        If it is, but a library it needs is not.
    """
    points = entry_points(group=GROUP)
    if name not in points.names:
        raise EncoderError(
            f"no encoder kind {name!r} is installed",
            f"one of {', '.join(sorted(points.names)) or 'none'}",
            "Install the package that offers it.",
        )
    try:
        kind: EncoderKind = points[name].load()
    except ImportError as error:
        raise MissingExtraError(
            f"encoder kind {name!r} needs {error.name}, which is not installed",
            "the training extra",
            "Run: pip install 'ssah-index[train,images]'",
        ) from error
    return kind


def kind_of(folder: Path) -> EncoderKind:
    """The kind of the encoder in a folder.

    Raises
    ------
    EncoderError
        If there is no encoder, or its kind is not installed.
    """
    try:
        name = json.loads((folder / SPEC_FILE).read_bytes())["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"{folder} holds no encoder ({error})",
            f"a folder with an {SPEC_FILE} that names its kind",
            "Make one with: ssah-index train INPUT ENCODER",
        ) from error
    return encoder_kind(name)


def load_encoder(folder: Path) -> Encoder:
    """Open an encoder folder, whatever its kind.

    Raises
    ------
    EncoderError
        If there is no encoder, or it cannot be read.
    """
    return kind_of(folder).load(folder)
