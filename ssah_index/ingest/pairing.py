"""Pairing: which image a table means by a path, and which text lies beside an image."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ssah_index.ingest.columns import Columns
from ssah_index.ingest.files import file_fault, read_text
from ssah_index.ingest.listing import IMAGE_SUFFIXES, Listing
from ssah_index.ingest.records import MAX_TEXT, Record, RecordError, printable, shown
from ssah_index.types import Failure, Item

MAX_NAME = 1024
"""Characters of a path that may serve as an id."""
MAX_PATH = 4096
"""Characters of a path that can be any file's. Composing the accents of longer ones takes the
square of their number in time."""
NO_IMAGE = "no image of the same stem"
_URL = re.compile(r"data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def same_name(name: str) -> str:
    """A path as it is compared: accents composed, since systems write them in two ways."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def stem_of(name: str) -> str:
    """A path without its suffix."""
    return os.path.splitext(name)[0]  # noqa: PTH122 (making Paths of all files is slow)


def _same_stem(name: str) -> str:
    return same_name(stem_of(name))


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


class Images:
    """The images of a folder, by the paths that tables may write.

    Parameters
    ----------
    listing : Listing
        The folder.
    """

    def __init__(self, listing: Listing) -> None:
        self._folder = listing.folder
        self._root = os.path.realpath(listing.folder)
        self._names = listing.images
        self._found: set[str] = set()
        self._parents: dict[str, str] = {}

    def find(self, written: str) -> Path:
        """The one file that a table means: absolute, or below the folder.

        Parameters
        ----------
        written : str
            As the table has it. Unless there is this very file, accents may be composed
            otherwise than on disk, folders may be parted by backslashes, and the suffix may
            be missing.

        Raises
        ------
        RecordError
            If there is no such file, there are several, or it is no file.
        """
        path = self._folder / written
        fault = file_fault(path)
        if fault is not None:
            path = self._folder / self._otherwise(written, fault)
            fault = file_fault(path)
            if fault is not None:
                raise RecordError(f"{fault}: {shown(written)}")
        self._found.add(self._place(path))
        return path

    def unlisted(self) -> list[str]:
        """The images that `find` has not found, in natural order."""
        root = same_name(self._root).rstrip("/")
        return [name for name in self._names if f"{root}/{same_name(name)}" not in self._found]

    def _place(self, path: Path) -> str:
        """A path that is one for all ways to write it."""
        parent = str(path.parent)
        if parent not in self._parents:
            self._parents[parent] = same_name(os.path.realpath(parent)).rstrip("/")
        return f"{self._parents[parent]}/{same_name(path.name)}"

    def _otherwise(self, written: str, fault: str) -> str:
        """The image of the folder that is meant by a path which is no file's.

        Raises
        ------
        RecordError
            If there is none, or there are several.
        """
        if _URL.match(written):
            raise RecordError(f"no file but a URL: {shown(written)}; download it first")
        if len(written) > MAX_PATH or "\0" in written:
            raise RecordError(f"{fault}: {shown(written)}")
        self._found.add(self._place(self._folder / written))  # named, if not to be opened
        for variant in dict.fromkeys((written, written.replace("\\", "/"))):
            name = self._below(variant)
            images = self._by_name.get(name, [])
            if not images and Path(name).suffix.lower() not in IMAGE_SUFFIXES:
                images = self._by_stem.get(name, [])
            if len(images) > 1:
                several = ", ".join(map(shown, images))
                raise RecordError(f"{shown(written)} means {len(images)} images: {several}")
            if images:
                return images[0]
        raise RecordError(f"{fault}: {shown(written)}{self._hint(written)}")

    def _below(self, written: str) -> str:
        """A path relative to the folder, as it is compared."""
        if written.startswith("/"):
            return same_name(os.path.relpath(os.path.realpath(written), self._root))
        return same_name(os.path.normpath(written))

    def _hint(self, written: str) -> str:
        alike = self._by_case.get(self._below(written).casefold())
        return f"; {shown(alike[0])} differs by upper and lower case" if alike else ""

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        return _grouped(self._names, same_name)

    @cached_property
    def _by_stem(self) -> Mapping[str, list[str]]:
        return _grouped(self._names, _same_stem)

    @cached_property
    def _by_case(self) -> Mapping[str, list[str]]:
        return _grouped(self._names, lambda name: same_name(name).casefold())


def rows_from_table(images: Images, columns: Columns) -> Iterator[Item | Failure]:
    """The rows of a table with ``path`` and ``text``; one whose image fails keeps its text."""
    for record in columns.table.records:
        place = f"{printable(columns.table.path.name)}:{record.line}"
        try:
            yield from _pair(images, columns, record, place)
        except RecordError as error:
            key = record.key_or(place)
            yield Failure(id=key, source=place, modality="", reason=str(error))


def _pair(images: Images, columns: Columns, record: Record, place: str) -> list[Item | Failure]:
    written = record.text("path")
    if not written:
        raise RecordError("no path: column 'path' is empty or absent")
    source = written if len(written) <= MAX_NAME and "\0" not in written else place
    image, fault = None, ""
    try:
        image = images.find(written)
    except RecordError as error:
        fault = str(error)
    key, text = record.key(source), record.text("text")
    labels, own = columns.labels(record), columns.own(record)
    rows: list[Item | Failure] = []
    if image is None:
        rows.append(Failure(id=key, source=source, modality="image", reason=fault))
    if image is not None or text is not None:
        rows.append(Item(id=key, source=source, image=image, text=text, labels=labels, columns=own))
    return rows


def rows_from_stems(listing: Listing) -> Iterator[Item | Failure]:
    """Images in order, each with the text of its stem; then texts without an image."""
    beside = _grouped(listing.texts, _same_stem)
    used: set[str] = set()
    for name in listing.images:
        texts = beside.get(_same_stem(name), [])
        texts = [text for text in texts if stem_of(text) == stem_of(name)] or texts
        used.update(texts)
        yield from _image_rows(listing, name, texts)
    for name in listing.texts:
        if name not in used:
            key = printable(name)
            yield Failure(id=key, source=key, modality="text", reason=NO_IMAGE)


def _image_rows(listing: Listing, name: str, texts: Sequence[str]) -> Iterator[Item | Failure]:
    """An image with its text, and what is wrong with either."""
    text = None
    try:
        if len(texts) > 1:
            raise ValueError(f"{len(texts)} texts lie beside it: {', '.join(map(shown, texts))}")
        if texts:
            text = read_text(listing.folder / texts[0], MAX_TEXT)
    except (OSError, ValueError) as error:
        key = printable(name)
        yield Failure(id=key, source=key, modality="text", reason=str(error))
    yield from image_alone(listing, name, text)


def image_alone(listing: Listing, name: str, text: str | None = None) -> Iterator[Item | Failure]:
    """One image of a folder under its own name."""
    key = printable(name)
    if key != name:
        reason = "its file name is not UTF-8; rename it"
        yield Failure(id=key, source=key, modality="", reason=reason)
        return
    fault = listing.faults.get(name)
    if fault is not None:
        yield Failure(id=key, source=key, modality="image", reason=fault)
    if fault is None or text is not None:
        image = listing.folder / name if fault is None else None
        yield Item(id=key, source=key, image=image, text=text)
