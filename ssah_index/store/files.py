"""Durable files: nothing is overwritten, and what is reported written is on the disk.

A new file is written under its final name only where no reader can know that name yet (a
segment's own attempt folder); a name that readers look for is taken by link(2), which
fails where rename(2) would replace. Every file and every folder on the way is fsynced.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import xxhash

from ssah_index.errors import CorruptError, StoreError, WriteFailedError

_CAUSES = {
    errno.ENOSPC: ("the disk is full", "free space", "Free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free quota", "Free some space"),
    errno.EROFS: ("the file system is read-only", "a writable one", "Choose another folder"),
    errno.EACCES: ("permission is denied", "permission to write", "Change the permissions"),
    errno.ENOTDIR: ("a folder on its way is a file", "a folder", "Choose another path"),
    errno.EOPNOTSUPP: (
        "the file system has no hard links",
        "one that has them",
        "Choose another disk",
    ),
    errno.EPERM: (
        "the operation is not permitted; the file system may have no hard links",
        "permission, and hard links",
        "Change the permissions, or choose another disk",
    ),
}


THREADS = 16
"""Requests that a disk is given at a time."""
_T = TypeVar("_T")
_R = TypeVar("_R")
GONE = (
    "If gc has removed it since the snapshot was opened, refresh the reader; "
    "otherwise restore it from a copy, or run: ssah-index repair STORE"
)
SMALL_BYTES = 32 << 10
"""Files up to this are read, not mapped: a map holds a file descriptor, of which thousands of
small segments would need more than a process gets."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file must look like to be the one that was written."""

    size: int
    """Bytes."""
    xxh3: str
    """XXH3-64 of its content, 16 hex digits."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while writing below ``path`` into a WriteFailedError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteFailedError) or error.errno is None:
            raise
        cause, expected, remedy = _CAUSES.get(
            error.errno, (error.strerror or str(error), "a working disk", "Look at the disk")
        )
        raise WriteFailedError(
            f"writing {error.filename or path} failed: {cause}",
            expected,
            f"{remedy} and run the same command again; what a store has committed is safe.",
        ) from error


def sync(paths: Iterable[Path]) -> None:
    """Make files, and the names inside folders, durable.

    From several threads, since a journal that is asked by many at once commits for all of
    them: on ext4, 13 files and folders of a segment take a sixth of the time that they take
    one after the other.
    """
    at_once(_sync, list(paths))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make a new folder durable, with all that is in it and its own name."""
    sync([*folder.rglob("*"), folder, folder.absolute().parent])


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each name durable."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
    sync(folder.parent for folder in missing)


def write_file(path: Path, parts: Iterable[bytes | memoryview]) -> Seal:
    """Write a new file in one pass; it and its folder are the caller's to `sync`."""
    digest, size = xxhash.xxh3_64(), 0
    with path.open("xb", buffering=0) as file:
        for part in parts:
            view = memoryview(part).cast("B")
            digest.update(view)
            size += len(view)
            while view:
                view = view[file.write(view) :]
    return Seal(size, digest.hexdigest())


def rename_folder(folder: Path, target: Path) -> None:
    """Move a folder to where nothing or an empty folder is.

    Raises
    ------
    FileExistsError
        If there is anything else, also if another process was first.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError from error
        raise


_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
"""What the system says of a link, a socket and a folder."""
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a link is not followed, nor a pipe waited for.

    Raises
    ------
    FileNotFoundError
        If there is none.
    CorruptError
        If something else is there.
    StoreError
        If the system refuses to read it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        if error.errno in _MISSING:
            missing = errno.ENOENT
            raise FileNotFoundError(missing, os.strerror(missing), str(path)) from error
        if error.errno in _NO_FILE:
            raise _no_file(path) from error
        raise StoreError(
            f"{path} cannot be read ({os.strerror(error.errno or 0)})",
            "permission to read all of the store, and a working disk",
            "Change the permissions, or run as another user.",
        ) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _no_file(path)
    return file


def _no_file(path: Path) -> CorruptError:
    return CorruptError(
        f"{path} is no regular file, but a folder, a link or a device",
        "a file",
        "Restore it from a copy, or run: ssah-index repair STORE",
    )


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; not there is no error.

    A link is removed itself, never what it points to.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def map_file(path: Path, advice: int) -> mmap.mmap | bytes:
    """The content of a file that is not empty, mapped, or read if it is small.

    Its size must have been checked: touching a map behind a cut file ends the process.

    Parameters
    ----------
    path : Path
    advice : int
        How it will be read, as madvise(2) takes it.
    """
    try:
        file = open_file(path)
    except FileNotFoundError:
        raise CorruptError(f"{path} is missing", "a file that its manifest names", GONE) from None
    with file:
        if os.fstat(file.fileno()).st_size <= SMALL_BYTES:
            return file.read()
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapped.madvise(advice)
    return mapped


def at_once(do: Callable[[_T], _R], pieces: Sequence[_T]) -> list[_R]:
    """Do what reads mapped files piece by piece, from several threads where there are several:
    pages that are not in memory are then waited for together, not one after the other.
    """
    if len(pieces) < 2:
        return [do(piece) for piece in pieces]
    return list(_pool(os.getpid()).map(do, pieces))


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    """Threads that wait for the disk, and stay: a process that was forked off has none of them."""
    return ThreadPoolExecutor(THREADS, f"ssah-disk-{pid}")


def seal_file(path: Path) -> Seal:
    """Seal a file that a library wrote."""
    digest, size = xxhash.xxh3_64(), 0
    with open_file(path) as file:
        while part := file.read(1 << 22):
            digest.update(part)
            size += len(part)
    return Seal(size, digest.hexdigest())


def publish_file(path: Path, content: bytes) -> bool:
    """Create ``path`` with all of ``content``, or return False because it exists."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        write_file(temporary, [content])
        _sync(temporary)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)
    return True
