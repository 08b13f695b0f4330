"""Exact search against peers and the machine's limits: ``python -m benchmarks.search flat``.

``python -m benchmarks.search mih`` is that of the module `benchmarks.mih`.

One process, threads alike for all, several runs, median with least and most. Each cell says
what the machine could do at that moment: the bandwidth of reading these very codes, and the
rate of comparing words in cache. Cells are kept in results/search-flat.json one by one. A
contender is left out of a task that it would need more than --budget seconds for, going by its
last one, and the cell says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import ssah_index
from benchmarks.cells import keep
from benchmarks.contenders import CONTENDERS, Search
from benchmarks.limits import bytes_per_s, seconds, words_per_s
from benchmarks.machine import RESULTS, describe

OWN = "ssah-index"
PACKAGES = {"faiss": "faiss-cpu", "usearch": "usearch", "numkong": "numkong"}
"""Of peers, by module."""
KEY = ("task", "contender", "data", "n", "bits", "nq", "k", "threads", "share")
FILE = RESULTS / "search-flat.json"
FOLDER = Path(os.environ.get("SSAH_BENCH", "bench-data"))
"""Where files of codes are made: 8 GB of a billion, and those of `benchmarks.mih_codes`."""


LARGE_BYTES = 10**9
"""Of codes so large, each peer's own copy goes before the next is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One search to time."""

    task: str
    """What it shows."""
    data: str = "uniform"
    """uniform, or clustered: around centres, a few bits off."""
    n: int = 10**8
    """Codes."""
    bits: int = 64
    """Code width."""
    nq: int = 1
    """Queries."""
    k: int = 10
    """Hits a query."""
    threads: int = 1
    """Cores."""
    share: float = 1.0
    """Of rows that a filter allows."""


BATCHES = (1, 16, 256, 4096)
FEW_MANY = (1, 256)
GROUPS: dict[str, list[Task]] = {
    "size": [
        Task(task="size", n=n, nq=nq, threads=threads)
        for n in (10**6, 10**7, 10**8)
        for threads in (1, 2)
        for nq in BATCHES
    ],
    "hits": [Task(task="hits", nq=nq, k=k) for k in (1, 100, 1000) for nq in FEW_MANY],
    "width": [
        Task(task="width", n=n, bits=bits, nq=nq)
        for bits, n in ((128, 10**8), (256, 10**8), (512, 10**7))
        for nq in FEW_MANY
    ],
    "clustered": [Task(task="clustered", data="clustered", n=10**7, nq=nq) for nq in FEW_MANY],
    "masks": [
        Task(task="masks", nq=nq, share=share)
        for share in (0.001, 0.01, 0.1, 0.5)
        for nq in FEW_MANY
    ],
    "billion": [
        Task(task="billion", n=10**9, nq=nq, threads=threads)
        for threads in (1, 2)
        for nq in (1, 16)
    ],
}
"""Tasks by what they vary; those over the same codes lie side by side."""


