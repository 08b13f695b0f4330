"""From a path or URL to the place it names."""

from __future__ import annotations

import os
from pathlib import Path

from ssah_index.store.place import Folder, Place


def open_place(path: str | os.PathLike[str]) -> Place:
    """The place of a store: a folder."""
    return Folder(Path(path))
