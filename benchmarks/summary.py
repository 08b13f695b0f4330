"""The README's ten rows: ours beside the peer that a reader would otherwise take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.mih import Task as TableTask
from benchmarks.mih_report import Cells, fastest
from benchmarks.search import OWN
from benchmarks.tables import ms, table


class Row(NamedTuple):
    """One comparison."""

    task: str
    """What is asked, in words."""
    facts: Mapping[str, Any]
    """The task's fields."""
    peer: str
    """Contender to compare with, as its benchmark names it."""
    recall: float = 1.0
    """The least recall of the peer's setting; ours is exact."""


SCANS = [
    Row("scan 10^8 uniform codes of 64 bits, 1 query", {"nq": 1}, "faiss heap"),
    Row("the same, 256 queries at once", {"nq": 256}, "faiss heap"),
    Row("the same at 256 bits", {"nq": 256, "bits": 256}, "faiss heap"),
]
TABLES = [
    Row("search 10^7 clustered codes by tables", {"n": 10**7}, "norouzi/mih"),
    Row("search 10^8 clustered codes by tables", {"n": 10**8}, "faiss flat"),
    Row("the same", {"n": 10**8}, "faiss IVF", 0.99),
    Row("search 10^8 uniform codes by tables", {"n": 10**8, "data": "uniform"}, "faiss flat"),
    Row("all within 8 bits of 10^7 codes", {"n": 10**7, "k": None, "radius": 8}, "faiss flat"),
    Row("10^6 codes of a trained encoder", {"data": "mirflickr"}, "faiss IVF", 0.99),
    Row("10^6 clustered codes of 256 bits", {"bits": 256}, "faiss IVF", 0.99),
]


def summary(flat: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    """The table, from the kept cells of both benchmarks of search."""
    rows = [_row(row, *_scan(row, flat)) for row in SCANS]
    rows += [_row(row, *_search(row, tables)) for row in TABLES]
    machine = tables["machine"]
    commits = f"{flat['machine']['commit']} and {machine['commit']}"
    said = (
        f"Milliseconds on one core of an {machine['cpu']} (median; k = 10 where nothing else is "
        f"said; commits {commits}). Ours is exact always; a peer's recall is in brackets:"
    )
    return f"{said}\n\n{table(['task', 'ours', 'peer', 'takes', 'times ours'], rows)}"


def _row(row: Row, own: float, other: float) -> list[str]:
    peer = row.peer if row.recall == 1.0 else f"{row.peer} ({row.recall:g})"
    return [row.task, ms(own), peer, ms(other), f"{other / own:.1f}"]


def _scan(row: Row, content: Mapping[str, Any]) -> tuple[float, float]:
    wanted = {"data": "uniform", "n": 10**8, "bits": 64, "k": 10, "threads": 1, "share": 1.0}
    wanted |= row.facts
    found = {
        cell["contender"]: cell["ms"]
        for cell in content["cells"]
        if "ms" in cell and all(cell[name] == value for name, value in wanted.items())
    }
    return found[OWN], found[row.peer]


def _search(row: Row, content: Mapping[str, Any]) -> tuple[float, float]:
    cells, facts = Cells(content), {"data": "clustered", "n": 10**6, **row.facts}
    task = TableTask(**facts)
    return cells.exact(task, OWN)["ms"], fastest(cells.of(task, row.peer), row.recall)["ms"]
