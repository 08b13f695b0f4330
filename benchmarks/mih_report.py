"""The tables and the plot of multi-index hashing's cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.machine import PAGES
from benchmarks.mih import FILE, GROUPS, KEY, MADE, Task
from benchmarks.mih_contenders import CONTENDERS
from benchmarks.mih_norouzi import NAME as NOROUZI
from benchmarks.search import OWN
from benchmarks.tables import beside, head_of, image, machine_of, ms, table, values, varied

Cell: TypeAlias = Mapping[str, Any]
Point: TypeAlias = Mapping[str, Any]
PLOT = PAGES / f"{FILE.stem}.png"
PLOTTED_N = 10**7
NAMES = ("data", "n", "bits", "k", "radius")
RECALLS = (0.9, 0.99, 1.0)
EXACT = [name for name, contender in CONTENDERS.items() if contender.exact]
SWEPT = [name for name in CONTENDERS if name not in EXACT]
BUILT = (OWN, *SWEPT, NOROUZI)
TABLES = {
    "Number of codes; 64 bits, k = 10": ("size", "learned"),
    "Hits wanted; 64 bits": ("hits",),
    "Code widths; k = 10": ("width", "wide"),
    "All within a radius; 64 bits": ("radius",),
}
"""Groups of a table, by what is said of it."""


class Cells:
    """Cells by task and contender."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._found = {tuple(cell[name] for name in KEY): cell for cell in content["cells"]}

    def of(self, task: Task, contender: str) -> Cell:
        """A contender's cell; empty if it has none or was left out."""
        facts = [getattr(task, name) for name in KEY if name != "contender"]
        cell = self._found.get((*facts, contender), {})
        return cell if "points" in cell else {}

    def exact(self, task: Task, contender: str) -> Point:
        """The fastest point at which all was found."""
        return fastest(self.of(task, contender), 1.0)

    def own(self, groups: Iterable[str]) -> list[Task]:
        """Tasks of groups that ours was timed at, each once."""
        tasks = dict.fromkeys(task for group in groups for task in GROUPS[group])
        return [task for task in tasks if self.of(task, OWN)]


def fastest(cell: Cell, recall: float) -> Point:
    """The fastest point that finds so much; empty if there is none."""
    reached = [point for point in cell.get("points", ()) if point["recall"] >= recall]
    return min(reached, key=lambda point: point["ms"], default={})


def mih(content: Mapping[str, Any]) -> str:
    """All tables, from what the file of cells holds."""
    cells = Cells(content)
    text = (
        "Exact search by multi-index hashing, one query a call on one core, beside what Faiss has "
        "for binary codes, on the very same codes and machine: median milliseconds, and in "
        "brackets how many times ours a peer takes. Every answer of an exact contender was "
        "compared with the scan's. Recall is by distance: hits no farther than the last of the "
        "exact answer. A scan's limit is what this machine needs at that moment to read all codes "
        "once. Sets: uniform codes, the hardest; clustered ones, random hyperplanes over "
        "20,000 gaussian clusters of which the largest has a quarter of all; and codes of our own "
        "encoders of MIRFLICKR-25K's images and the icons' texts, each of a perturbed item. "
        "Queries come from the same source and are not in the set; those of encoders are perturbed "
        "held-out items. What norouzi/mih takes is the processor time that it tells itself, "
        "without a call. Contenders may be measured anew by themselves, as here at commits "
        f"{_commits(content)}. (`python -m benchmarks.search mih`; {machine_of(content)}.)"
    )
    tables = [_group(lead, groups, cells) for lead, groups in TABLES.items()]
    parts = [text, image("recall against time", PLOT), *tables, _builds(cells), _left_out(content)]
    return "\n\n".join(filter(None, parts))


def _commits(content: Mapping[str, Any]) -> str:
    """Which code each contender was measured with."""
    found: dict[str, list[str]] = {}
    for cell in content["cells"]:
        names = found.setdefault(cell["commit"], [])
        if "points" in cell and cell["contender"] not in names:
            names.append(cell["contender"])
    return "; ".join(f"{commit} ({', '.join(names)})" for commit, names in found.items() if names)


def _group(lead: str, groups: Sequence[str], cells: Cells) -> str:
    tasks = cells.own(groups)
    if not tasks:
        return ""
    within = tasks[0].radius is not None
    peers = [name for name in SWEPT if any(cells.of(task, name) for task in tasks)]
    names = varied(NAMES, tasks)
    exact = [*EXACT, NOROUZI] if any(cells.of(task, NOROUZI) for task in tasks) else EXACT
    parts = [
        f"{lead}. Exact contenders; batch: a query of up to 1,000 in one call:",
        _exact(tasks, names, [*exact, *peers] if within else exact, cells),
    ]
    if peers and not within:
        parts += [
            "The same beside what approximates: the fastest setting that reaches a recall (the "
            "setting in brackets), or the most that was reached before 200 queries took too long:",
            _swept(tasks, names, peers, cells),
        ]
    return "\n\n".join(parts)


