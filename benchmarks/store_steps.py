"""What the store's benchmark times, step by step; each step runs in a process of its own."""

from __future__ import annotations

import os
import shutil
import statistics
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.child import Figures, peak
from benchmarks.limits import seconds
from benchmarks.store_peers import CONTENDERS, Add, Table, bytes_of, forget, staged
from benchmarks.store_rows import NBYTES, batches, ids_of, same_rows
from ssah_index.store import SegmentEntry, Store

SMALL_ROWS = 100
"""Of a small commit."""
FEW = 10
"""Commits to a table before the next one is begun."""
ASKED = (10, 100, 1000)
"""Rows of a look-up."""
DRAWS = 5
"""Look-ups of a size, each of other rows."""
COLD_DRAWS = 3
ENOUGH_S = 10.0
"""Of warm look-ups of a size, after which no further rows are drawn."""
MORE = 20
"""Commits to a grown table."""
MOST_GROWN = 1000
"""Commits of a table that gets more: to one of ten times as many they take seconds each."""


def generated(rows: int) -> Figures:
    """Seconds of making all rows and leaving them; in every contender's time, too."""
    return {"s": round(seconds(lambda: _drain(batches(rows)))[0], 2)}


def _drain(items: Iterable[Any]) -> None:
    for _ in items:
        pass


def flushed(folder: Path) -> Figures:
    """Milliseconds of writing and flushing a new file of 4 KiB: what the disk allows."""
    folder.mkdir(parents=True)
    numbers = iter(range(1000))

    def flush() -> None:
        with (folder / f"{next(numbers)}").open("xb", buffering=0) as file:
            file.write(bytes(4096))
            os.fsync(file.fileno())

    return _percentiles(seconds(flush, 100))


def read_cold(folder: Path) -> Figures:
    """Milliseconds of reading 4 KiB that are not in memory, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    path, pages = folder / "pages", 1 << 16
    with path.open("xb") as file:
        for _ in range(pages >> 8):
            file.write(os.urandom(1 << 20))
    forget(folder)
    numbers = iter(np.random.default_rng(0).choice(pages, 200, replace=False).tolist())
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    times = seconds(lambda: os.pread(descriptor, 4096, 4096 * next(numbers)), 200)
    os.close(descriptor)
    return _percentiles(times)


def written(name: str, folder: Path, rows: int, way: str = "write") -> Figures:
    """Write the whole table; ``way`` names the contender's method for it."""
    figures: Figures = {}
    with peak(figures):
        taken = seconds(lambda: getattr(CONTENDERS[name], way)(folder, batches(rows)))[0]
    bytes_a_row = round(bytes_of(folder) / rows, 1)
    return {"s": round(taken, 2), "bytes_a_row": bytes_a_row, **figures}


def indexed(name: str, folder: Path, rows: int) -> Figures:
    """Make the index of ids, where it is made apart."""
    figures: Figures = {}
    with peak(figures):
        taken = seconds(lambda: CONTENDERS[name].index(folder))[0]
    bytes_a_row = round(bytes_of(folder) / rows, 1)
    return {"s": round(taken, 2), "bytes_a_row": bytes_a_row, **figures}


def committed(name: str, folder: Path, count: int) -> Figures:
    """Small commits to tables of few: a new table after every ten."""
    times: list[float] = []
    for first in range(0, count, FEW):
        table = folder / f"{first}"
        CONTENDERS[name].create(table)
        times += _append(CONTENDERS[name].adder(table), range(first, first + FEW))
        _check(CONTENDERS[name].open(table), FEW * SMALL_ROWS)
    return _percentiles(times)


def _append(add: Add, numbers: Iterable[int]) -> list[float]:
    """Seconds of small commits, by their numbers."""
    times = []
    for number in numbers:
        (batch,) = batches(SMALL_ROWS, SMALL_ROWS, number * SMALL_ROWS)
        times += seconds(lambda batch=batch: add(batch))  # type: ignore[misc]
    return times


def _percentiles(times: Sequence[float]) -> Figures:
    p50, p99 = np.percentile(1e3 * np.array(times), [50, 99])
    return {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2), "count": len(times)}


def _check(table: Table, rows: int) -> None:
    if len(table) != rows:
        raise RuntimeError(f"{len(table)} rows are there of {rows}")


