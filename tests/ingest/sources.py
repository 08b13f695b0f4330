"""Sources made in a line or two, and what a reader makes of them."""

from __future__ import annotations

import json
import os
import socket

from ssah_index.ingest import open_reader
from ssah_index.types import Failure, Item


def read(source, table=None, **options):
    """All rows, as items and failures."""
    reader = open_reader(source, table, **options)
    rows = list(reader.read(0, len(reader)))
    items = [row for row in rows if isinstance(row, Item)]
    return items, [row for row in rows if isinstance(row, Failure)]


def told(source, table=None, **options):
    """The summary as one text."""
    return "\n".join(open_reader(source, table, **options).summary())


def jsonl(path, *records):
    """A table of records, or of lines as they stand."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines))
    return path


def photos(folder, *names):
    """Files that are not looked into."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return folder


def fifo(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's path is short


def device(path):
    path.symlink_to("/dev/zero")


def folder(path):
    path.mkdir()


def nowhere(path):
    path.symlink_to(path.with_name("nowhere"))


def itself(path):
    path.symlink_to(path)


ODD = {
    "a FIFO": fifo,
    "a socket": listening,
    "a device": device,
    "a folder": folder,
    "no such file": nowhere,
    "no such file (Too many": itself,
}
"""What may lie where a file is expected, by the words that name it."""
