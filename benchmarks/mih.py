"""Multi-index hashing against peers, query by query: ``python -m benchmarks.search mih``.

Each contender is built of the very same codes on all cores, one after the other, and then gets one
query a call on one core, and a batch. Recall is taken from the answers that are timed: by distance
(within that of the last hit of the exact answer, ties counted) and by row; an exact contender that
answers anything else than the scan ends the run. Cells are kept in results/search-mih.json, one for
each task and contender, with a point for each setting; they are measured anew whenever asked for.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import mih_norouzi as norouzi
from benchmarks.cells import keep
from benchmarks.limits import bytes_per_s, words_per_s
from benchmarks.machine import RESULTS, describe, head
from benchmarks.mih_codes import codes_of, distinct_share
from benchmarks.mih_contenders import CONTENDERS, Ask, Codes, Contender, Options, hits_of
from benchmarks.search import peers
from ssah_index.codes import to_words
from ssah_index.index.flat import FlatIndex
from ssah_index.kernels import cores
from ssah_index.types import Hits, SearchSpec

FILE = RESULTS / "search-mih.json"
KEY = ("data", "n", "bits", "k", "radius", "threads", "contender")
WARM, MOST, LEAST = 32, 1000, 10
"""Queries that warm up at most; those that are timed at most and at least."""
ENOUGH = 200
"""Queries that must fit the budget of a setting, or the next is not tried."""
RADIUS_QUERIES = 200
"""Queries at most within a radius: some find a good part of all codes."""
WARM_CODES = 5000
"""Of an index that is built first, so that compiling and loading are not timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One search to time."""

    data: str
    """What the codes come from; see mih_codes."""
    n: int = 10**6
    """Codes."""
    bits: int = 64
    """Code width."""
    k: int | None = 10
    """Hits a query, or None."""
    radius: int | None = None
    """Greatest distance, or None."""
    threads: int = 1
    """Cores."""

    @property
    def ask(self) -> Ask:
        """What each query asks."""
        return Ask(k=self.k, radius=self.radius, threads=self.threads)


NAMES = (*CONTENDERS, norouzi.NAME)
LEARNED = ("mirflickr", "icons")
MADE = ("uniform", "clustered")
GROUPS: dict[str, list[Task]] = {
    "size": [
        *(Task(data=data) for data in (*MADE, *LEARNED)),
        *(Task(data=data, n=n) for n in (10**7, 10**8) for data in MADE),
    ],
    "hits": [
        Task(data=data, n=n, k=k)
        for data, n in (("clustered", 10**7), ("mirflickr", 10**6))
        for k in (1, 10, 100, 1000)
    ],
    "width": [
        *(Task(data=data, bits=bits) for bits in (32, 64, 128, 256) for data in MADE),
        Task(data="mirflickr", bits=32),
    ],
    "wide": [Task(data=data, n=10**7, bits=bits) for bits in (32, 128, 256) for data in MADE],
    "radius": [
        Task(data=data, n=10**7, k=None, radius=radius) for data in MADE for radius in range(11)
    ],
    "learned": [Task(data="mirflickr", n=10**7)],
}
"""Tasks by what they vary."""
ALONE = ("wide",)
"""Groups without peers."""
BY_REQUEST = ("learned",)
"""Groups that are run only where they are named: encoding takes minutes."""


def select(groups: Sequence[str], contenders: Sequence[str]) -> dict[Task, list[str]]:
    """Tasks of groups with their contenders; those over the same codes side by side."""
    chosen: dict[Task, list[str]] = {}
    for group in groups:
        own = NAMES[:2] if group in ALONE else NAMES
        for task in GROUPS[group]:
            wanted = [*chosen.get(task, ()), *own]
            chosen[task] = [name for name in NAMES if name in wanted and name in contenders]
    return dict(sorted(chosen.items(), key=lambda pair: _set_of(pair[0])))


def _set_of(task: Task) -> tuple[int, str, int]:
    return task.n, task.data, task.bits


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked of a set, and the exact answers."""

    warm: Codes
    """Not timed."""
    timed: Codes
    truth: Hits
    """Of the timed ones, by scanning."""