def parts(folder: Path, count: int) -> Figures:
    """Our small commits in two: a segment staged, and its manifest published."""
    staging: list[float] = []
    publishing: list[float] = []
    for first in range(0, count, FEW):
        store = Store.create(folder / f"{first}", bits=8 * NBYTES, ids="int64")
        for batch in batches(FEW * SMALL_ROWS, SMALL_ROWS, first * SMALL_ROWS):
            entries: list[SegmentEntry] = []
            staging += seconds(lambda: entries.append(staged(store, [batch])))  # noqa: B023
            publishing += seconds(lambda: store.commit(entries))  # noqa: B023
    return {"stage": _percentiles(staging), "publish": _percentiles(publishing)}


def grown(name: str, folder: Path, count: int) -> Figures:
    """Time to open a table of so many small commits, and of commits more.

    Ours of more than ten are one segment linked so often: flushing each would take minutes.
    """
    contender = CONTENDERS[name]
    if name == "ours" and count > FEW:
        _link(folder, count)
    else:
        contender.create(folder)
        _append(contender.adder(folder), range(count))
    _check(contender.open(folder), count * SMALL_ROWS)
    opening = seconds(lambda: len(contender.open(folder)), 9)
    figures: Figures = {"open_ms": _percentiles(opening)["p50_ms"]}
    if count <= MOST_GROWN:
        more = _append(contender.adder(folder), range(count, count + MORE))
        figures["commit"] = _percentiles(more)
    return figures


def _link(folder: Path, count: int) -> None:
    """Make a store of one segment under many names."""
    store = Store.create(folder, bits=8 * NBYTES, ids="int64")
    entry = staged(store, list(batches(SMALL_ROWS)))
    segments = store.path / "segments"
    entries = [
        replace(entry, name=f"part-{number}", folder=f"part-{number}.{uuid.uuid4().hex[:8]}")
        for number in range(count)
    ]
    for made in entries:
        shutil.copytree(segments / entry.folder, segments / made.folder, copy_function=os.link)
    store.change(lambda current: current.following("append", segments=tuple(entries)))
    store.discard(entry)


def looked_up(name: str, folder: Path, rows: int) -> Figures:
    """Warm look-ups: rows that were fetched just before are fetched again, by all sizes."""
    figures: Figures = {}
    with peak(figures):
        table = CONTENDERS[name].open(folder)
        for way in ("take", "find"):
            with suppress(NotImplementedError):
                figures[way] = {
                    str(count): _warm_ms(table, way, [_drawn(rows, count, d) for d in range(DRAWS)])
                    for count in ASKED
                }
    return figures


def _warm_ms(table: Table, way: str, draws: Sequence[NDArray[np.int64]]) -> float:
    times = []
    for numbers in draws:
        _look_up(table, way, numbers)
        times.append(_look_up(table, way, numbers))
        if sum(times) > ENOUGH_S:
            break
    return round(1e3 * statistics.median(times), 3)


def looked_up_cold(
    name: str, folder: Path, small: Path, rows: int, way: str, count: int, draw: int
) -> Figures:
    """One look-up when nothing of the table is in memory; a small one has loaded the code."""
    contender = CONTENDERS[name]
    _look_up(contender.open(small), way, _drawn(FEW * SMALL_ROWS, SMALL_ROWS, draw))
    forget(folder)
    opened = seconds(lambda: len(contender.open(folder)))[0]
    forget(folder)
    table = contender.open(folder)
    taken = _look_up(table, way, _drawn(rows, count, DRAWS + draw))
    return {"ms": round(1e3 * taken, 3), "open_ms": round(1e3 * opened, 3)}


def _drawn(rows: int, count: int, draw: int) -> NDArray[np.int64]:
    """Numbers of rows, none twice."""
    random = np.random.default_rng([count, draw])
    return random.choice(rows, min(count, rows), replace=False)


def _look_up(table: Table, way: str, numbers: NDArray[np.int64]) -> float:
    """Seconds of one look-up, whose answer is then compared with what was written."""
    asked = numbers if way == "take" else ids_of(numbers)
    begun = time.perf_counter()
    found = getattr(table, way)(asked)
    taken = time.perf_counter() - begun
    if not same_rows(found, numbers):
        raise RuntimeError(f"{way} of {len(numbers)} rows found others")
    return taken
