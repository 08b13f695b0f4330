"""A store below a prefix of an object store: S3, and what else obstore speaks.

Commits are create-if-absent puts (``If-None-Match: *``), which S3 has had since 2024. Codes
and rows are searched on this machine: what is needed is downloaded once, by ranges, into a
folder that mirrors the store, and each file is compared with its hash before it is mapped.
Relies on obstore, which reads endpoints and credentials from the environment (AWS_*).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import obstore
import xxhash
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from ssah_index.errors import CorruptError, StoreError, StoreExistsError, WriteFailedError
from ssah_index.store.files import Seal, make_folder, seal_file, writing
from ssah_index.store.names import check_path
from ssah_index.store.place import FORMAT, READ_BYTES, RESTORE, Facts, Owned

RANGE_BYTES = 8 << 20
RANGES = 8
"""Ranges that are fetched at a time: as many requests, and 64 MiB of memory."""


class Bucket(Owned):
    """A store in an object store.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/photos.ssah``; every character behind the bucket means itself.
    cache : Path
        The folder for mirrors of the stores that are, and were, there; each has one of its own.
    """

    local = False

    def __init__(self, url: str, cache: Path) -> None:
        self.root = cache / "new"
        self._cache = cache
        self._url = url.rstrip("/")
        self._checked: set[str] = set()
        scheme, _, named = self._url.partition("://")
        bucket, _, prefix = named.partition("/")
        with _told(self._url, StoreError):
            self._remote = from_url(f"{scheme}://{bucket}/{quote(prefix)}".rstrip("/"))

    def adopt(self) -> None:
        super().adopt()
        if self.identity is not None:
            self.root = self._cache / xxhash.xxh3_64_hexdigest(self.identity)

    def __str__(self) -> str:
        return self._url

    def names(self, folder: str) -> Iterator[str]:
        # Listings come in the order of names, so that parts of one folder are neighbours.
        last = None
        with _told(f"{self}/{folder}", StoreError):
            for listed in obstore.list(self._remote, folder):
                for meta in listed:
                    name = meta["path"].removeprefix(f"{folder}/").split("/")[0]
                    if name != last:
                        yield name
                    last = name

    def facts(self, name: str) -> Facts:
        with _told(f"{self}/{name}", StoreError):
            parts = [meta for listed in obstore.list(self._remote, name) for meta in listed]
            parts = parts or [obstore.head(self._remote, name)]
        young = max(part["last_modified"] for part in parts)
        return Facts(sum(part["size"] for part in parts), young.timestamp())

    def read(self, name: str) -> bytes:
        with _told(f"{self}/{name}", StoreError):
            return bytes(obstore.get(self._remote, name).bytes())

    def parts(self, name: str) -> Iterator[bytes]:
        with _told(f"{self}/{name}", StoreError):
            for part in obstore.get(self._remote, name).stream(min_chunk_size=READ_BYTES):
                yield bytes(part)

    def publish(self, name: str, content: bytes) -> bool:
        self.confirm()
        with _told(f"{self}/{name}", WriteFailedError):
            try:
                obstore.put(self._remote, name, content, mode="create")
            except AlreadyExistsError:
                # Also said when an answer was lost and the request sent again.
                return self.read(name) == content
        return True

    def keep(self, names: Iterable[str]) -> None:
        for name in names:
            with _told(f"{self}/{name}", WriteFailedError):
                obstore.put(self._remote, name, self.root / name)

    def check(self, folder: str, sizes: Mapping[str, int]) -> None:
        """Nothing: it would cost a request a file; `bring` finds what is missing."""

    def bring(self, seals: Mapping[str, Seal]) -> None:
        for name, seal in seals.items():
            if name in self._checked:
                continue
            path = self.root / check_path(self, name)
            with writing(self.root):
                make_folder(path.parent)
                if not (path.is_file() and seal_file(path) == seal):
                    self._download(name, seal, path)
            self._checked.add(name)

    def _download(self, name: str, seal: Seal, path: Path) -> None:
        """Fetch a file whole, and let it appear in the mirror only if it is what it must be."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with temporary.open("xb") as file, _told(f"{self}/{name}", StoreError):
                for start in range(0, seal.size, RANGE_BYTES * RANGES):
                    stop = min(start + RANGE_BYTES * RANGES, seal.size)
                    starts = range(start, stop, RANGE_BYTES)
                    ends = [min(first + RANGE_BYTES, stop) for first in starts]
                    file.writelines(
                        obstore.get_ranges(self._remote, name, starts=starts, ends=ends)
                    )
            if seal_file(temporary) != seal:
                raise CorruptError(f"{self}/{name} is altered", f"hash {seal.xxh3}", RESTORE)
            temporary.replace(path)
        except FileNotFoundError:
            raise CorruptError(f"{self}/{name} is missing", f"{seal.size} bytes", RESTORE) from None
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        self.confirm()
        names = [check_path(self, name) for name in names]
        with _told(str(self), WriteFailedError):
            obstore.delete(self._remote, names)
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        self.confirm()
        check_path(self, name)
        with _told(f"{self}/{name}", WriteFailedError):
            for listed in obstore.list(self._remote, name):
                obstore.delete(self._remote, [meta["path"] for meta in listed])
        shutil.rmtree(self.root / name, ignore_errors=True)

    def move(self, names: Iterable[str], folder: str) -> None:
        self.confirm()
        for name in names:
            check_path(self, name)
            with _told(f"{self}/{name}", WriteFailedError), contextlib.suppress(FileNotFoundError):
                obstore.rename(self._remote, name, f"{folder}/{name}")
            (self.root / name).unlink(missing_ok=True)

    def found(self, folder: Path) -> None:
        with _told(str(self), StoreError):
            if any(map(len, obstore.list(self._remote))):
                raise StoreExistsError(
                    f"there is something at {self} already", "a free prefix", "Choose another."
                )
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in files:
            with _told(f"{self}/{path.name}", WriteFailedError):
                if path.name != FORMAT:
                    obstore.put(self._remote, path.relative_to(folder).as_posix(), path)
        if not self.publish(FORMAT, (folder / FORMAT).read_bytes()):
            raise StoreExistsError(
                f"another process has made a store at {self}", "a free prefix", "Open it."
            )
        if self.publish(FORMAT, b"an object store without If-None-Match takes this"):
            self.remove([FORMAT])
            raise WriteFailedError(
                f"{self} lets a put replace an object that it must not",
                "an object store that heeds If-None-Match: *",
                "Choose another, or switch off what keeps it from doing so.",
            )


@contextlib.contextmanager
def _told(what: str, kind: type[StoreError]) -> Iterator[None]:
    """Turn an error of obstore into one of ours; what is not found stays a FileNotFoundError."""
    try:
        yield
    except BaseError as error:
        reason = str(error).splitlines()[0]
        raise kind(
            f"{what} cannot be reached ({reason})",
            "an object store that answers, and permission",
            "Check the URL, the credentials and the endpoint (AWS_* in the environment).",
        ) from error


def cache_folder(url: str) -> Path:
    """Where stores of a URL are mirrored: below $SSAH_CACHE, or the user's folder for caches."""
    base = os.environ.get("SSAH_CACHE") or Path(_user_cache(), "ssah-index")
    return Path(base, xxhash.xxh3_64_hexdigest(url.rstrip("/").encode())).absolute()


def _user_cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise StoreError(
            "there is no home folder to keep what is downloaded in",
            "a folder for it",
            "Name one in the environment variable SSAH_CACHE.",
        ) from error
