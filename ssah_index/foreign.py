"""Files that a stranger may have written: regular, inside their folder, of bounded size.

Encoder folders are passed around, alone and inside stores. Whatever they hold is read by
way of these functions, so that none leads to a file elsewhere, or to a pipe that never ends.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from ssah_index.errors import EncoderError

DOCUMENT_BYTES = 64 << 20
"""Most bytes of a JSON document: a million words of a vocabulary, and more."""
_REMEDY = "Restore the folder from a copy, or train again."


def plain_file(folder: Path, name: str) -> Path:
    """The path of a regular file in a folder.

    Parameters
    ----------
    folder : Path
    name : str
        A name without a folder in it.

    Raises
    ------
    EncoderError
        If there is none, or it is a link that leads out of the folder, or no regular file.
    """
    path = folder / name
    try:
        own, target = folder.resolve(strict=True), path.resolve(strict=True)
        regular = stat.S_ISREG(target.stat().st_mode)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise EncoderError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error})",
            "an encoder folder, which has such a file",
            "Check the path, or make one with: ssah-index train INPUT ENCODER",
        ) from error
    if not regular or own not in target.parents:
        what = "a link to a file outside its folder" if regular else "no regular file"
        raise EncoderError(f"{path} is {what}", "a regular file in the folder itself", _REMEDY)
    return path


def read_document(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a folder.

    Raises
    ------
    EncoderError
        If there is no such file, or it holds anything else, or is too large.
    """
    path = plain_file(folder, name)
    try:
        with path.open("rb") as file:
            content = file.read(DOCUMENT_BYTES + 1)
        document = json.loads(content.decode("utf-8")) if len(content) <= DOCUMENT_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(
            f"{path} cannot be read ({error})", "a JSON object in UTF-8", _REMEDY
        ) from error
    if not isinstance(document, dict):
        found = "larger than 64 MiB" if document is None else f"a JSON {type(document).__name__}"
        raise EncoderError(
            f"{path} is {found}", "a JSON object in UTF-8, of 64 MiB at most", _REMEDY
        )
    return document
