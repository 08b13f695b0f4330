"""Many Python threads searching at once: ``python -m benchmarks.threads --seconds 60``.

Checks every answer against that of one thread, and counts what a further thread that runs
Python code gets done meanwhile: alone, beside the searches, and beside as many busy processes
as there are cores, which is what the operating system leaves to anyone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import threading
import time
from collections.abc import Callable

import numpy as np

import ssah_index
from benchmarks.machine import describe
from ssah_index.kernels import cores
from ssah_index.types import Hits

SEARCHERS = 8


def count_until(over: Callable[[], bool]) -> float:
    """Steps of a plain loop a second."""
    begun, count = time.perf_counter(), 0
    while not over():
        for _ in range(1000):
            count += 1
    return count / (time.perf_counter() - begun)


def count_for(seconds: float) -> float:
    """The same for some time."""
    end = time.perf_counter() + seconds
    return count_until(lambda: time.perf_counter() > end)


def _spin() -> None:
    while True:
        pass


def beside_processes(seconds: float) -> float:
    """Steps a second beside a busy process a core."""
    busy = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(cores())]
    for process in busy:
        process.start()
    try:
        return count_for(seconds)
    finally:
        for process in busy:
            process.kill()


def beside_searches(seconds: float) -> dict[str, float | int]:
    """Steps a second beside eight searching threads, their searches, and wrong answers."""
    random = np.random.default_rng(1)
    codes = random.integers(0, 256, (10**7, 8), dtype=np.uint8)
    batches = [random.integers(0, 256, (nq, 8), dtype=np.uint8) for nq in (1, 16, 64)]
    where = random.random(len(codes)) < 0.5
    asks = [{"k": 10}, {"k": 100, "where_rows": where}, {"radius": 14}]

    def answers(threads: int) -> list[Hits]:
        return [
            ssah_index.search_codes(codes, queries, threads=threads, **ask)
            for queries in batches
            for ask in asks
        ]

    alone = answers(1)
    end = time.perf_counter() + seconds
    done, wrong = [0] * SEARCHERS, [0] * SEARCHERS

    def work(number: int) -> None:
        while time.perf_counter() < end:
            for found, expected in zip(answers(1 + number % 2), alone, strict=True):
                same = np.array_equal(found.rows, expected.rows)
                wrong[number] += not (same and np.array_equal(found.distances, expected.distances))
                done[number] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    rate = count_until(lambda: not any(thread.is_alive() for thread in threads))
    return {"beside_searches": rate, "searches": sum(done), "wrong": sum(wrong)}


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    figures = {
        "alone": count_for(seconds / 10),
        "beside_processes": beside_processes(seconds / 10),
        **beside_searches(seconds),
    }
    facts = {"seconds": seconds, "machine": describe("numpy", "numba")}
    print(json.dumps({**{name: round(value) for name, value in figures.items()}, **facts}))


if __name__ == "__main__":
    main()
