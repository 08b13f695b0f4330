"""Encoders by name: the entry points of the group ``ssah_index.encoders``.

An encoder folder has an encoder.json whose ``kind`` names the entry point that reads the
rest. The engine meets encoders only here, and imports no part of them itself.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from ssah_index.errors import EncoderError, MissingExtraError, SsahError
from ssah_index.foreign import read_document
from ssah_index.types import Encoder, EncoderKind

GROUP = "ssah_index.encoders"
SPEC_FILE = "encoder.json"
LONGEST_KIND = 100
"""Characters of a kind's name."""


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
            f"encoder kind {name!r} needs {error.name or error}, which is not installed",
            "the training extra",
            "Run: pip install 'ssah-index[train,images]'",
        ) from error
    except Exception as error:  # another package's module, which may fail in any way
        raise EncoderError(
            f"encoder kind {name!r} cannot be loaded ({type(error).__name__}: {error})",
            f"{points[name].value}, as its package states",
            "Update or reinstall the package that offers it.",
        ) from error
    return kind


def kind_of(folder: Path) -> EncoderKind:
    """The kind of the encoder in a folder.

    Raises
    ------
    EncoderError
        If there is no encoder, or its kind is not installed.
    """
    name = read_document(folder, SPEC_FILE).get("kind")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_KIND:
        raise EncoderError(
            f"{folder} holds no encoder: {SPEC_FILE} has the kind {str(name)[:LONGEST_KIND]!r}",
            f"a folder with an {SPEC_FILE} that names its kind",
            "Make one with: ssah-index train INPUT ENCODER",
        )
    return encoder_kind(name)


def load_encoder(folder: Path) -> Encoder:
    """Open an encoder folder, whatever its kind.

    Raises
    ------
    EncoderError
        If there is no encoder, or it cannot be read.
    """
    kind = kind_of(folder)
    try:
        return kind.load(folder)
    except (SsahError, MemoryError):
        raise
    except Exception as error:  # of a kind that somebody else wrote
        raise EncoderError(
            f"the encoder in {folder} cannot be read ({type(error).__name__}: {error})",
            "a folder as its kind has written it",
            "Restore the folder from a copy, or train again.",
        ) from error
