"""The summary of a source: what is read, what is left out, and what may be meant otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ssah_index.ingest.columns import Columns
from ssah_index.ingest.labels import ALIKE
from ssah_index.ingest.listing import Listing
from ssah_index.ingest.pairing import NO_IMAGE
from ssah_index.ingest.records import shown, told
from ssah_index.ingest.tables import Table
from ssah_index.types import Failure, Item


def counts(rows: Sequence[Item | Failure]) -> list[str]:
    """Images, texts, labels and faults among all rows."""
    items = [row for row in rows if isinstance(row, Item)]
    labels = {name for item in items for name in item.labels}
    failed = len(rows) - len(items)
    parts = [
        plural(sum(item.image is not None for item in items), "image"),
        plural(sum(item.text is not None for item in items), "text"),
        f"{sum(bool(item.labels) for item in items):,} labelled",
        plural(len(labels), "label"),
    ]
    return [", ".join(parts + ([f"{failed:,} cannot be read"] if failed else []))]


def unpaired(rows: Sequence[Item | Failure]) -> list[str]:
    """Images without a text and texts without an image, in a folder."""
    items = [row for row in rows if isinstance(row, Item)]
    images = sum(item.text is None for item in items)
    texts = sum(item.image is None for item in items)
    texts += sum(isinstance(row, Failure) and row.reason == NO_IMAGE for row in rows)
    parts = []
    if images and images < len(items):
        parts.append(f"{plural(images, 'image')} without a text")
    if texts:
        parts.append(f"{plural(texts, 'text')} without an image")
    return [", ".join(parts)] if parts else []


def left_out(unlisted: int, table: Table) -> list[str]:
    """Images of a folder that its table does not name."""
    if not unlisted:
        return []
    are = "1 image is" if unlisted == 1 else f"{unlisted:,} images are"
    verb, them = ("is", "it") if unlisted == 1 else ("are", "them")
    name = told(table.path.name)
    return [f"{are} not in {name} and {verb} left out; --unlisted takes {them} in"]


def columns(read: Columns, own: pa.Schema, ignored: Mapping[str, str]) -> list[str]:
    """The users' columns that are kept and that are not, and labels that may be missed."""
    lines = []
    if len(own):
        lines.append(f"other columns, kept: {', '.join(map(_name, own.names))}")
    if ignored:
        reasons = [f"{_name(name)} ({why})" for name, why in ignored.items()]
        lines.append(f"ignored columns: {', '.join(reasons)}")
    names, rule = read.table.names, read.rule
    alike = [name for name in ALIKE if name in names]
    if rule.column not in names and alike:
        kept = "kept as a column and " if alike[0] in own.names else ""
        lines.append(
            f"column {alike[0]!r} is {kept}not read as labels; --label-column {alike[0]} reads it"
        )
    return lines + rule.doubts(record.values.get(rule.column) for record in read.table.records)


def skipped(listing: Listing) -> list[str]:
    """Files and folders that are passed over."""
    text = listing.skipped()
    return [f"skipped: {text}"] if text else []


def plural(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _name(name: str) -> str:
    """A column's name as it stands, in quotes where it is not made of letters and digits."""
    return name if name.replace("_", "").replace("-", "").isalnum() else shown(name)
