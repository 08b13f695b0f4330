"""Chooses the shape of a `MihIndex` from a sample of codes, their number and a memory budget."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from ssah_index.codes.check import MAX_BITS
from ssah_index.errors import SpecError
from ssah_index.kernels import Extent, entries, worth
from ssah_index.types import Words

SAMPLE = 1 << 13
"""Codes of a sample that are looked at."""
PROBES = 64
"""Of them taken as queries, each judged by its own neighbourhood: the mean has the tail in it."""
TYPICAL_K = 10
"""Hits for which the shape is chosen."""
NEARER = 8
"""Rank of the code of the sample by whose distance nearness is judged."""
MOST_TABLES = 8
LEAST_KEY, MOST_KEY = 8, 28
"""Bits of keys that are tried."""
MOST_ROWS = 1 << 31
WIDE_WORDS = 8
"""Words of a code, above which fewer codes are looked at for how bits go together."""
ROUNDING = 1e-9
"""By how much a power of 2 that was summed up may be off."""
_LOG_FACTORIALS = np.concatenate([[0.0], np.log2(np.arange(1, MAX_BITS + 1)).cumsum()])
PART_ENTRIES = 1 << 26
"""Most entries of a part that is built at a time, unless a single bucket has more."""
BUILD_NS = 50.0
"""Of one core, to write an entry into one table."""
MISSED_NS = 60.0
"""More than that, where the borders of buckets do not fit a cache of usual size."""
CACHED_KEY = 18
"""Bits of a key, up to which they do."""
PASS_NS = 5.0
"""Of one core, to read a code for each part."""
WORD_NS = 0.25
"""What a scan needs for a word, on one core."""
NEAR_WORDS = 1 << 22
NEAR_WORD_NS = 0.12
"""The same where all words are fewer than so many, and stay in the last cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MihPlan:
    """The shape of an index, and what it is projected to cost."""

    n: int
    """Rows."""
    bits: int
    """Code width."""
    m: int
    """Tables."""
    b: int
    """Bits of the key of each table; m * b is at most ``bits``."""
    order: tuple[int, ...]
    """(bits,) which bit of a code comes to each place: table t has those from t * b on."""
    compact: bool
    """Whether entries leave out the bits that their bucket says."""
    build_s: float
    """Projected, of one core."""
    query_s: float
    """Projected, of one query for the ten nearest on one core."""
    scan_s: float
    """The same of the flat index."""

    @property
    def words(self) -> int:
        """64-bit words of a code."""
        return -(-self.bits // 64)

    @property
    def buckets(self) -> int:
        """Of each table."""
        return 1 << self.b

    @property
    def nbytes(self) -> int:
        """Most bytes of the index: all codes differ, or each comes twice, with a list of 12."""
        entry = self.m * ((4 + 1 if self.compact else 8 * self.words) + 4)
        return 4 + self.m * (self.buckets + 1) * 4 + int(self.n * max(entry, (entry + 12) / 2))

    def sizes(self) -> dict[str, tuple[type[np.generic], int]]:
        """Type and greatest size of each array of the index."""
        every = self.m * self.n
        return {
            "offsets": (np.uint32, self.m * (self.buckets + 1)),
            "body": (np.uint32 if self.compact else np.uint64, every * self.words),
            "tails": (np.uint8, every if self.compact else 0),
            "refs": (np.uint32, every),
            "lists": (np.uint32, self.n // 2 + 2),
            "list_rows": (np.uint32, self.n),
        }

    def lut(self) -> NDArray[np.uint64]:
        """What each value of each byte of a code becomes; see `permute`."""
        table = np.zeros((8 * self.words, 256, self.words), np.uint64)
        values = np.arange(256)
        for place, bit in enumerate(self.order):
            on = (values >> (bit % 8) & 1).astype(np.uint64)
            table[bit // 8, :, place // 64] |= on << np.uint64(place % 64)
        return table.reshape(-1)

    def masks(self) -> NDArray[np.uint64]:
        """The key of each table u, as entries of each table t hold it; uint64 (m, m, words)."""
        whole = np.zeros((self.m, 64 * self.words), np.bool_)
        for table in range(self.m):
            whole[table, table * self.b : (table + 1) * self.b] = True
        out = np.zeros((self.m, self.m, 8 * self.words), np.uint8)
        for table in range(self.m):
            seen = whole
            if self.compact:
                seen = np.roll(whole, -table * self.b - self.b, axis=1)
                seen[:, 64 - self.b :] = False
            out[table] = np.packbits(seen, axis=1, bitorder="little")
        return out.view("<u8")


def draw(extents: Sequence[Extent]) -> Words:
    """Draw a sample for `plan`; uint64 (s, words), s at most `SAMPLE`, always the same."""
    sizes = np.array([len(extent.words) for extent in extents])
    n = int(sizes.sum())
    chosen = np.sort(np.random.default_rng(0).choice(n, min(n, SAMPLE), replace=False))
    starts = sizes.cumsum() - sizes
    return np.concatenate(
        [
            extent.words[chosen[(chosen >= start) & (chosen < start + size)] - start]
            for extent, start, size in zip(extents, starts, sizes, strict=True)
        ]
    )


def plan(sample: Words, n: int, bits: int, budget_bytes: int) -> MihPlan:
    """Choose the fastest shape that fits.

    Parameters
    ----------
    sample : uint64 (s, words)
        Codes drawn at random from those to be indexed; some ten thousand are enough.
    n : int
        Codes to be indexed, fewer than 2^31.
    bits : int
        Code width.
    budget_bytes : int
        Most bytes of the index.

    Returns
    -------
    MihPlan

    Raises
    ------
    SpecError
        If there are too many rows, or no shape fits the budget.
    """
    if n >= MOST_ROWS:
        raise SpecError(
            f"an index of {n} rows", f"fewer than {MOST_ROWS}", "Make an index for each part."
        )
    sample = np.ascontiguousarray(sample[:SAMPLE])
    alike = correlate(sample, bits)
    nearness = _Nearness(sample, n)
    shapes = [
        _shape(nearness, order, n, bits, m, b)
        for m in range(1, MOST_TABLES + 1)
        for b in _keys(n, bits, m)
        for order in [assign(alike, m, b)]
    ]
    fitting = [shape for shape in shapes if shape.nbytes <= budget_bytes]
    if not fitting:
        least = min(shape.nbytes for shape in shapes)
        raise SpecError(
            f"{budget_bytes} bytes for an index of {n} codes of {bits} bits",
            f"at least {least} bytes",
            "Give it more memory, or search without an index.",
        )
    fastest = min(shape.query_s for shape in fitting)
    return min(
        (shape for shape in fitting if shape.query_s <= 1.1 * fastest),
        key=lambda shape: shape.nbytes,
    )


def _build_ns(n: int, b: int) -> float:
    """What building needs for each entry of a table, on one core."""
    return BUILD_NS + MISSED_NS * (b > CACHED_KEY) + PASS_NS * -(-n // PART_ENTRIES)


def word_ns(words: int) -> float:
    """What a scan of so many words needs for each, on one core."""
    return WORD_NS if words > NEAR_WORDS else NEAR_WORD_NS


def _keys(n: int, bits: int, m: int) -> range:
    """Widths of keys that are worth a try: buckets hold from half a code to a few hundred."""
    widest = max(min(MOST_KEY, bits // m, n.bit_length() + 1), LEAST_KEY)
    return range(max(widest - 9, LEAST_KEY), widest + 1) if m * LEAST_KEY <= bits else range(0)


def correlate(sample: Words, bits: int) -> NDArray[np.float64]:
    """Squared covariance of each two bits of codes, uint64 (s, words); float64 (bits, bits)."""
    sample = sample[: SAMPLE * WIDE_WORDS // max(sample.shape[1], WIDE_WORDS)]
    flags = np.unpackbits(sample.view(np.uint8), axis=1, bitorder="little")[:, :bits]
    centred = flags - flags.mean(axis=0) if len(flags) else np.zeros((1, bits))
    return np.asarray((centred.T @ centred / len(centred)) ** 2)


def assign(alike: NDArray[np.float64], m: int, b: int) -> tuple[int, ...]:
    """Order bits such that the keys of m tables spread codes well.

    Parameters
    ----------
    alike : float64 (bits, bits)
        See `correlate`.
    m, b : int

    Returns
    -------
    tuple of int
        (bits,). The m * b bits that are most evenly on and off come first; each goes to the table
        with room whose bits it is least correlated with.
    """
    bits = len(alike)
    chosen = np.argsort(-np.diagonal(alike), kind="stable").tolist()
    keys: list[list[int]] = [[] for _ in range(m)]
    likeness = np.zeros((m, bits))  # of each bit to the key of each table
    for bit in chosen[: m * b]:
        table = int(likeness[:, bit].argmin())
        keys[table].append(bit)
        likeness[table] += alike[bit] if len(keys[table]) < b else np.inf
    return tuple(bit for key in keys for bit in sorted(key)) + tuple(chosen[m * b :])


class _Nearness:
    """How near codes lie to each of some queries, of a sample that stands for n codes."""

    def __init__(self, sample: Words, n: int) -> None:
        sample = sample[: max(SAMPLE // sample.shape[1], 1)]
        queries = sample[:: max(len(sample) // PROBES, 1)]
        self._xor = sample ^ queries[:, None]
        self._growth = n / max(len(sample), 1)
        self.reach = self._reach(n, 64 * sample.shape[1])

    def _reach(self, n: int, most: int) -> NDArray[np.int64]:
        """Distance of the tenth of n codes, for each query; (queries,).

        The sample's codes lie as near as uniform ones of so many bits would, fewer than they
        have; then n of them do too.
        """
        size = self._xor.shape[1]
        if size < 2 * NEARER:
            return np.zeros(len(self._xor), np.int64)
        distances = np.bitwise_count(self._xor).sum(axis=2)
        near = np.sort(distances, axis=1)[:, NEARER]
        values, places = np.unique(near, return_inverse=True)
        wanted = math.log2(min(TYPICAL_K / n, 1.0)) - ROUNDING
        reach = []
        for value in values.tolist():
            # The fewest bits of which so small a share is within the distance; ever smaller ones.
            limit, widths = math.log2(NEARER / size) + ROUNDING, range(1, most)
            bits = 1 + bisect_left(widths, -limit, key=lambda d: -_log_shares(d)[min(value, d)])
            reach.append(int(np.searchsorted(_log_shares(bits), wanted)))
        return np.array(reach, np.int64)[places]

    def met(self, bits: tuple[int, ...]) -> NDArray[np.float64]:
        """Codes of n by the distance of their key of these bits to each query; (queries, b + 1)."""
        mask = np.zeros(64 * self._xor.shape[2], np.uint8)
        mask[list(bits)] = 1
        words = np.packbits(mask, bitorder="little").view("<u8")
        near = np.zeros(self._xor.shape[:2], np.int64)
        for w in np.flatnonzero(words):
            near += np.bitwise_count(self._xor[:, :, w] & words[w])
        size = len(bits) + 1
        near += size * np.arange(len(near))[:, None]
        counts = np.bincount(near.reshape(-1), minlength=size * len(near)).reshape(-1, size)
        counts[:, 0] -= 1  # the query itself
        return np.asarray(counts * self._growth)


def _log_shares(bits: int) -> NDArray[np.float64]:
    """Of uniform codes, those within each distance of one of them, as powers of 2; (bits + 1,).

    Their number overflows a float from 1,024 bits on, and as whole numbers they take minutes.
    """
    numbers = _LOG_FACTORIALS[bits] - _LOG_FACTORIALS[: bits + 1] - _LOG_FACTORIALS[bits::-1]
    return np.logaddexp2.accumulate(numbers - bits)


def _shape(
    nearness: _Nearness, order: tuple[int, ...], n: int, bits: int, m: int, b: int
) -> MihPlan:
    words = -(-bits // 64)
    compact = words == 1 and 64 - b <= entries.COMPACT_BITS
    patterns = np.array([comb(b, r) for r in range(b + 1)], np.float64)
    # A sample meets nobody in small buckets; near a code, they hold no fewer than elsewhere.
    fewest = patterns * n / 2.0**b
    met = [np.maximum(nearness.met(order[t * b : (t + 1) * b]), fewest) for t in range(m)]
    costs = np.concatenate(
        [
            np.maximum.accumulate(
                patterns * worth.PROBE_NS + of_table * worth.ENTRY_NS * words, axis=1
            )
            for of_table in met
        ],
        axis=1,
    )
    # The cheapest next step at each moment: none comes before a narrower one of its table.
    spent = np.cumsum(np.sort(costs, axis=1), axis=1)
    last = np.minimum(nearness.reach, costs.shape[1] - 1)
    query_ns = float(spent[np.arange(len(spent)), last].mean()) if len(spent) else 0.0
    return MihPlan(
        n=n,
        bits=bits,
        m=m,
        b=b,
        order=order,
        compact=compact,
        build_s=n * m * _build_ns(n, b) * 1e-9,
        query_s=query_ns * 1e-9,
        scan_s=n * words * word_ns(n * words) * 1e-9,
    )