class Bench:
    """Runs the tasks over one set of codes and keeps their cells."""

    def __init__(self, tasks: dict[Task, list[str]], budget_s: float, file: Path = FILE) -> None:
        first = next(iter(tasks))
        self._tasks, self._budget_s, self._file = tasks, budget_s, file
        self._codes, queries = codes_of(first.data, first.bits, first.n)
        self._facts = facts_of(self._codes)
        self._scan = FlatIndex.of(self._codes)
        self._queries = {task: self._ask(task, queries) for task in tasks}

    def _ask(self, task: Task, queries: Codes) -> Queries:
        timed = queries[WARM:][: MOST if task.radius is None else RADIUS_QUERIES]
        spec = SearchSpec(k=task.k, radius=task.radius, threads=cores())
        return Queries(queries[:WARM], timed, self._scan.search(to_words(timed), spec))

    def run(self) -> None:
        """Time each contender at all tasks before the next is built."""
        for name in CONTENDERS:
            tasks = [task for task, wanted in self._tasks.items() if name in wanted]
            for task, figures in self._cells(CONTENDERS[name], tasks):
                self._keep(task, name, figures)
        for task, wanted in self._tasks.items():
            if norouzi.NAME in wanted:
                self._keep(task, norouzi.NAME, self._norouzi(task))

    def _keep(self, task: Task, name: str, figures: dict[str, Any]) -> None:
        cell = {**asdict(task), "contender": name, "commit": head(), **self._facts, **figures}
        machine = describe("numpy", "numba", *peers("faiss"))
        keep(self._file, cell, KEY, machine=machine, budget_s=self._budget_s)
        print(json.dumps(cell), flush=True)

    def _norouzi(self, task: Task) -> dict[str, Any]:
        """It is not called but run, with all queries and one number of tables after another."""
        if norouzi.BINARY is None:
            return {"left_out": "is not built here ($SSAH_NOROUZI)"}
        if task.k is None or task.n > 10**7:
            return {"left_out": "finds no radius, and takes long of more than 10^7 codes"}
        asked = self._queries[task]
        cell: dict[str, Any] = {"builds": [], "points": []}
        binary = norouzi.BINARY
        for m in norouzi.tables(task.n, task.bits):
            built, point, hits = norouzi.run(binary, self._codes, asked.timed, task.k, m)
            check(hits, asked.truth, False)
            cell["builds"].append(built)
            cell["points"].append({**point, **recalls(hits, asked.truth, task.ask)})
        return cell

    def _cells(
        self, contender: Contender, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, dict[str, Any]]]:
        fitting: dict[Task, dict[str, Any]] = {}
        for task in tasks:
            if reason := contender.unfit(task.n, task.bits, task.ask):
                yield task, {"left_out": reason}
            else:
                fitting[task] = {"builds": [], "points": []}
        if not fitting:
            return
        try:
            for shape in contender.shapes(len(self._codes), 8 * self._codes.shape[1]):
                index, built = build(contender, self._codes, shape)
                for task, cell in fitting.items():
                    cell["builds"].append(built)
                    cell["points"] += self._points(contender, index, shape, task)
                del index
        except ImportError as error:
            fitting = {task: {"left_out": f"{error.name} is not installed"} for task in fitting}
        yield from fitting.items()

    def _points(
        self, contender: Contender, index: Any, shape: Options, task: Task
    ) -> Iterator[dict[str, Any]]:
        """One for each setting, until all is found or too few queries fit the budget."""
        asked = self._queries[task]
        for setting in contender.settings(shape, task.ask):
            search = contender.asker(index, setting, task.ask)
            point, hits = measure(search, contender.queries, asked, self._budget_s)
            recall = recalls(hits, asked.truth, task.ask)
            if contender.exact or task.radius is not None:
                check(hits, asked.truth, contender.ordered)
            yield {**shape, **setting, **point, **recall}
            if recall["recall"] == 1 or point["queries"] < min(ENOUGH, len(asked.timed)):
                return


def facts_of(codes: Codes) -> dict[str, float]:
    """Share of distinct codes, and what a scan for one query on one core needs at least."""
    words = to_words(codes)
    reading_s = words.nbytes / bytes_per_s(words, 1)
    limit_ms = 1e3 * max(reading_s, words.size / words_per_s(1))
    return {"distinct": round(distinct_share(codes), 4), "limit_ms": round(limit_ms, 4)}


