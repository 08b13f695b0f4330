"""Readers: a folder of images with texts beside them, or a table of texts.

A reader lists its rows once, in a fixed order, so that a build can be cut into equal
shares and resumed. Nothing is opened at listing but tables and texts; what is wrong with
the content of an image shows when it is encoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ssah_index.errors import SourceError
from ssah_index.ingest import summary
from ssah_index.ingest.columns import Columns
from ssah_index.ingest.files import file_fault
from ssah_index.ingest.labels import LABELS, LabelRule
from ssah_index.ingest.listing import IMAGE_SUFFIXES, Listing, list_folder
from ssah_index.ingest.pairing import Images, image_alone, rows_from_stems, rows_from_table
from ssah_index.ingest.records import RecordError, printable, shown, told
from ssah_index.ingest.tables import read_table
from ssah_index.types import Failure, Item, Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSpec:
    """What a caller may say of a source."""

    table: str | None = None
    """For a folder: its table of paths and texts; None: the one that lies in it, if any."""
    unlisted: bool = False
    """Whether images that the table does not name are items too."""
    label_column: str = LABELS
    """The table's column of labels."""
    label_separator: str | None = None
    """What stands between labels in a string; None: a string is one label."""


class ListReader:
    """A reader over rows listed beforehand; the readers below only differ in the listing.

    Parameters
    ----------
    rows : sequence of Item or Failure
        All rows, in order.
    columns : pyarrow.Schema, optional
        Names and types of the users' columns.
    lines : sequence of str, optional
        The summary.
    """

    def __init__(
        self,
        rows: Sequence[Item | Failure],
        columns: pa.Schema | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        self._rows = rows
        self._columns = pa.schema([]) if columns is None else columns
        self._lines = list(lines)

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self) -> pa.Schema:
        """Names and types of the user's other columns."""
        return self._columns

    def summary(self) -> list[str]:
        """Lines for a person: what is read, and what is left out."""
        return list(self._lines)

    def read(self, start: int, stop: int) -> Iterator[Item | Failure]:
        """Rows start to stop."""
        yield from self._rows[start:stop]


def open_reader(
    source: str | os.PathLike[str],
    table: str | None = None,
    *,
    unlisted: bool = False,
    label_column: str = LABELS,
    label_separator: str | None = None,
) -> Reader:
    """List a folder of images or a table of texts.

    Parameters
    ----------
    source : path
        A folder of images, or a .jsonl, .csv, .tsv or .parquet file with a column ``text``
        and optionally ``id`` and labels.
    table : str, optional
        For a folder: the table of ``path`` and ``text``; by default the one table that lies
        in the folder, or else ``.txt`` files of the same stem. With a table, its rows are
        the items.
    unlisted : bool
        Whether images of the folder that its table does not name are items too.
    label_column : str
        The table's column of labels: lists, or strings that are one label each.
    label_separator : str, optional
        What parts the labels of a string; "auto" is ";" or ",".

    Raises
    ------
    SourceError
        If there is nothing to read, it is not clear what, or a column cannot be kept.
    SpecError
        If an option has a senseless value.
    """
    spec = SourceSpec(
        table=table,
        unlisted=unlisted,
        label_column=label_column,
        label_separator=label_separator,
    )
    rule = LabelRule(column=label_column, separator=label_separator)
    path = Path(source)
    if os.path.isdir(path):  # noqa: PTH112 (a Path's own raises where a folder is not ours)
        # Absolute: items are opened later, when another folder may be the current one.
        return _list_folder(path.absolute(), spec, rule)
    fault = file_fault(path)
    if fault is not None:
        fault = f"{path} does not exist" if fault == "no such file" else f"{path}: {fault}"
        raise SourceError(fault, "a folder of images or a table of texts", "Check the path.")
    for option in ("--table", "--unlisted"):
        if getattr(spec, option[2:]):
            raise SourceError(
                f"{option} beside {path}, which is a table itself",
                "a folder of images",
                f"Leave out {option}.",
            )
    return _list_texts(path, rule)


