"""A billion codes on one machine: ``python -m benchmarks.billion`` (`make billion`).

Makes a store of 10^9 clustered codes of 64 bits, indexes it, and asks: the tables and the scan in
turn, on one core, with answers compared. Takes some 65 GB of disk; a store or index that is there,
whole or in part, is gone on with. Figures and log are in results/billion.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ssah_index
from benchmarks.child import Figures, in_child, own_peak
from benchmarks.clustered import clustered
from benchmarks.machine import RESULTS, describe
from benchmarks.search import FOLDER
from ssah_index.codes import to_words
from ssah_index.index import FlatIndex
from ssah_index.index.building import build_index
from ssah_index.index.stored import Stored, open_index
from ssah_index.store import Store
from ssah_index.types import Hits, Index, SearchSpec

FILE = RESULTS / "billion.json"
ROWS = 10**9
PART_ROWS = 1 << 24
BYTES_A_CODE = 24
"""The index may take so many."""
STEP_S = 3600.0
ASKED = 1000
"""Clustered queries for the tables."""
FAR = 60
"""Uniform ones, which lie far from all codes: most are answered by a scan."""
SCANNED = 12
"""The first of them are answered by a scan, too."""
KS = (1, 10, 100)


def made(path: Path, rows: int) -> Figures:
    """Append codes, under running numbers as ids; parts that are there are left as they are."""
    store = Store.open(path) if path.exists() else Store.create(path, bits=64, ids="int64")
    begun, before = time.perf_counter(), len(store.snapshot())
    generating = 0.0
    for first in range(0, rows, PART_ROWS):
        name, n = f"part-{first // PART_ROWS}", min(PART_ROWS, rows - first)
        if any(name in segment.names for segment in store.newest().segments):
            continue
        start = time.perf_counter()
        codes = clustered(first, n).view(np.uint8).reshape(n, 8)
        generating += time.perf_counter() - start
        store.append(codes, {"id": np.arange(first, first + n)}, name=name)
    snapshot = store.snapshot()
    return {
        "rows": len(snapshot),
        "appended": len(snapshot) - before,
        "append_s": round(time.perf_counter() - begun - generating, 1),
        "generate_s": round(generating, 1),
        "store_bytes": sum(sum(s.entry.sizes.values()) for s in snapshot.segments),
    }


def built(path: Path, rows: int) -> Figures:
    """Index the store, or find it indexed."""
    figures: Figures = {"log": []}
    begun, cpu = time.perf_counter(), time.process_time()

    def log(done: int, total: int, _: str) -> None:
        since = time.perf_counter() - begun
        figures["log"].append([round(since, 1), round(done / total, 4)])
        print(f"{since:.0f} s: {done / total:.0%}", flush=True)

    with own_peak(figures):
        report = build_index(
            Store.open(path), "image", kind="mih", budget_bytes=BYTES_A_CODE * rows,
            progress=log, tell=lambda line: print(line, flush=True),
        )  # fmt: skip
    shape = Store.open(path).snapshot().indexes[0].about.shape.body
    return {
        **figures,
        "built": len(report.built),
        "build_s": round(time.perf_counter() - begun, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "bytes_a_code": round(report.index_bytes / report.rows, 2),
        "projected_s": round(shape["build_s"], 1),
        "m": shape["m"],
        "b": shape["b"],
        "compact": shape["compact"],
    }


def asked(path: Path, rows: int) -> Figures:
    """Latencies of single queries, of tables and of the scan, and whether they agree."""
    searcher = ssah_index.open(path)
    begun = time.perf_counter()
    searcher.warm_up()
    figures: Figures = {"warm_up_s": round(time.perf_counter() - begun, 1), "asked": []}
    stored = open_index(searcher.snapshot, None)
    if not isinstance(stored, Stored):
        raise RuntimeError(f"{path} has no single index of all its rows")
    mih = stored.engine(patient=True)
    flat = FlatIndex.over(searcher.snapshot.select(None))
    kinds = {
        "clustered": clustered(rows, ASKED),
        "uniform": np.random.default_rng(5).integers(0, 2**64, (FAR, 1), np.uint64),
    }
    answers = {(kind, k): _ask(mih, kinds[kind], k) for kind in kinds for k in KS}
    with_ids = []
    for query in clustered(rows + ASKED, ASKED // 4):
        start = time.perf_counter()
        searcher.search(query.view(np.uint8), k=10, threads=1)
        with_ids.append(time.perf_counter() - start)
    figures["with_ids_ms"] = _spread(with_ids)
    _ask(flat, kinds["uniform"][:2], 1)  # its codes come from the disk
    for (kind, k), (found, times) in answers.items():
        expected, scanned = _ask(flat, kinds[kind][:SCANNED], k)
        figures["asked"].append(
            {
                "queries": kind,
                "k": k,
                "tables_ms": _spread(times),
                "scan_ms": _spread(scanned),
                "worst": round(max(times[:SCANNED]) / float(np.median(scanned)), 3),
                "equal": sum(_same(a, b) for a, b in zip(found, expected, strict=False)),
                "compared": SCANNED,
            }
        )
    return figures


def _ask(index: Index, queries: NDArray[np.uint64], k: int) -> tuple[list[Hits], list[float]]:
    """Hits and seconds of each query, on one core."""
    found, times = [], []
    for query in queries:
        words = to_words(query.view(np.uint8)[None])
        start = time.perf_counter()
        found.append(index.search(words, SearchSpec(k=k, threads=1)))
        times.append(time.perf_counter() - start)
    return found, times


def _same(one: Hits, other: Hits) -> bool:
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.distances, other.distances)


def _spread(times: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    values = 1e3 * np.array(times)
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "mean": round(float(values.mean()), 3),
        "most": round(float(values.max()), 3),
    }


def billion(figures: dict[str, Any]) -> str:
    """The table of the results page."""
    about, made_of, index = figures["machine"], figures["made"], figures["built"]
    found = figures["asked"]
    equal = sum(one["equal"] for one in found["asked"])
    compared = sum(one["compared"] for one in found["asked"])
    lines = [
        f"{made_of['rows']:,} clustered codes of 64 bits in one store (`make billion`; commit "
        f"{about['commit']}, {about['date']}, {about['cpu']}, {about['cores']} cores): an index of "
        f"{index['m']} tables with keys of {index['b']} bits, {index['bytes_a_code']} bytes a "
        f"code, built in {index['build_s']:,.0f} s with {index['own_peak_mb'] / 1e3:.1f} GB of "
        f"memory beside mapped files. Single queries on one core, index in memory, milliseconds; "
        f"{equal} of {compared} answers compared are the scan's, ties included. A search through "
        f"the store, which reads ids from the disk, takes {found['with_ids_ms']['p50']:.1f} "
        f"(p99 {found['with_ids_ms']['p99']:.0f}) for k = 10.",
        "",
        "| queries | k | tables p50 | p99 | mean | scan p50 | times as fast in the median |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found["asked"]:
        tables, scan = one["tables_ms"], one["scan_ms"]
        lines.append(
            f"| {one['queries']} | {one['k']} | {tables['p50']:.3g} | {tables['p99']:.3g} | "
            f"{tables['mean']:.3g} | {scan['p50']:,.0f} | {scan['p50'] / tables['p50']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Make, build, ask; a part that is not run keeps its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--file", type=Path, default=FILE, help="where the figures go")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path = chosen.folder / f"{chosen.rows}.ssah"
    cores = len(os.sched_getaffinity(0))
    figures = json.loads(chosen.file.read_text()) if chosen.file.exists() else {}
    for step, on in ((made, cores), (built, cores), (asked, 1)):
        new = in_child(step, on, path, chosen.rows, step_s=STEP_S)
        # What a run before this one has made is not made again, and its seconds hold.
        if new.get("appended", 1) and new.get("built", 1):
            figures[step.__name__] = new
        figures["machine"] = describe("numpy", "numba")
        chosen.file.write_text(json.dumps(figures, indent=1) + "\n")
        print(step.__name__, json.dumps(new), flush=True)


if __name__ == "__main__":
    main()
