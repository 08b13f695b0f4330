"""The table and the plot of exact search's cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.contenders import CONTENDERS
from benchmarks.machine import PAGES
from benchmarks.search import FILE, GROUPS, KEY, OWN, Task
from benchmarks.tables import beside, head_of, image, machine_of, ms, table, values, varied

Cell: TypeAlias = Mapping[str, Any]
PEERS = [name for name in CONTENDERS if name != OWN]
PLOT = PAGES / f"{FILE.stem}.png"
PLOTTED_N = 10**7
LEADS = {
    "size": "Codes, queries at once and cores; 64 uniform bits, k = 10",
    "hits": "Hits wanted; 10^8 codes of 64 bits, one core",
    "width": "Code widths, one core, k = 10. The limit of comparing takes one minimum a word, "
    "where wide codes need one a code: hence more than 100%",
    "clustered": "Clustered codes, one core, k = 10",
    "masks": "A filter that allows a share of the rows; 10^8 codes of 64 bits, one core, k = 10. "
    "The limit counts the allowed codes for many queries, all codes for one. No peer filters",
    "billion": "10^9 codes in a mapped file of 8 GB, k = 10",
}


def limit_ms(cell: Cell) -> float:
    """What the machine needs at least: to read every code, or to compare every pair."""
    codes = cell["n"] if cell["nq"] == 1 else cell["n"] * cell["share"]
    words = codes * cell["bits"] / 64
    reading = 8 * words / cell["read_gb_s"] / 1e6
    comparing = words * cell["nq"] / cell["compare_gwords_s"] / 1e6
    return float(max(reading, comparing))


def search(content: Mapping[str, Any]) -> str:
    """All tables, from what the file of cells holds."""
    text = (
        "Exact search, median milliseconds of several runs, and in brackets how many times as "
        "long a peer takes. The limit is what this machine needs at that moment to read the codes "
        "once or to compare all words in cache, whichever is longer, on the same number of "
        f"cores (`python -m benchmarks.search flat`; {machine_of(content)}). A dash: it would "
        "take more than 15 s, or cannot."
    )
    found = {tuple(cell[name] for name in KEY): cell for cell in content["cells"]}
    tables = [_table(group, found) for group in GROUPS]
    return "\n\n".join([text, image("throughput by batch", PLOT), *filter(None, tables)])


def _cell(found: Mapping[tuple[Any, ...], Cell], task: Task, contender: str) -> Cell:
    """The cell of a contender at a task; empty if there is none with a time."""
    facts = {name: getattr(task, name) for name in KEY if name != "contender"}
    cell = found.get(tuple({**facts, "contender": contender}[name] for name in KEY), {})
    return cell if "ms" in cell else {}


def _table(group: str, found: Mapping[tuple[Any, ...], Cell]) -> str:
    tasks = [task for task in GROUPS[group] if _cell(found, task, OWN)]
    if not tasks:
        return ""
    peers = [peer for peer in PEERS if any(_cell(found, task, peer) for task in tasks)]
    names = varied(("n", "bits", "nq", "k", "share", "threads"), tasks)
    head = [*(head_of(name) for name in names), "ours", "of the limit", *peers]
    rows = []
    for task in tasks:
        own = _cell(found, task, OWN)
        others = [_cell(found, task, peer) for peer in peers]
        times = [beside(own["ms"], other["ms"]) if other else "-" for other in others]
        share = f"{limit_ms(own) / own['ms']:.0%}"
        rows.append([*values(task, names), ms(own["ms"]), share, *times])
    return f"{LEADS[group]}:\n\n{table(head, rows)}"


def plot(content: Mapping[str, Any], path: Path = PLOT) -> None:
    """Draw comparisons a second by batch, one core, with the machine's limit above them."""
    from matplotlib.figure import Figure

    found = {tuple(cell[name] for name in KEY): cell for cell in content["cells"]}
    tasks = [t for t in GROUPS["size"] if t.n == PLOTTED_N and t.threads == 1]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in CONTENDERS:
        points = [(t.nq, _cell(found, t, name)) for t in tasks if _cell(found, t, name)]
        rates = [PLOTTED_N * nq / cell["ms"] / 1e6 for nq, cell in points]
        axes.plot([nq for nq, _ in points], rates, marker="o", label=name)
    own = [(t.nq, _cell(found, t, OWN)) for t in tasks if _cell(found, t, OWN)]
    limits = [PLOTTED_N * nq / limit_ms(cell) / 1e6 for nq, cell in own]
    axes.plot([nq for nq, _ in own], limits, "k--", label="limit of the machine")
    axes.set(xscale="log", yscale="log", xlabel="queries at once")
    axes.set(ylabel="10^9 comparisons a second", title="Exact search of 10^7 codes, one core")
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
