"""Lines of Markdown tables of searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HEADS = {"data": "set", "n": "codes", "nq": "queries", "share": "allowed", "threads": "cores"}
"""Of what a task varies; others are called as they are."""


def line(values: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(values) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A whole table."""
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])


def head_of(name: str) -> str:
    """What heads the column of a name."""
    return HEADS.get(name, name)


def varied(names: Sequence[str], tasks: Sequence[Any]) -> list[str]:
    """Those of the names by which tasks differ."""
    return [name for name in names if len({getattr(task, name) for task in tasks}) > 1]


def values(task: Any, names: Sequence[str]) -> Iterator[str]:
    """What a task says to each of the names."""
    for name in names:
        value = getattr(task, name)
        if name == "share":
            yield f"{value:.1%}"
        elif value is None:
            yield "-"
        else:
            yield value if isinstance(value, str) else f"{value:,}"


def ms(value: float) -> str:
    """Milliseconds with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def beside(own: float, other: float) -> str:
    """A peer's milliseconds, and how many times ours they are."""
    return f"{ms(other)} ({other / own:.1f}x)"


def machine_of(content: Mapping[str, Any]) -> str:
    """The machine, versions, commit and date of a file of cells."""
    machine = content["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {versions}; commit {machine['commit']}, "
        f"{machine['date']}"
    )


def image(title: str, path: Path) -> str:
    """A plot beside the page of its figures."""
    return f"![{title}]({path.name})"
