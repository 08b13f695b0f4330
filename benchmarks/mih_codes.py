"""Codes that multi-index hashing is measured on: ``python -m benchmarks.mih_codes DATA BITS N``.

A set is made in pieces, each from a seed of its own, so that a smaller set is the beginning of a
larger one. All but uniform codes are kept in files in the folder of benchmarks, made by a process
of its own when they are first asked for; remove them after a change of what makes them.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import locked
from benchmarks.clustered import clustered
from benchmarks.search import FOLDER
from ssah_index.codes import to_words
from ssah_index.kernels import cores

PIECE = 100_000
"""Codes of one seed."""
QUERIES = 1032
"""Queries of a set, from the same source and not in it."""


class Source(Protocol):
    """What codes come from."""

    def draw(self, random: np.random.Generator, count: int, held_out: bool) -> NDArray[np.uint8]:
        """Codes, uint8 (count, bits / 8); ``held_out``: of what is kept for queries."""


class Uniform:
    """All codes alike: the hardest, since nothing lies near."""

    def __init__(self, bits: int) -> None:
        self._nbytes = bits // 8

    def draw(self, random: np.random.Generator, count: int, held_out: bool) -> NDArray[np.uint8]:
        del held_out  # any two draws are independent
        return random.integers(0, 256, (count, self._nbytes), dtype=np.uint8)


class Clustered:
    """Clusters of very different sizes, hashed by random hyperplanes; see clustered.py."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def draw(self, random: np.random.Generator, count: int, held_out: bool) -> NDArray[np.uint8]:
        del held_out  # any two numbers are independent
        words = clustered(int(random.integers(2**62)), count, -(-self._bits // 64) * 64)
        return words.view(np.uint8)[:, : self._bits // 8]


def _learned(data: str) -> Callable[[int], Source]:
    def source(bits: int) -> Source:
        from benchmarks.mih_learned import Learned  # its import takes torch's time

        return Learned(data, bits)

    return source


SOURCES: dict[str, Callable[[int], Source]] = {
    "uniform": Uniform,
    "clustered": Clustered,
    "mirflickr": _learned("mirflickr"),
    "icons": _learned("icons"),
}
"""By name, from a number of bits."""


def codes_of(data: str, bits: int, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first n codes of a set and its queries; uint8 (n, bits / 8) and (QUERIES, bits / 8)."""
    if data == "uniform":
        source = Uniform(bits)
        codes = np.empty((n, bits // 8), np.uint8)
        for start, piece in zip(
            range(0, n, PIECE), _pieces(source, 0, -(-n // PIECE)), strict=True
        ):
            codes[start : start + PIECE] = piece[: n - start]
        return codes, _queries(source)
    path = FOLDER / f"mih-{data}-{bits}.u8"
    asked = path.with_suffix(".queries.u8")
    if not asked.exists() or path.stat().st_size < n * bits // 8:
        command = [sys.executable, "-m", "benchmarks.mih_codes", data, str(bits), str(n)]
        subprocess.run(command, check=True)
    codes = np.fromfile(path, np.uint8, n * bits // 8)
    return codes.reshape(n, -1), np.fromfile(asked, np.uint8).reshape(QUERIES, -1)


def _queries(source: Source) -> NDArray[np.uint8]:
    return source.draw(np.random.default_rng([2]), QUERIES, True)


def _pieces(source: Source, first: int, end: int) -> Iterator[NDArray[np.uint8]]:
    """Pieces in their order, a few ahead on all cores."""

    def piece(number: int) -> NDArray[np.uint8]:
        return source.draw(np.random.default_rng([1, number]), PIECE, False)

    with ThreadPoolExecutor(cores()) as pool:
        numbers = iter(range(first, end))
        ahead = deque(pool.submit(piece, number) for number in islice(numbers, 2 * cores()))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(piece, number) for number in islice(numbers, 1))


def write(data: str, bits: int, n: int) -> None:
    """Make a set's file hold n codes at least; pieces that it has stay."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"mih-{data}-{bits}.u8"
    piece_bytes = PIECE * bits // 8
    with locked(path), path.open("ab") as file:
        source = SOURCES[data](bits)
        whole = file.tell() // piece_bytes
        file.truncate(whole * piece_bytes)
        for piece in _pieces(source, whole, -(-n // PIECE)):
            piece.tofile(file)
        _queries(source).tofile(path.with_suffix(".queries.u8"))


def distinct_share(codes: NDArray[np.uint8]) -> float:
    """Of codes, those that would stay if each were kept once."""
    words = to_words(codes)
    factors = np.random.default_rng(3).integers(0, 2**63, words.shape[1], np.uint64) * 2 + 1
    hashes = (words * factors).sum(axis=1) if words.shape[1] > 1 else words[:, 0].copy()
    hashes.sort()
    return float(1 + np.count_nonzero(hashes[1:] != hashes[:-1])) / len(codes)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