def _list_texts(path: Path, rule: LabelRule) -> Reader:
    columns = Columns.of(read_table(path), rule, ("text",))
    rows: list[Item | Failure] = []
    for record in columns.table.records:
        place = f"{printable(path.name)}:{record.line}"
        try:
            text = record.text("text")
            if text is None:
                raise RecordError("no text: column 'text' is null or absent")
            key, labels = record.key(place), columns.labels(record)
            own = columns.own(record)
            rows.append(Item(id=key, source=place, text=text, labels=labels, columns=own))
        except RecordError as error:
            key = record.key_or(place)
            rows.append(Failure(id=key, source=place, modality="text", reason=str(error)))
    if not rows:
        raise SourceError(f"{path} has no lines", "one text a line", "Check the file.")
    rows = _once(rows)
    schema, ignored = columns.schema(rows)
    lines = [*summary.counts(rows), *summary.columns(columns, schema, ignored)]
    return ListReader(rows, schema, lines)


def _list_folder(folder: Path, spec: SourceSpec, rule: LabelRule) -> Reader:
    listing = list_folder(folder)
    table = _choose_table(listing, spec.table)
    if table is not None:
        listing.pass_over(table)
        return _list_pairs(listing, Columns.of(read_table(table), rule, ("path", "text")), spec)
    if rule != LabelRule():
        raise SourceError(
            f"--label-column or --label-separator, and {folder} has no table",
            "a table with labels",
            "Name the table with --table, or leave the options out.",
        )
    if not listing.images:
        skipped = listing.skipped()
        raise SourceError(
            f"{folder} has no images among its {listing.files()} files"
            + (f" (skipped: {skipped})" if skipped else ""),
            f"files ending in {', '.join(sorted(IMAGE_SUFFIXES))}",
            "Check the path; links to folders are not followed.",
        )
    rows = list(rows_from_stems(listing))
    lines = [*summary.counts(rows), *summary.unpaired(rows), *summary.skipped(listing)]
    return ListReader(_once(rows), lines=lines)


def _list_pairs(listing: Listing, columns: Columns, spec: SourceSpec) -> Reader:
    images = Images(listing)
    rows = list(rows_from_table(images, columns))
    unlisted = images.unlisted()
    if spec.unlisted:
        for name in unlisted:
            rows += image_alone(listing, name)
    if not rows:
        raise SourceError(
            f"{columns.table.path} has no lines", "one image or text a line", "Check the file."
        )
    rows = _once(rows)
    schema, ignored = columns.schema(rows)
    lines = [*summary.counts(rows), *summary.unpaired(rows)]
    if not spec.unlisted:
        lines += summary.left_out(len(unlisted), columns.table)
    lines += [*summary.columns(columns, schema, ignored), *summary.skipped(listing)]
    return ListReader(rows, schema, lines)


def _choose_table(listing: Listing, named: str | None) -> Path | None:
    """The table that is named, or else the one that lies in the folder."""
    folder = listing.folder
    if named is None:
        if len(listing.tables) > 1:
            names = ", ".join(map(told, listing.tables))
            raise SourceError(
                f"{folder} has {len(listing.tables)} tables: {names}",
                "one",
                "Name the table of paths and texts with --table.",
            )
        return folder / listing.tables[0] if listing.tables else None
    places = [Path(named), folder / named]
    faults = [file_fault(place) for place in places]
    there = [place for place, fault in zip(places, faults, strict=True) if fault is None]
    if len(there) == 2 and not there[0].samefile(there[1]):
        raise SourceError(
            f"table {named} is there twice: {there[0].absolute()} and {there[1].absolute()}",
            "one",
            "Give --table the whole path.",
        )
    if not there:
        fault = next((fault for fault in faults if fault != "no such file"), None)
        raise SourceError(
            f"table {named} " + (f"cannot be read: {fault}" if fault else "does not exist"),
            "a table of path and text",
            "Check the path.",
        )
    return there[0]


def _once(rows: Sequence[Item | Failure]) -> list[Item | Failure]:
    """Turn every later row of an id that is taken into a failure."""
    owners: dict[str, str] = {}
    out: list[Item | Failure] = []
    for row in rows:
        if isinstance(row, Failure):
            out.append(row)
        elif row.id in owners:
            reason = f"id {shown(row.id)} is taken by {owners[row.id]}"
            modality = "text" if row.image is None else ""
            out.append(Failure(id=row.id, source=row.source, modality=modality, reason=reason))
        else:
            owners[row.id] = row.source
            out.append(row)
    return out
