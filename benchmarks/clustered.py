"""Clustered codes at any size: each a pure function of its number, made in parts on all cores.

As locality-sensitive hashing of data in clusters gives them: points lie around centres in 64
dimensions, with half the centres' spread, clusters have Zipf's sizes, and a bit is the side of a
random hyperplane (Charikar, STOC 2002). A point's noise is the sum of two of 2^16 drawn once,
which makes drawing 2^30 points a matter of seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CENTRES = 20_000
DIMENSIONS = 64
ZIPF = 1.3
SPREAD = 0.5
"""Standard deviation of a cluster, where that of the centres is 1."""
DRAWN = 1 << 16
"""Noises; two of them make 2^31 pairs."""
OWNERS = 1 << 20
"""Entries of the table that gives a cluster to a point."""


@cache
def _world(bits: int) -> tuple[NDArray[Any], ...]:
    """Owners, and centres and noises on their sides of the hyperplanes, float32 (., bits)."""
    random = np.random.default_rng(1)
    planes = random.standard_normal((DIMENSIONS, bits), np.float32)
    centres = random.standard_normal((CENTRES, DIMENSIONS), np.float32)
    noises = random.standard_normal((DRAWN, DIMENSIONS), np.float32) * SPREAD / 2**0.5
    owners = (random.zipf(ZIPF, OWNERS) % CENTRES).astype(np.int32)
    return owners, centres @ planes, noises.astype(np.float32) @ planes


def clustered(first: int, n: int, bits: int = 64) -> NDArray[np.uint64]:
    """Codes of the points from number ``first`` on, uint64 (n, bits / 64).

    Takes some 50 ns of a core for each word, and lets other threads run.
    """
    out = np.empty((n, bits // 64), np.uint64)
    _draw(first, *_world(bits), out)
    return out


@njit(nogil=True, cache=True)
def _draw(first: int, owners: Any, centres: Any, noises: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        x = np.uint64(first + i + 1) * np.uint64(0x9E3779B97F4A7C15)  # SplitMix64
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        owner = owners[x & np.uint64(owners.size - 1)]
        one = (x >> np.uint64(20)) & np.uint64(noises.shape[0] - 1)
        two = (x >> np.uint64(40)) & np.uint64(noises.shape[0] - 1)
        for w in range(out.shape[1]):
            word = np.uint64(0)
            for j in range(64):
                bit = 64 * w + j
                side = centres[owner, bit] + noises[one, bit] + noises[two, bit]
                word |= np.uint64(side > 0) << np.uint64(j)
            out[i, w] = word
