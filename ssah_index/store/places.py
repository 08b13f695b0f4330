"""From a path or URL to the place it names."""

from __future__ import annotations

import os
from pathlib import Path

from ssah_index.errors import MissingExtraError
from ssah_index.store.place import Folder, Place


def open_place(path: str | os.PathLike[str]) -> Place:
    """The place of a store: a folder, or for a URL a prefix of an object store.

    Raises
    ------
    MissingExtraError
        If it is a URL and obstore is not installed.
    StoreError
        If it is a URL that obstore does not understand.
    """
    named = os.fspath(path)
    if "://" not in named:
        return Folder(Path(path))
    try:
        from ssah_index.store.bucket import Bucket, cache_folder
    except ImportError as error:
        raise MissingExtraError(
            f"{named} needs obstore, which is not installed",
            "the extra for object stores",
            "Run: pip install 'ssah-index[s3]'",
        ) from error
    return Bucket(named, cache_folder(named))
