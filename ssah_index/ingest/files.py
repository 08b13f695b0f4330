"""Files as they are met: only regular files, and links to them, are ever opened."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import xxhash

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def file_fault(path: str | os.PathLike[str]) -> str | None:
    """Why a path cannot be opened as a file, in words; None for a regular file.

    Notes
    -----
    Costs one stat(2), and never opens anything: a FIFO would wait for a writer.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (takes a str, half the time of a Path)
    except FileNotFoundError:
        return "no such file"
    except ValueError as error:  # a NUL in it
        return f"no such file ({error})"
    except OSError as error:
        absent = error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP)
        return f"{'no such file' if absent else 'it cannot be read'} ({error.strerror})"
    if stat.S_ISREG(mode):
        return None
    return f"{kind_of_mode(mode)}, not a file"


def kind_of_mode(mode: int) -> str:
    """What a mode of stat(2) is called, if it is no regular file's."""
    return next((name for test, name in _KINDS if test(mode)), "something else")


def read_text(path: Path, limit: int) -> str:
    """A text in UTF-8, with or without a mark, without blanks at its ends.

    Raises
    ------
    ValueError
        If it is in another encoding or has more than ``limit`` bytes.
    OSError
        If it cannot be read, or is no regular file.
    """
    fault = file_fault(path)
    if fault is not None:
        raise OSError(fault)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("no text in UTF-8: it begins as UTF-16 does; save it as utf-8")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"no text in UTF-8: {error}") from error


def hash_file(path: Path) -> str:
    """XXH3-64 of a file's content, 16 hex digits."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()
