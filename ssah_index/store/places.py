"""From a path or URL to the place it names, and to no other."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ssah_index.errors import MissingExtraError, StoreError, StoreMissingError
from ssah_index.store.place import Folder, Place

OBJECT_STORES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//?)")
_BUCKET = re.compile(r"[A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?")
_EXAMPLE = "such as s3://bucket/photos.ssah"


def open_place(path: str | os.PathLike[str]) -> Place:
    """The place of a store: a folder, or for a URL a prefix of an object store.

    A relative path is resolved now: the place stays where it is when the process changes its
    working folder. In a URL everything behind the bucket is the prefix, character by character:
    ``%20``, ``#`` and ``?`` mean themselves.

    Raises
    ------
    MissingExtraError
        If it is a URL and obstore is not installed.
    StoreError
        If it is a URL of another kind, or one that names no place: without a bucket, with an
        empty part, ``.`` or ``..``; or a path that cannot be one.
    """
    named = os.fsdecode(path)
    found = _SCHEME.match(named)
    scheme = found[1].lower() if found else ""
    if found and found[2] == "//":
        return _bucket(named, scheme, named[found.end() :])
    if scheme in (*OBJECT_STORES, "file", "http", "https"):
        raise StoreError(
            f"{named!r} is a URL without its second slash, as pathlib.Path writes one",
            f"a URL as it is, {_EXAMPLE}",
            "Pass it as str, not as Path. A folder of that name is ./" + named,
        )
    if not named or "\0" in named:
        raise StoreError(f"the path is {named!r}", "the path of a folder", "Correct it.")
    try:
        return Folder(Path(named).absolute())
    except FileNotFoundError:
        raise StoreMissingError(
            f"{named} is relative to a working folder that is gone",
            "a path that can be resolved",
            "Change to a folder that exists, or give the path from / on.",
        ) from None


def _bucket(named: str, scheme: str, rest: str) -> Place:
    if scheme not in OBJECT_STORES:
        raise StoreError(
            f"{named} cannot be reached: {scheme}:// names no object store that stores lie in",
            f"a path, or a URL of {', '.join(f'{name}://' for name in OBJECT_STORES)}",
            "Of a local folder, give the path alone.",
        )
    bucket, _, prefix = rest.partition("/")
    parts = prefix.rstrip("/").split("/") if prefix.strip("/") else []
    if not _BUCKET.fullmatch(bucket) or {"", ".", ".."} & set(parts) or not prefix.isprintable():
        raise StoreError(
            f"{named!r} names no place in an object store",
            f"a bucket, then parts that are not empty, '.' or '..', {_EXAMPLE}",
            "Correct the URL.",
        )
    url = "/".join((f"{scheme}://{bucket}", *parts))
    try:
        from ssah_index.store.bucket import Bucket, cache_folder
    except ImportError as error:
        raise MissingExtraError(
            f"{named} needs obstore, which is not installed",
            "the extra for object stores",
            "Run: pip install 'ssah-index[s3]'",
        ) from error
    return Bucket(url, cache_folder(url))
