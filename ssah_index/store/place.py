"""Where a store lies: the few things that the protocol of commits asks of a place.

Names are paths below the store, with "/" between folders. Files are immutable, so a copy
that was brought once and checked stays right for ever.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ssah_index.errors import (
    CorruptError,
    StoreError,
    StoreExistsError,
    StoreMissingError,
    StoreReplacedError,
)
from ssah_index.store.files import (
    Seal,
    make_folder,
    open_file,
    publish_file,
    remove_tree,
    rename_folder,
    sync,
    writing,
)
from ssah_index.store.names import check_path, first_link, refuse_links

FORMAT = "format.json"
"""Never changes in a store's life, and has random digits: what it says is a store's identity."""
READ_BYTES = 4 << 20
RESTORE = "Restore it from a copy, or run: ssah-index repair STORE"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a listing says of a file, or of a folder and all below it."""

    size: int
    """Bytes."""
    modified_s: float
    """When its youngest part was written, in seconds since 1970."""


class Place(Protocol):
    """A folder or a prefix of an object store."""

    local: bool
    """Whether its files lie below `root` as they are, without being brought."""

    @property
    def root(self) -> Path:
        """The folder on this machine where its files are, or come to lie once brought."""

    def names(self, folder: str) -> Iterator[str]:
        """Names of what lies directly below a folder, ascending.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, where the place can tell.
        """

    def facts(self, name: str) -> Facts:
        """Size and age of a file, or of a folder with all that is in it."""

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """

    def parts(self, name: str) -> Iterator[bytes]:
        """A file in pieces of at most READ_BYTES.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """

    def publish(self, name: str, content: bytes) -> bool:
        """Create a file durably with all of its content, or return False if it is there."""

    def keep(self, names: Iterable[str]) -> None:
        """Make files that were written durably below `root` part of the store."""

    def check(self, folder: str, sizes: Mapping[str, int]) -> None:
        """Check that files of a folder are there and of their sizes, where that is quick.

        Raises
        ------
        CorruptError
            Naming the first file that is not.
        """

    def bring(self, seals: Mapping[str, Seal]) -> None:
        """Have files below `root`.

        Raises
        ------
        CorruptError
            If one is missing, or is not what its seal says.
        """

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; what is not there is no error."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it; not there is no error."""

    def move(self, names: Iterable[str], folder: str) -> None:
        """Move files to the same names below another folder; what is not there is no error."""

    def found(self, folder: Path) -> None:
        """Let a folder that holds a new store become it.

        Raises
        ------
        StoreExistsError
            If there is something already.
        """

    def adopt(self) -> None:
        """Remember which store is here now.

        Raises
        ------
        StoreError
            If that cannot be read, for another reason than that there is none.
        """

    def confirm(self) -> None:
        """Check that it still is: by one small read, before anything of it is changed.

        `publish`, `remove`, `remove_folder` and `move` begin with it.

        Raises
        ------
        StoreMissingError
            If it was removed.
        StoreReplacedError
            If it was removed, and another made in its place.
        """


class Owned:
    """The part of a place that knows which store is there."""

    identity: bytes | None = None
    """Content of format.json; None before there is a store."""

    def read(self, name: str) -> bytes:
        raise NotImplementedError

    def adopt(self) -> None:
        try:
            self.identity = self.read(FORMAT)
        except (FileNotFoundError, NotADirectoryError):
            return  # there is no store, or not yet
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"{self} cannot be opened: {error.strerror or error}",
                "a folder that holds a store",
                "Correct the path, or look at what lies there.",
            ) from error

    def confirm(self) -> None:
        if self.identity is None:
            return
        try:
            there = self.read(FORMAT)
        except (FileNotFoundError, NotADirectoryError):
            raise StoreMissingError(
                f"{self} was removed, or moved away, since it was opened",
                "the store that was opened",
                "Restore it from a copy, or make a new one and open that.",
            ) from None
        if there != self.identity:
            raise StoreReplacedError(
                f"{self} is another store than the one that was opened, which was removed or "
                "moved away since",
                "the store that was opened",
                "Open it again, and read anew whatever was taken from the old one.",
            )


