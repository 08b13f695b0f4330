"""Names inside a store: what a manifest or a listing says never leads out of its folder.

A store may come from a stranger, and anyone can make its seals anew. So every name is checked
before a path is made of it, and no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ssah_index.errors import CorruptError

MOST_BYTES = 255
"""Bytes of a name, as file systems have it."""


def plain_part(name: str) -> bool:
    """Whether a name is one step down: no separator, not "." or "..", not empty or overlong."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair: no file system has it
        return False
    return 0 < length <= MOST_BYTES and name not in (".", "..") and not {"/", "\0"} & set(name)


def plain_name(name: str) -> bool:
    """Whether a folder or file of ours may be called that: one step down, and not hidden."""
    return plain_part(name) and not name.startswith(".")


def plain_path(path: str) -> bool:
    """Whether a relative path leads down alone; a hidden file may be among an encoder's."""
    return all(map(plain_part, path.split("/")))


def check_path(place: object, path: str) -> str:
    """Return a path below a store if it leads down alone.

    Raises
    ------
    CorruptError
        If it does not.
    """
    if not plain_path(path):
        raise CorruptError(
            f"a file of {place} is called {path!r}"[:400],
            "a plain name below the store",
            "Do not use this store: it names files outside itself.",
        )
    return path


def refuse_links(root: Path, paths: Iterable[str]) -> None:
    """Refuse paths below ``root`` that are symbolic links, or lead through one.

    What is not there is no link. The root itself may be reached by a link.

    Raises
    ------
    CorruptError
        Naming the first link.
    """
    for path in paths:
        if link := first_link(root, path):
            raise CorruptError(
                f"{root / link} is a symbolic link",
                "a file or folder of the store itself",
                "Put what it points to in its place, if you trust it.",
            )


def refuse_links_in(root: Path) -> None:
    """Refuse a store of which a file or folder is a symbolic link; those below are checked later.

    Raises
    ------
    CorruptError
        Naming the first link.
    """
    try:
        refuse_links(root, sorted(os.listdir(root)))
    except FileNotFoundError:  # the mirror of a bucket, before anything was brought
        return


def refuse_links_below(root: Path, folder: str) -> None:
    """Refuse a folder in which anything is a symbolic link, a pipe or a device.

    Raises
    ------
    CorruptError
        Naming the first.
    """
    refuse_links(root, [folder])
    for above, folders, files in os.walk(root / folder):
        for name in (*folders, *files):
            mode = os.lstat(f"{above}/{name}").st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise CorruptError(
                    f"{above}/{name} is a symbolic link, a pipe or a device",
                    "a file or folder of the store itself",
                    "Remove it, if the store can be trusted.",
                )


def first_link(root: Path, path: str) -> str | None:
    """The first part of a path below ``root`` that is a symbolic link."""
    # Strings, not Paths: this is done for every file that is opened.
    base, end = f"{root}/", 0
    while end >= 0:
        end = path.find("/", end + 1)
        part = path if end < 0 else path[:end]
        try:
            mode = os.lstat(base + part).st_mode
        except (OSError, ValueError):  # missing, or no name at all
            return None
        if stat.S_ISLNK(mode):
            return part
    return None