def _exact(
    tasks: Sequence[Task], names: Sequence[str], contenders: Sequence[str], cells: Cells
) -> str:
    peers = [name for name in contenders if name != OWN]
    heads = [head_of(name) for name in names]
    heads += ["ours", "p99", "batch"]
    heads += [head for peer in peers for head in (peer, "p99", "batch")] + ["a scan's limit"]
    rows = []
    for task in tasks:
        own = cells.exact(task, OWN)
        row = [*values(task, names), ms(own["ms"]), ms(own["p99_ms"]), ms(own["batch_ms"])]
        for peer in peers:
            row += _times(own, cells.exact(task, peer))
        rows.append([*row, ms(cells.of(task, OWN)["limit_ms"])])
    return table(heads, rows)


def _times(own: Point, other: Point) -> list[str]:
    if not other:
        return ["-"] * 3
    batch = beside(own["batch_ms"], other["batch_ms"])
    return [beside(own["ms"], other["ms"]), ms(other["p99_ms"]), batch]


def _swept(tasks: Sequence[Task], names: Sequence[str], peers: Sequence[str], cells: Cells) -> str:
    heads = [head_of(name) for name in names] + ["ours"]
    heads += [f"{peer}, {recall:g}" for peer in peers for recall in RECALLS]
    tasks = [task for task in tasks if any(cells.of(task, peer) for peer in peers)]
    rows = []
    for task in tasks:
        own = cells.exact(task, OWN)
        reached = [_reached(own, cells.of(task, peer), r) for peer in peers for r in RECALLS]
        rows.append([*values(task, names), ms(own["ms"]), *reached])
    return table(heads, rows)


def _reached(own: Point, cell: Cell, recall: float) -> str:
    if not cell:
        return "-"
    point = fastest(cell, recall)
    if not point:
        most = max(point["recall"] for point in cell["points"])
        return f"at most {most:.3f}"
    return f"{beside(own['ms'], point['ms'])[:-1]}, {_setting(point)})"


def _setting(point: Point) -> str:
    """What a point was swept over, in short."""
    if "nflip" in point:
        return f"{point['nhash']} keys, {point['nflip']} flips"
    name = "nprobe" if "nprobe" in point else "efSearch"
    return f"{name} {point[name]}"


def _builds(cells: Cells) -> str:
    """What was built of each set."""
    tasks = {(task.n, task.data, task.bits): task for task in cells.own(GROUPS)}
    heads = ["set", "codes", "bits", "distinct", "tables of ours", *BUILT]
    rows = []
    for _, task in sorted(tasks.items()):
        own = cells.of(task, OWN)
        shape = own["builds"][0]
        form = f"{shape['m']} x {shape['b']} bits{', compact' * shape['compact']}"
        built = [_built(cells.of(task, name)) for name in BUILT]
        facts = list(values(task, ("data", "n", "bits")))
        rows.append([*facts, f"{own['distinct']:.1%}", form, *built])
    said = (
        "What was built, on all cores: bytes a code by which the process grew / seconds; of "
        "several shapes, each. Ours needs the codes beside, for when a scan is cheaper; peers "
        "have their own copy among these bytes:"
    )
    return f"{said}\n\n{table(heads, rows)}" if rows else ""


def _built(cell: Cell) -> str:
    return (
        "; ".join(
            f"{built['bytes_a_code']:.0f} / {built['build_s']:.3g}" for built in cell["builds"]
        )
        if cell
        else "-"
    )


def _left_out(content: Mapping[str, Any]) -> str:
    reasons = dict.fromkeys(
        f"{cell['contender']} {cell['left_out']}" for cell in content["cells"] if "left_out" in cell
    )
    return f"Left out (a dash): {'; '.join(reasons)}." if reasons else ""


def plot(content: Mapping[str, Any], path: Path = PLOT) -> None:
    """Draw recall against milliseconds a query; exact ones as points with a line across."""
    from matplotlib.figure import Figure

    cells = Cells(content)
    timed = [task for task in cells.own(["size"]) if task.data in MADE]
    n = PLOTTED_N if any(task.n == PLOTTED_N for task in timed) else 10**6
    figure = Figure(figsize=(10, 4), layout="constrained")
    many = figure.subplots(1, len(MADE), sharey=True, squeeze=False)[0]
    for axes, data in zip(many, MADE, strict=True):
        _draw(axes, Task(data=data, n=n), cells)
        axes.set(title=f"{data}, {n:,} codes of 64 bits, k = 10, one core")
    many[0].set_ylabel("recall by distance")
    many[0].legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw(axes: Any, task: Task, cells: Cells) -> None:
    for number, name in enumerate(CONTENDERS):
        points = cells.of(task, name).get("points", ())
        colour = f"C{number}"
        if name in EXACT:
            for point in points:
                axes.axvline(point["ms"], color=colour, linestyle="--", linewidth=1)
                axes.plot(point["ms"], 1.0, marker="D", color=colour, label=f"{name}, exact")
            continue
        best = _frontier(points)
        if not best:
            continue
        axes.plot(
            [point["ms"] for point in best],
            [point["recall"] for point in best],
            marker="o", markersize=3, color=colour, label=name,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="milliseconds a query, median")


def _frontier(points: Iterable[Point]) -> list[Point]:
    """Points than which no faster one finds as much, from fast to slow."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: point["ms"]):
        if not best or point["recall"] > best[-1]["recall"]:
            best.append(point)
    return best
