"""One id, one row: what happens when rows come under ids that are there already.

An id is unique within a modality: a pair of an image and a text is two rows under one id.
Nothing is rewritten. A row that is skipped is written and deleted in the same commit; a row
that is replaced is deleted in the commit that brings its successor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.errors import DuplicateIdError, SpecError
from ssah_index.store.rows import hash_ids
from ssah_index.store.segment import Segment

Policy = Literal["error", "skip", "replace"]
"""Refuse all of it, keep the rows that are there, or let the new ones take their place."""
_SHOWN = 5


def check_policy(policy: str) -> None:
    """Refuse what is no policy.

    Raises
    ------
    SpecError
        If it is none.
    """
    if policy not in get_args(Policy):
        raise SpecError(
            f"on_duplicate is {policy!r}", " or ".join(map(repr, get_args(Policy))), "Correct it."
        )


def refuse(ids: Sequence[object], where: str) -> DuplicateIdError:
    """The error that names ids that are not new."""
    shown = ", ".join(map(repr, ids[:_SHOWN])) + " and more" * (len(ids) > _SHOWN)
    return DuplicateIdError(
        f"{len(ids):,} ids are {where}: {shown}",
        "new ids",
        "Leave those rows out, or pass on_duplicate: skip keeps the rows that are there, "
        "replace puts the new ones in their place.",
    )


def once(ids: pa.Array, policy: Policy) -> NDArray[np.bool_]:
    """Which rows of a batch to keep, so that each id comes once.

    Parameters
    ----------
    ids : Arrow array (n,)
    policy : {"error", "skip", "replace"}
        Of rows with one id, skip keeps the first and replace the last.

    Returns
    -------
    bool (n,)

    Raises
    ------
    DuplicateIdError
        If an id comes twice and that is an error.
    """
    keep = np.ones(len(ids), np.bool_)
    hashes = hash_ids(ids)
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    # Rows whose hash another row has: none, as a rule, and the ids need not be looked at.
    suspects = np.flatnonzero(np.isin(hashes, twice)) if len(twice) else np.empty(0, np.int64)
    last: dict[object, int] = {}
    for row, key in zip(suspects.tolist(), ids.take(suspects).to_pylist(), strict=True):
        if key in last:
            keep[last[key] if policy == "replace" else row] = False
        if policy == "replace" or key not in last:
            last[key] = row
    if policy == "error" and not keep.all():
        raise refuse(ids.filter(~keep).to_pylist(), "twice among the new rows")
    return keep


def resolve(
    known: Sequence[Segment], new: Sequence[Segment], policy: Policy
) -> tuple[dict[str, BitMap], int]:
    """Rows to delete so that each id has one row.

    Parameters
    ----------
    known : sequence of Segment
        Of the generation that new ones are to follow.
    new : sequence of Segment
        In the order of their commit.
    policy : {"error", "skip", "replace"}

    Returns
    -------
    deleted : dict
        All deleted rows of each segment that changes, by folder.
    count : int
        Rows that this deletes.

    Raises
    ------
    DuplicateIdError
        If there is any, and that is an error.
    """
    deleted = {segment.entry.folder: segment.deleted for segment in (*known, *new)}
    before = sum(map(len, deleted.values()))
    earlier = list(known)
    clashing: list[object] = []
    for segment in new:
        for other in earlier:
            if other.entry.modality != segment.entry.modality or not other.live:
                continue
            own, others = segment.rows.ids.meet(other.rows.ids)
            both = _alive(own, deleted[segment.entry.folder])
            both &= _alive(others, deleted[other.entry.folder])
            if policy == "error":
                clashing += segment.rows.ids.take(own[both]).to_pylist() if both.any() else []
                continue
            loser, rows = (segment, own) if policy == "skip" else (other, others)
            deleted[loser.entry.folder] = deleted[loser.entry.folder] | BitMap(rows[both])
        earlier.append(segment)
    if clashing:
        raise refuse(clashing, "in the store already")
    originals = {segment.entry.folder: segment.deleted for segment in (*known, *new)}
    changed = {f: rows for f, rows in deleted.items() if len(rows) > len(originals[f])}
    return changed, sum(map(len, deleted.values())) - before


def _alive(rows: NDArray[np.int64], deleted: BitMap) -> NDArray[np.bool_]:
    return ~np.isin(rows, np.array(deleted, np.int64))