class Folder(Owned):
    """A store in a folder of this machine: every file lies where it is read.

    Parameters
    ----------
    root : Path
    """

    local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def _below(self, name: str) -> Path:
        """The path of a name, which leads down, and through no link."""
        refuse_links(self.root, [check_path(self, name)])
        return self.root / name

    def _entry(self, name: str) -> Path:
        """The same where the last part may be a link, which is not followed."""
        path = self.root / check_path(self, name)
        refuse_links(self.root, [os.path.dirname(name)])  # noqa: PTH120 (of a name, not a path)
        return path

    def names(self, folder: str) -> Iterator[str]:
        with _permitted(self.root):
            try:
                yield from sorted(os.listdir(self._below(folder)))
            except NotADirectoryError as error:
                raise FileNotFoundError(f"{self.root / folder} is no folder") from error

    def facts(self, name: str) -> Facts:
        path = self._entry(name)
        parts = [path.lstat()]
        for folder, _, files in os.walk(path):  # links are not followed
            parts += [os.lstat(f"{folder}/{file}") for file in (".", *files)]
        size = sum(part.st_size for part in parts if stat.S_ISREG(part.st_mode))
        return Facts(size, max(part.st_mtime for part in parts))

    def read(self, name: str) -> bytes:
        with open_file(self._below(name)) as file:
            return file.read()

    def parts(self, name: str) -> Iterator[bytes]:
        with open_file(self._below(name)) as file:
            while part := file.read(READ_BYTES):
                yield part

    def publish(self, name: str, content: bytes) -> bool:
        self.confirm()
        with writing(self.root):
            return publish_file(self._below(name), content)

    def keep(self, names: Iterable[str]) -> None:
        """Nothing: they lie where they belong."""

    def check(self, folder: str, sizes: Mapping[str, int]) -> None:
        # Strings, not Paths: a store may have 70,000 files, and opening it waits for this.
        base = f"{self.root}/{folder}/"
        for name, size in sizes.items():
            try:
                facts = os.lstat(base + name)
            except PermissionError as error:
                raise _denied(self.root, error) from error
            except OSError:
                raise CorruptError(f"{base}{name} is missing", f"{size} bytes", RESTORE) from None
            if not stat.S_ISREG(facts.st_mode):
                raise CorruptError(f"{base}{name} is no file", f"{size} bytes", RESTORE)
            if facts.st_size != size:
                raise CorruptError(
                    f"{base}{name} has {facts.st_size} bytes", f"{size} bytes", RESTORE
                )

    def bring(self, seals: Mapping[str, Seal]) -> None:
        """They are here, and `verify` looks at their content; no path to them may lead out."""
        refuse_links(self.root, [check_path(self, name) for name in seals])

    def remove(self, names: Iterable[str]) -> None:
        self.confirm()
        with writing(self.root):
            paths = [self._entry(name) for name in names]
            for path in paths:
                remove_tree(path)
            sync({path.parent for path in paths})

    def remove_folder(self, name: str) -> None:
        self.confirm()
        path = self._entry(name)
        with contextlib.suppress(OSError):  # nobody needs it gone
            remove_tree(path)

    def move(self, names: Iterable[str], folder: str) -> None:
        self.confirm()
        with writing(self.root):
            for name in names:
                # A link goes itself, and what it points to stays where it is.
                source = self.root / (first_link(self.root, check_path(self, name)) or name)
                target = self._below(f"{folder}/{source.relative_to(self.root).as_posix()}")
                make_folder(target.parent)
                if os.path.lexists(target):  # of an earlier move
                    target = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}")
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    source.rename(target)
                    sync([target.parent, source.parent])

    def found(self, folder: Path) -> None:
        try:
            rename_folder(folder, self.root)
        except FileExistsError:
            raise StoreExistsError(
                f"there is something at {self.root} already",
                "a path that is free",
                "Choose another path, or remove what is there.",
            ) from None
        sync([self.root.absolute().parent])


@contextlib.contextmanager
def _permitted(root: Path) -> Iterator[None]:
    """Turn a PermissionError while reading into one of ours."""
    try:
        yield
    except PermissionError as error:
        raise _denied(root, error) from error


def _denied(root: Path, error: PermissionError) -> StoreError:
    return StoreError(
        f"{error.filename or root} may not be read: permission is denied",
        "permission to read all of the store",
        "Change the permissions, or run as another user.",
    )
