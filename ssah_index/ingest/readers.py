"""Readers: a folder of images with texts beside them, or a table of texts.

A reader lists its rows once, in a fixed order, so that a build can be cut into equal
shares and resumed. Nothing is opened at listing but tables; what is wrong with an image
shows when it is encoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import xxhash

from ssah_index.errors import SourceError
from ssah_index.ingest.natural import natural_key
from ssah_index.ingest.tables import (
    TABLE_SUFFIXES,
    Record,
    RecordError,
    is_unicode,
    own_schema,
    read_table,
)
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
    table : Path, optional
        The table that the rows' columns are from.
    """

    def __init__(
        self, rows: Sequence[Item | Failure], digest: str, table: Path | None = None
    ) -> None:
        self._rows = rows
        self._digest = digest
        self._table = table

    def __len__(self) -> int:
        return len(self._rows)

    def digest(self) -> str:
        """A hash that changes when the source's rows do."""
        return self._digest

    def columns(self) -> pa.Schema:
        """Names and types of the user's other columns."""
        if self._table is None:
            return pa.schema([])
        return own_schema(self._table, [row.columns for row in self._rows if isinstance(row, Item)])

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
    if table is not None:
        raise SourceError(
            f"--table {table} beside {path}, which is a table itself",
            "a folder of images",
            "Leave out --table.",
        )
    return _list_texts(path)


def _list_texts(path: Path) -> Reader:
    rows: list[Item | Failure] = []
    records = list(read_table(path))
    require_column(path, records, "text")
    for record in records:
        source = f"{path.name}:{record.line}"
        key = record_id(record, source)
        try:
            text = record.text("text")
            if text is None:
                raise RecordError("no text: column 'text' is null or absent")
            rows.append(
                Item(id=key, source=source, text=text, labels=record.labels(), columns=record.own())
            )
        except RecordError as error:
            rows.append(Failure(id=key, source=source, modality="text", reason=str(error)))
    if not rows:
        raise SourceError(f"{path} has no lines", "one text a line", "Check the file.")
    return ListReader(_once(rows), hash_file(path), path)


def _list_folder(folder: Path, table: str | None) -> Reader:
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: natural_key(path.relative_to(folder).as_posix()),
    )
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise SourceError(
            f"{folder} has no images among its {len(files)} files (links to folders are not "
            "followed)",
            f"files ending in {', '.join(sorted(IMAGE_SUFFIXES))}",
            "Check the path.",
        )
    chosen = _choose_table(folder, files, table)
    if chosen is not None:
        rows = _rows_from_table(folder, images, chosen)
    else:
        texts = [path for path in files if path.suffix.lower() == ".txt"]
        rows = _rows_from_stems(folder, images, texts)
    digest = xxhash.xxh3_64(str(chosen and hash_file(chosen)).encode())
    for row in rows:
        digest.update(repr(row).encode())  # ids, texts and labels
    for path in images:
        status = path.stat()
        name = os.fsencode(path.relative_to(folder))
        digest.update(name + f"\0{status.st_size} {status.st_mtime_ns}\n".encode())
    return ListReader(_once(rows), digest.hexdigest(), chosen)


def _choose_table(folder: Path, files: Sequence[Path], table: str | None) -> Path | None:
    if table is not None:
        named = next((p for p in (Path(table), folder / table) if p.is_file()), None)
        if named is None:
            raise SourceError(
                f"table {table} does not exist", "a table of path and text", "Check the path."
            )
        return named
    found = [p for p in files if p.parent == folder and p.suffix.lower() in TABLE_SUFFIXES]
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
    records = list(read_table(table))
    for column in ("path", "text"):
        require_column(table, records, column)
    for record in records:
        source = f"{table.name}:{record.line}"
        try:
            name = record.text("path")
            if not name:
                raise RecordError("no path: column 'path' is empty or absent")
            image = Path(os.path.normpath(folder / name))
            named.add(image)
            text, labels = record.text("text"), record.labels()
            key = record_id(record, name)
            item = Item(
                id=key, source=name, image=image, text=text, labels=labels, columns=record.own()
            )
            rows.append(item)
        except RecordError as error:
            key = record_id(record, source)
            rows.append(Failure(id=key, source=source, modality="", reason=str(error)))
    base = Path(os.path.normpath(folder))
    for path in images:
        name = path.relative_to(folder).as_posix()
        if base / name not in named:
            rows.append(_image_alone(path, name))
    return rows


def _image_alone(path: Path, name: str, text: str | None = None) -> Item | Failure:
    if not is_unicode(name):
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        reason = "its file name is not UTF-8; rename it"
        return Failure(id=shown, source=shown, modality="", reason=reason)
    return Item(id=name, source=name, image=path, text=text)


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
        rows.append(_image_alone(path, name, text))
    for partner in texts:
        if partner not in used:
            name = partner.relative_to(folder).as_posix()
            reason = "no image of the same stem"
            rows.append(Failure(id=name, source=name, modality="text", reason=reason))
    return rows


def record_id(record: Record, otherwise: str) -> str:
    """The record's id as text, or a name made of its place."""
    value = record.values.get("id")
    return otherwise if value is None or value == "" else str(value)


def require_column(path: Path, records: Sequence[Record], column: str) -> None:
    """Refuse a table that does not have a column at all: it is misnamed, not empty.

    Raises
    ------
    SourceError
        Naming the columns there are.
    """
    found = {name for record in records for name in record.values}
    if found and column not in found:
        raise SourceError(
            f"{path} has no column {column!r} but {', '.join(sorted(map(repr, found)))}",
            f"a column {column!r}",
            "Rename the column.",
        )


def _once(rows: Sequence[Item | Failure]) -> list[Item | Failure]:
    """Turn every later row of an id that is taken into a failure."""
    owners: dict[str, str] = {}
    out: list[Item | Failure] = []
    for row in rows:
        if isinstance(row, Failure):
            out.append(row)
        elif row.id in owners:
            reason = f"id {row.id!r} is taken by {owners[row.id]}"
            modality = "text" if row.image is None else ""
            out.append(Failure(id=row.id, source=row.source, modality=modality, reason=reason))
        else:
            owners[row.id] = row.source
            out.append(row)
    return out


def hash_file(path: Path) -> str:
    """XXH3-64 of a file's content, 16 hex digits."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()
