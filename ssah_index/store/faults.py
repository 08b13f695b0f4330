"""Segments whose files are as their hashes say, and yet are not what a segment must have.

Anyone can make hashes anew. What is read at a search is checked then; this reads all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssah_index.errors import SsahError
from ssah_index.store.manifest import LEDGER
from ssah_index.store.rows import ID_HASH, ID_ROW, ROWS, hash_ids
from ssah_index.store.segment import SegmentFiles
from ssah_index.store.shard import METADATA

HASHED = 1 << 16
"""Rows of a segment, at even distances, whose hashes are made anew: all of a small one."""


def find_faults(files: SegmentFiles) -> Iterator[tuple[str, str]]:
    """What is wrong with a segment.

    Yields
    ------
    str, str
        A file, by its path below the segment's folder, and its fault.
    """
    for name, read in (
        (METADATA, lambda: files.codes),
        (LEDGER, files.failures),
        (ROWS, lambda: sum(batch.num_rows for _, batch in files.rows.batches())),
    ):
        try:
            read()
        except SsahError as error:
            yield name, error.fault
            if name == ROWS:
                return
    try:
        yield from _faults_of_ids(files)
    except SsahError as error:
        yield ID_HASH, error.fault


def _faults_of_ids(files: SegmentFiles) -> Iterator[tuple[str, str]]:
    """Whether each row can be found by its id."""
    ids, n = files.rows.ids, files.entry.rows
    if (ids.hashes[1:] < ids.hashes[:-1]).any():
        yield ID_HASH, "hashes do not ascend"
        return
    seen = np.zeros(n, np.bool_)
    seen[ids.order[ids.order < n]] = True
    if not seen.all():
        yield ID_ROW, f"{np.count_nonzero(~seen)} rows are not in it"
        return
    some = np.arange(0, n, -(-n // HASHED) or 1)
    if (hash_ids(ids.take(ids.order[some].astype(np.int64))) != ids.hashes[some]).any():
        yield ID_HASH, "hashes are of other ids"
