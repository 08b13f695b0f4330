"""Readers: a folder of images with texts beside them, or a table of texts.

A reader lists its rows once, in a fixed order, so that a build can be cut into equal
shares and resumed. Nothing is opened at listing but tables; what is wrong with an image
shows when it is encoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from ssah_index.errors import SourceError
from ssah_index.ingest.natural import natural_key
from ssah_index.ingest.tables import TABLE_SUFFIXES, Record, read_table
from ssah_index.types import Failure, Item, Reader

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
)


class ListReader:
    """A reader over rows listed beforehand; the readers below only differ in the listing.

    Parameters
    ----------
    rows : sequence of Item or Failure
        All rows, in order.
    digest : str
        A hash of the source.
    """

    def __init__(self, rows: Sequence[Item | Failure], digest: str) -> None:
        self._rows = rows
        self._digest = digest

    def __len__(self) -> int:
        return len(self._rows)

    def digest(self) -> str:
        """A hash that changes when the source's rows do."""
        return self._digest

    def read(self, start: int, stop: int) -> Iterator[Item | Failure]:
        """Rows start to stop."""
        yield from self._rows[start:stop]


def open_reader(source: str | os.PathLike[str], table: str | None = None) -> Reader:
    """List a folder of images or a table of texts.

    Parameters
    ----------
    source : path
        A folder of images, or a .jsonl, .csv or .parquet file with a column ``text`` and
        optionally ``id`` and ``labels``.
    table : str, optional
        For a folder: the table of ``path`` and ``text`` beside the images; by default the
        one table that lies in the folder, or else ``.txt`` files of the same stem.

    Raises
    ------
    SourceError
        If there is nothing to read, or it is not clear what.
    """
    path = Path(source)
    if path.is_dir():
        return _list_folder(path, table)
    if not path.exists():
        raise SourceError(
            f"{path} does not exist", "a folder of images or a table of texts", "Check the path."
        )
    return _list_texts(path)


def _list_texts(path: Path) -> Reader:
    rows: list[Item | Failure] = []
    for record in read_table(path):
        source = f"{path.name}:{record.line}"
        key = str(record.values.get("id") or source)
        text = record.values.get("text")
        reason = record.error
        if reason is None and not isinstance(text, str):
            reason = f"no text: column 'text' is {text!r}"
        if reason is not None:
            rows.append(Failure(id=key, source=source, modality="text", reason=reason))
        else:
            rows.append(Item(id=key, source=source, text=text, labels=_labels(record)))
    if not rows:
        raise SourceError(f"{path} has no lines", "one text a line", "Check the file.")
    return ListReader(_once(rows), _hash_file(path))


def _list_folder(folder: Path, table: str | None) -> Reader:
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: natural_key(path.relative_to(folder).as_posix()),
    )
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise SourceError(
            f"{folder} has no images among its {len(files)} files",
            f"files ending in {', '.join(sorted(IMAGE_SUFFIXES))}",
            "Check the path.",
        )
    chosen = _choose_table(folder, files, table)
    digest = xxhash.xxh3_64(str(chosen and _hash_file(chosen)).encode())
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\n".encode())
    if chosen is not None:
        rows = _rows_from_table(folder, images, chosen)
    else:
        rows = _rows_from_stems(folder, images, [p for p in files if p.suffix == ".txt"])
    return ListReader(_once(rows), digest.hexdigest())


def _choose_table(folder: Path, files: Sequence[Path], table: str | None) -> Path | None:
    if table is not None:
        return Path(table)
    found = [p for p in files if p.parent == folder and p.suffix in TABLE_SUFFIXES]
    if len(found) > 1:
        raise SourceError(
            f"{folder} has {len(found)} tables: {', '.join(p.name for p in found)}",
            "one",
            "Name the table of paths and texts with --table.",
        )
    return found[0] if found else None


def _rows_from_table(folder: Path, images: Sequence[Path], table: Path) -> list[Item | Failure]:
    """The table's rows in its order, then the images it does not name."""
    rows: list[Item | Failure] = []
    named = set()
    for record in read_table(table):
        source = f"{table.name}:{record.line}"
        name = record.values.get("path")
        if record.error is not None or not isinstance(name, str) or not name:
            reason = record.error or f"no path: column 'path' is {name!r}"
            rows.append(Failure(id="", source=source, modality="", reason=reason))
            continue
        named.add(folder / name)
        rows.append(_pair(record, folder / name, name))
    for path in images:
        if path not in named:
            name = path.relative_to(folder).as_posix()
            rows.append(Item(id=name, source=name, image=path))
    return rows


def _pair(record: Record, image: Path, name: str) -> Item:
    text = record.values.get("text")
    return Item(
        id=str(record.values.get("id") or name),
        source=name,
        image=image,
        text=None if text is None else str(text),
        labels=_labels(record),
    )


def _rows_from_stems(
    folder: Path, images: Sequence[Path], texts: Sequence[Path]
) -> list[Item | Failure]:
    """Images in order, each with the text of its stem; then texts without an image."""
    waiting = {path.with_suffix(""): path for path in texts}
    used = set()
    rows: list[Item | Failure] = []
    for path in images:
        name = path.relative_to(folder).as_posix()
        partner = waiting.get(path.with_suffix(""))
        try:
            text = None if partner is None else partner.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            rows.append(Failure(id=name, source=name, modality="text", reason=str(error)))
            text = None
        used.add(partner)
        rows.append(Item(id=name, source=name, image=path, text=text))
    for partner in texts:
        if partner not in used:
            name = partner.relative_to(folder).as_posix()
            reason = "no image of the same stem"
            rows.append(Failure(id=name, source=name, modality="text", reason=reason))
    return rows


def _labels(record: Record) -> tuple[str, ...]:
    """A list of names, or one string of them separated by ";"."""
    value: Any = record.values.get("labels")
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(";") if part.strip())
    return tuple(str(part) for part in value or ())


def _once(rows: Sequence[Item | Failure]) -> list[Item | Failure]:
    """Turn every later row of an id that is taken into a failure."""
    owners: dict[str, str] = {}
    out: list[Item | Failure] = []
    for row in rows:
        if isinstance(row, Failure):
            out.append(row)
        elif row.id in owners:
            reason = f"id {row.id!r} is taken by {owners[row.id]}"
            out.append(Failure(id=row.id, source=row.source, modality="", reason=reason))
        else:
            owners[row.id] = row.source
            out.append(row)
    return out


def _hash_file(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()
