"""What a stored index must be before a kernel touches it, whatever its hashes say.

An offset or a reference out of range would be read from memory that is not the index's. The plan
is checked field by field, then the arrays against the plan, each once, from front to back.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes.check import MAX_BITS, MIN_BITS
from ssah_index.errors import CorruptError
from ssah_index.index.mih_plan import MOST_KEY, MOST_ROWS, MihPlan
from ssah_index.kernels import Extent, entries, proof
from ssah_index.kernels.entries import COMPACT_BITS, REPEATED
from ssah_index.store import Fields

CHUNK = 1 << 18
"""Values that are looked at together: they stay in the cache."""
CHUNK_CODES = 1 << 15
"""Codes that are permuted together."""
REBUILD = "Build it anew with: ssah-index index STORE --rebuild"


def read_plan(shape: Fields) -> MihPlan:
    """The plan that index.json holds.

    Raises
    ------
    CorruptError
        If a field is missing, unknown, of another type or out of bounds.
    """
    if shape.body.keys() != {field.name for field in fields(MihPlan)}:
        raise CorruptError(
            f"{shape.where} has fields {', '.join(map(repr, sorted(shape.body)))}"[:400],
            "the shape of an index that this release builds",
            REBUILD,
        )
    bits = shape.integer("bits", MAX_BITS, MIN_BITS)
    b = shape.integer("b", min(MOST_KEY, bits), 1)
    compact = _flag(shape)
    plan = MihPlan(
        n=shape.integer("n", MOST_ROWS - 1),
        bits=bits,
        m=shape.integer("m", bits // b, 1),
        b=b,
        order=tuple(shape.integers("order", bits - 1)),
        compact=compact,
        build_s=shape.number("build_s"),
        query_s=shape.number("query_s"),
        scan_s=shape.number("scan_s"),
    )
    if sorted(plan.order) != list(range(bits)):
        raise shape.wrong("order", f"each bit from 0 to {bits - 1} once")
    if compact and (plan.words > 1 or 64 - b > COMPACT_BITS):
        raise shape.wrong("compact", f"true where at most {COMPACT_BITS} bits are left by a key")
    return plan


def check_arrays(arrays: Mapping[str, NDArray[Any]], shape: Fields) -> None:
    """Check that a kernel can search the arrays of an index.

    Parameters
    ----------
    arrays : mapping of str to array
        As they lie on the disk.
    shape : Fields
        That index.json has of them.

    Raises
    ------
    CorruptError
        If it cannot.

    Notes
    -----
    Reads the offsets, references and lists once: 1 to 2 GB/s on one core.
    """
    plan = read_plan(shape)
    sizes = plan.sizes()
    every = len(arrays.get("refs", ()))
    expected = {
        "offsets": plan.m * (plan.buckets + 1),
        "body": every * plan.words,
        "tails": every if plan.compact else 0,
        "refs": every,
        "lists": len(arrays.get("lists", ())),
        "list_rows": len(arrays.get("list_rows", ())),
    }
    there = {name: (array.dtype, len(array)) for name, array in arrays.items()}
    needed = {name: (np.dtype(sizes[name][0]), size) for name, size in expected.items()}
    _require(there == needed and every % plan.m == 0, shape, "its arrays are not of its shape")
    distinct = every // plan.m
    for table in range(plan.m):
        start = table * (plan.buckets + 1)
        borders = arrays["offsets"][start : start + plan.buckets + 1]
        _require(ascends(borders, distinct), shape, f"offsets of table {table} are out of order")
    lists, rows = arrays["lists"], arrays["list_rows"]
    _require(len(lists) > 0 and ascends(lists, len(rows)), shape, "lists are out of order")
    _require(_lists_ascend(lists, rows, plan.n), shape, "rows of lists are out of order")
    for table in range(plan.m):
        refs = arrays["refs"][table * distinct : (table + 1) * distinct]
        single = _count_single(refs, plan.n, len(lists) - 1)
        whole = (single, distinct) == (plan.n - len(rows), single + len(lists) - 1)
        _require(whole, shape, f"references of table {table} are out of range, or not all there")


def prove(arrays: Mapping[str, NDArray[Any]], plan: MihPlan, extents: Sequence[Extent]) -> bool:
    """Whether every table of an index has all codes of the extents, each in its bucket and with
    its row, and nothing else: then its answers are those of a scan, whoever made it.

    Parameters
    ----------
    arrays : mapping of str to array
        That `check_arrays` has passed.
    plan : MihPlan
    extents : sequence of Extent

    Notes
    -----
    Reads all of the index and all codes, 10 to 20 ns for each entry of a table on one core.
    """
    salt = np.uint64(secrets.randbits(64))
    lut, expected, first = plan.lut(), 0, 0
    for extent in extents:
        for i in range(0, len(extent.words), CHUNK_CODES):
            codes = extent.words[i : i + CHUNK_CODES]
            permuted = np.empty(codes.size, np.uint64)
            entries.permute(codes.reshape(-1), lut, plan.words, permuted)
            expected += int(proof.sum_codes(permuted, plan.words, first, salt))
            first += len(codes)
    distinct = len(arrays["refs"]) // plan.m
    lists = arrays["lists"], arrays["list_rows"]
    for table in range(plan.m):
        start = table * (plan.buckets + 1)
        here = slice(table * distinct, (table + 1) * distinct)
        body = arrays["body"][here.start * plan.words : here.stop * plan.words]
        tails = arrays["tails"][here] if plan.compact else arrays["tails"]
        total = proof.sum_entries(plan.compact)(
            (plan.words, table * plan.b, plan.b),
            arrays["offsets"][start : start + plan.buckets + 1],
            (body, tails, arrays["refs"][here]),
            lists,
            salt,
        )
        if int(total) != expected % (1 << 64):
            return False
    return True


def _flag(shape: Fields) -> bool:
    value = shape.body["compact"]
    if type(value) is not bool:
        raise shape.wrong("compact", "true or false")
    return value


def _require(holds: bool, shape: Fields, fault: str) -> None:
    if not holds:
        raise CorruptError(f"{shape.where}: {fault}", "an index as it was built", REBUILD)


def ascends(borders: NDArray[np.uint32], total: int) -> bool:
    """Whether borders lead from 0 to a total, never back."""
    if borders[0] != 0 or borders[-1] != total:
        return False
    pieces = (borders[i : i + CHUNK + 1] for i in range(0, len(borders) - 1, CHUNK))
    return all(bool((piece[1:] >= piece[:-1]).all()) for piece in pieces)


def _lists_ascend(lists: NDArray[np.uint32], rows: NDArray[np.uint32], n: int) -> bool:
    """Whether rows are below n, and each list of them ascends."""
    for i in range(0, len(rows), CHUNK):
        some = rows[i : i + CHUNK + 1]
        if (some >= n).any():
            return False
        back = i + 1 + np.flatnonzero(some[1:] <= some[:-1])  # only where a new list begins
        at = np.minimum(np.searchsorted(lists, back), len(lists) - 1)
        if (lists[at] != back).any():
            return False
    return True


def _count_single(refs: NDArray[np.uint32], n: int, lists: int) -> int:
    """References to a single row; -1 if one is out of range."""
    count = 0
    for i in range(0, len(refs), CHUNK):
        some = refs[i : i + CHUNK]
        single = some < REPEATED
        if (some[single] >= n).any() or (some[~single] - REPEATED >= lists).any():
            return -1
        count += int(np.count_nonzero(single))
    return count
