"""The store against Lance and Delta, the same work in one run: ``python -m benchmarks.store``.

Each step of each contender is a process of its own, on the same cores. A step that takes more
than 10 minutes is left out, and the table says so. All rows that look-ups fetch are compared
with the generator's. The figures are in results/store.json, written anew after each contender.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.child import Figures, in_child
from benchmarks.machine import RESULTS, describe
from benchmarks.store_peers import CONTENDERS
from benchmarks.store_steps import (
    ASKED,
    COLD_DRAWS,
    committed,
    flushed,
    generated,
    grown,
    indexed,
    looked_up,
    looked_up_cold,
    parts,
    read_cold,
    written,
)

FILE = RESULTS / "store.json"
FOLDER = Path(os.environ.get("SSAH_BENCH", "bench-data"))
"""Where tables are made and removed again; 10^8 rows take 10 GB."""
MEMORY = Path("/dev/shm")  # noqa: S108
"""A file system without a disk: commits there show what the code costs without flushes."""
SLOW_MS = 10_000
"""A cold look-up that takes so long is not tried again with other rows."""
MOST_PARTS = 50
"""Commits to time in two parts."""
OPENED = {"ours": (10, 1000, 10_000)}
"""Commits of the tables that are opened."""


class Bench:
    """Runs the steps of contenders in a folder of its own.

    Parameters
    ----------
    folder : Path
        Where tables are made.
    rows : int
        Of the large table.
    commits : int
        Small ones to time.
    cores : int
        That each process may use.
    """

    def __init__(self, folder: Path, rows: int, commits: int, cores: int) -> None:
        self._folder = folder / f"store-{os.getpid()}"
        self._memory = MEMORY / f"ssah-store-{os.getpid()}"
        self._rows = rows
        self._commits = commits
        self._cores = cores

    def conditions(self) -> Figures:
        """What the machine and the generator cost by themselves."""
        with _removed(self._folder):
            return {
                "generator": self._step(generated, self._rows),
                "flush": self._step(flushed, self._folder),
                "read": self._step(read_cold, self._folder),
            }

    def run(self, name: str) -> Figures:
        """All figures of a contender."""
        contender = CONTENDERS[name]
        facts = {"durable": contender.durable, "unique": contender.unique}
        with _removed(self._folder), _removed(self._memory):
            return {**facts, **self._small(name), **self._large(name)}

    def _small(self, name: str) -> Figures:
        figures: Figures = {"opened": {}}
        figures["commit"] = self._step(committed, name, self._folder / "few", self._commits)
        if MEMORY.is_dir():
            figures["commit_in_memory"] = self._step(committed, name, self._memory, self._commits)
        if name == "ours":
            figures["parts"] = self._step(
                parts, self._folder / "parts", min(self._commits, MOST_PARTS)
            )
        for count in OPENED.get(name, (10, 1000)):
            figures["opened"][str(count)] = self._step(
                grown, name, self._folder / f"grown-{count}", count
            )
        return figures

    def _large(self, name: str) -> Figures:
        table = self._folder / "table"
        figures: Figures = {}
        if name == "ours":
            figures["staged"] = self._step(written, name, table, self._rows, "stage")
            shutil.rmtree(table, ignore_errors=True)
        figures["append"] = self._step(written, name, table, self._rows)
        if "left_out" in figures["append"]:
            return figures
        figures["index"] = self._step(indexed, name, table, self._rows)
        figures["warm"] = self._step(looked_up, name, table, self._rows)
        figures["cold"] = {way: self._cold(name, table, way) for way in ("take", "find")}
        return figures

    def _cold(self, name: str, table: Path, way: str) -> Figures:
        """Medians of several look-ups of each size, each in a process of its own."""
        small = self._folder / "few" / "0"
        figures: Figures = {}
        for count in ASKED:
            tries: list[Figures] = []
            for draw in range(COLD_DRAWS):
                about = self._rows, way, count, draw
                tries.append(self._step(looked_up_cold, name, table, small, *about))
                if tries[-1].get("ms", SLOW_MS) >= SLOW_MS:
                    break
            figures[str(count)] = tries[-1] if "left_out" in tries[-1] else _middle(tries)
        return figures

    def _step(self, work: Any, *arguments: Any) -> Figures:
        begun = time.perf_counter()
        figures = in_child(work, self._cores, *arguments)
        print(
            f"{time.perf_counter() - begun:.1f} s",
            work.__name__,
            *arguments,
            json.dumps(figures),
            flush=True,
        )
        return figures


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """Remove what is made in a folder."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _middle(tries: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return {name: statistics.median(one[name] for one in tries) for name in tries[0]}


def keep(figures: Mapping[str, Any], file: Path) -> None:
    """Put figures into a file, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    temporary.replace(file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the contenders asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--file", type=Path, default=FILE, help="where the figures go")
    chosen = parser.parse_args(arguments)
    packages = {name for peer in chosen.contenders for name in CONTENDERS[peer].packages}
    bench = Bench(chosen.folder, chosen.rows, chosen.commits, chosen.cores)
    figures: Figures = {
        "machine": describe("numpy", *sorted(packages)),
        "rows": chosen.rows,
        "cores": chosen.cores,
        "conditions": bench.conditions(),
        "contenders": {},
    }
    for name in chosen.contenders:
        figures["contenders"][name] = bench.run(name)
        keep(figures, chosen.file)


if __name__ == "__main__":
    main()
