"""What a row was made of, in three numbers, so that a later run can tell whether it changed.

Two rows are of one item as it is now if their facts are equal, and the files have either
one size and time or one content. A folder that was copied has other times, and its files
are read; others are not.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

import xxhash

from ssah_index.types import Item, Modality

READ_BYTES = 4 << 20
_FACTS = json.JSONEncoder(default=str)
"""ASCII, so that no release of Unicode changes it; dates and bytes as text."""


class Origin(NamedTuple):
    """A row of origin.u64; 0 where a number is not known."""

    facts: int
    """XXH3-64 of modality, id, text, labels and the users' columns, never 0."""
    state: int
    """XXH3-64 of the image file's size and time of change; of a text 0."""
    content: int
    """XXH3-64 of the image file's bytes, or of the text in UTF-8."""


def origin_of(item: Item, modality: Modality) -> Origin:
    """What a row of the item is made of now. A file that cannot be read gives zeros."""
    return Origin(
        facts_of(item, modality), state_of(item, modality), content_of(item, modality) or 0
    )


def is_same(known: Origin, item: Item, modality: Modality) -> bool:
    """Whether a row of known origin was made of the item as it is now."""
    if known.facts != facts_of(item, modality):
        return False
    if modality == "text":
        return True
    state = state_of(item, modality)
    return state != 0 and (known.state == state or known.content == content_of(item, modality))


def facts_of(item: Item, modality: Modality) -> int:
    """`Origin.facts`. Where the item came from is no part of it: lines of a table may move."""
    columns = {name: value for name, value in item.columns.items() if value is not None}
    facts = [modality, item.id, item.text, item.labels, sorted(columns.items())]
    return xxhash.xxh3_64_intdigest(_FACTS.encode(facts).encode()) or 1


def state_of(item: Item, modality: Modality) -> int:
    """`Origin.state`."""
    if modality == "text" or item.image is None:
        return 0
    try:
        status = item.image.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in its name
        return 0
    if not stat.S_ISREG(status.st_mode):
        return 0
    return xxhash.xxh3_64_intdigest(b"%d %d" % (status.st_size, status.st_mtime_ns)) or 1


def content_of(item: Item, modality: Modality) -> int | None:
    """`Origin.content`; None if the file cannot be read."""
    if modality == "text" or item.image is None:
        return xxhash.xxh3_64_intdigest((item.text or "").encode("utf-8", "surrogatepass"))
    try:
        return _hash_image(item.image)
    except (OSError, ValueError):
        return None


def _hash_image(path: Path) -> int | None:
    """XXH3-64 of a regular file; of others None, since to open them may wait for ever."""
    digest = xxhash.xxh3_64()
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        while part := file.read(READ_BYTES):
            digest.update(part)
    return digest.intdigest()