def build(contender: Contender, codes: Codes, shape: Options) -> tuple[Any, dict[str, Any]]:
    """An index in a shape, with seconds and how much memory a code it took."""
    contender.build(codes[:WARM_CODES], contender.shapes(WARM_CODES, 8 * codes.shape[1])[0])
    ctypes.CDLL(None).malloc_trim(0)  # or an index would lie in what others have left
    before, begun = _resident(), time.perf_counter()
    index = contender.build(codes, shape)
    taken = time.perf_counter() - begun
    nbytes = max(_resident() - before, 0) / len(codes)
    built = {**shape, "build_s": round(taken, 2), "bytes_a_code": round(nbytes, 1)}
    return index, {**built, **contender.facts(index)}


def _resident() -> int:
    """Bytes of this process's own memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure(
    search: Callable[[Any], Any],
    prepare: Callable[[Codes], Any],
    asked: Queries,
    budget_s: float,
) -> tuple[dict[str, Any], Hits]:
    """Milliseconds of single queries and of a query of a batch, and the single ones' answers."""
    end = time.perf_counter() + budget_s / 4
    for query in asked.warm:
        search(prepare(query[None]))
        if time.perf_counter() > end:
            break
    singles = [prepare(query[None]) for query in asked.timed]
    times: list[float] = []
    answers: list[Any] = []
    end = time.perf_counter() + budget_s
    for single in singles:
        begun = time.perf_counter()
        answers.append(search(single))
        times.append(time.perf_counter() - begun)
        if begun > end and len(times) >= LEAST:
            break
    mean_s = float(np.mean(times))
    batch = prepare(asked.timed[: max(int(budget_s / 2 / mean_s), 1)])
    begun = time.perf_counter()
    search(batch)
    batch_s = time.perf_counter() - begun
    median, p99 = np.percentile(times, (50, 99))
    figures = {"ms": median, "p99_ms": p99, "mean_ms": mean_s, "batch_ms": batch_s / len(batch)}
    point: dict[str, Any] = {name: round(1e3 * value, 5) for name, value in figures.items()}
    return {**point, "queries": len(times), "batch": len(batch)}, joined(map(hits_of, answers))


def joined(parts: Iterator[Hits]) -> Hits:
    """The answers of consecutive queries as one."""
    every = list(parts)
    sizes = np.concatenate([np.diff(part.lims) for part in every])
    lims = np.concatenate([[0], sizes.cumsum()]).astype(np.int64)
    distances = np.concatenate([part.distances for part in every])
    return Hits(distances, np.concatenate([part.rows for part in every]), lims)


def recalls(hits: Hits, truth: Hits, ask: Ask) -> dict[str, float]:
    """Mean shares of what should be found; ``recall`` by distance and ``recall_rows`` by row.

    Of queries with nothing to find, the share is 1. The truth may have more queries.
    """
    near, same = [], []
    for query in range(len(hits.lims) - 1):
        here = slice(*hits.lims[query : query + 2])
        there = slice(*truth.lims[query : query + 2])
        wanted = there.stop - there.start
        if not wanted:
            near.append(1.0)
            same.append(1.0)
            continue
        last = truth.distances[there][-1] if ask.radius is None else ask.radius
        near.append(min(np.count_nonzero(hits.distances[here] <= last) / wanted, 1.0))
        same.append(len(np.intersect1d(hits.rows[here], truth.rows[there])) / wanted)
    return {"recall": round(_mean(near), 6), "recall_rows": round(_mean(same), 6)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def check(hits: Hits, truth: Hits, ordered: bool) -> None:
    """Compare an exact contender's answers with the scan's.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    end = hits.lims[-1]
    same: list[NDArray[Any] | bool] = [
        np.array_equal(hits.lims, truth.lims[: len(hits.lims)]),
        np.array_equal(hits.distances, truth.distances[:end]),
        not ordered or np.array_equal(hits.rows, truth.rows[:end]),
    ]
    if not all(same):
        raise RuntimeError("an exact contender does not answer as the scan does")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    default = [group for group in GROUPS if group not in BY_REQUEST]
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=default)
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds a setting may take")
    parser.add_argument("--most", type=int, default=10**8, help="codes of the largest sets")


def run(chosen: argparse.Namespace) -> None:
    """Run the groups asked for, set after set."""
    tasks = select(chosen.groups, chosen.contenders)
    fitting = [task for task in tasks if task.n <= chosen.most]
    for _, some in groupby(fitting, _set_of):
        Bench({task: tasks[task] for task in some}, chosen.budget).run()
