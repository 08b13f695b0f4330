"""What this machine allows at best, measured beside every figure: no scan can be faster.

A search reads every code once from memory, or compares every query with every code in
registers; whichever takes longer on the machine bounds it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssah_index.kernels.popcount import popcount

L1_WORDS = 1024
L1_ROUNDS = 100_000
RUNS = 9


@njit(nogil=True, cache=True)
def _read(words: Any) -> Any:
    """Touch every word and do next to nothing with it."""
    total = np.uint64(0)
    for i in range(words.size):  # an iterator in its place is not vectorised
        total ^= words[i]
    return total


@njit(nogil=True, cache=True)
def _least(words: Any, query: Any) -> Any:
    least = np.uint64(64)
    for i in range(words.size):
        least = min(least, popcount(words[i] ^ query))
    return least


@njit(nogil=True, cache=True)
def _compare(words: Any, rounds: int) -> Any:
    """Xor, popcount and minimum over words that stay in the first-level cache."""
    total = np.uint64(0)
    for i in range(rounds):
        total += _least(words, np.uint64(i))
    return total


def seconds(work: Callable[[], object], runs: int = 1) -> list[float]:
    """Wall times of several runs."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return times


def _median_s(work: Callable[[], object]) -> float:
    """The median, as of what is compared with it."""
    return statistics.median(seconds(work, runs=RUNS))


def bytes_per_s(words: NDArray[np.uint64], threads: int) -> float:
    """Bandwidth of reading this very array, in equal parts by so many threads."""
    flat = words.reshape(-1)
    parts = np.array_split(flat, threads)
    _read(flat[:8])
    with ThreadPoolExecutor(threads) as pool:
        return flat.nbytes / _median_s(lambda: list(pool.map(_read, parts)))


def words_per_s(threads: int) -> float:
    """Rate of 64-bit comparisons, on so many cores together."""
    parts = [np.arange(L1_WORDS, dtype=np.uint64) for _ in range(threads)]
    _compare(parts[0], 1)
    with ThreadPoolExecutor(threads) as pool:
        taken = _median_s(lambda: list(pool.map(lambda p: _compare(p, L1_ROUNDS), parts)))
    return threads * L1_WORDS * L1_ROUNDS / taken