def codes_of(task: Task) -> NDArray[np.uint8]:
    """The codes of a task; a billion lie in a file, and are mapped."""
    random = np.random.default_rng(1)
    words = task.bits // 64
    if task.n == 10**9:
        return _mapped(task.n).view(np.uint8).reshape(task.n, 8)
    if task.data == "uniform":
        array = random.integers(0, 2**64, (task.n, words), dtype=np.uint64)
        return array.view(np.uint8).reshape(task.n, task.bits // 8)
    centres = random.integers(0, 2**64, (task.n // 1000, words), dtype=np.uint64)
    noise = random.integers(0, 2**64, (3, task.n, words), dtype=np.uint64)
    near = centres[random.integers(0, len(centres), task.n)] ^ (noise[0] & noise[1] & noise[2])
    return near.view(np.uint8).reshape(task.n, task.bits // 8)


def _mapped(n: int) -> NDArray[np.uint64]:
    path = FOLDER / "billion.u64"
    if not path.exists() or path.stat().st_size != 8 * n:
        FOLDER.mkdir(parents=True, exist_ok=True)
        random, step = np.random.default_rng(1), n // 100
        with path.open("wb") as file:
            for _ in range(100):
                random.integers(0, 2**64, step, dtype=np.uint64).tofile(file)
    return np.memmap(path, np.uint64, "r")


def queries_of(task: Task, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of the set, each with about one bit in eight turned."""
    random = np.random.default_rng(2)
    picked = codes[random.integers(0, len(codes), task.nq)]
    noise = random.integers(0, 256, (3, *picked.shape), dtype=np.uint8)
    turned: NDArray[np.uint8] = picked ^ (noise[0] & noise[1] & noise[2])
    return turned


def measure(work: Callable[[], object], enough_s: float = 2.0) -> dict[str, Any]:
    """Milliseconds of several runs after a first that compiles and maps; two of what is slow."""
    first = seconds(work)
    slow = first[0] > 2 * enough_s
    runs = 1 if slow else min(max(3, int(enough_s / first[0])), 50)
    times = first * slow + seconds(work, runs)
    return {
        "ms": round(1e3 * statistics.median(times), 3),
        "least_ms": round(1e3 * min(times), 3),
        "most_ms": round(1e3 * max(times), 3),
        "runs": len(times),
    }


class Bench:
    """Runs tasks and keeps their cells; codes and contenders stay for tasks that share them."""

    def __init__(self, budget_s: float, contenders: list[str]) -> None:
        self._budget_s = budget_s
        self._contenders = contenders
        self._codes_for: tuple[Any, ...] = ()
        self._codes: NDArray[np.uint8] = np.empty((0, 8), np.uint8)
        self._made: dict[str, Search] = {}
        self._ms_a_pair: dict[tuple[str, int], float] = {}

    def run(self, task: Task) -> None:
        """Time all contenders at one task."""
        codes_for = task.data, task.n, task.bits
        if codes_for != self._codes_for:
            self._made.clear()
            self._codes = codes_of(task)
            self._codes_for = codes_for
        queries = queries_of(task, self._codes)
        limits = self._limits(task)
        own_alone = task.share < 1 or task.n == 10**9
        for name in [OWN] if own_alone else self._contenders:
            cell = {**asdict(task), "contender": name, **limits}
            cell |= self._time(task, name, queries)
            keep(FILE, cell, KEY, machine=describe("numpy", "numba", *peers(*PACKAGES)))
            print(json.dumps(cell), flush=True)
            if self._codes.nbytes > LARGE_BYTES:
                self._made.clear()

    def _limits(self, task: Task) -> dict[str, float]:
        words = self._codes.view(np.uint64)
        return {
            "read_gb_s": round(bytes_per_s(words, task.threads) / 1e9, 2),
            "compare_gwords_s": round(words_per_s(task.threads) / 1e9, 2),
        }

    def _time(self, task: Task, name: str, queries: NDArray[np.uint8]) -> dict[str, Any]:
        pairs = task.n * task.nq * task.bits // 64 // task.threads
        expected_s = pairs * self._ms_a_pair.get((name, task.bits), 0.0) / 1e3
        if expected_s > self._budget_s:
            return {"left_out": f"would take about {expected_s:.0f} s"}
        try:
            if name not in self._made:
                self._made[name] = CONTENDERS[name](self._codes)
            figures = measure(self._work(task, name, queries))
        except (NotImplementedError, ImportError, MemoryError) as error:
            return {"left_out": str(error)}
        if name != OWN:
            self._ms_a_pair[name, task.bits] = figures["ms"] / pairs
        return figures

    def _work(self, task: Task, name: str, queries: NDArray[np.uint8]) -> Callable[[], object]:
        if task.share == 1:
            return lambda: self._made[name](queries, task.k, task.threads)
        flags = np.random.default_rng(3).random(task.n, dtype=np.float32) < task.share
        where = pa.array(flags)
        return lambda: ssah_index.search_codes(
            self._codes, queries, k=task.k, threads=task.threads, where_rows=where
        )


def peers(*modules: str) -> list[str]:
    """The packages of those modules that are installed."""
    return [PACKAGES[module] for module in modules if importlib.util.find_spec(module)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--budget", type=float, default=15.0, help="seconds a search may take")
    parser.add_argument("--batches", nargs="+", type=int, choices=BATCHES, default=BATCHES)


def run(chosen: argparse.Namespace) -> None:
    """Run the groups asked for."""
    bench = Bench(chosen.budget, chosen.contenders)
    for group in chosen.groups:
        for task in GROUPS[group]:
            if task.nq in chosen.batches:
                bench.run(task)


def main() -> None:
    """Run one of the two benchmarks."""
    from benchmarks import mih  # it imports this module

    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="index", required=True)
    benchmarks = {"flat": (add_options, run), "mih": (mih.add_options, mih.run)}
    for name, (add, _) in benchmarks.items():
        add(kinds.add_parser(name))
    chosen = parser.parse_args()
    benchmarks[chosen.index][1](chosen)


if __name__ == "__main__":
    main()
