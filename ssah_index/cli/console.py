"""Where everything is printed: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from ssah_index.types import Progress, no_progress

PLAIN_INTERVAL_S = 10.0


def say(message: str) -> None:
    """A message for a person."""
    click.echo(message, err=True)


def is_terminal() -> bool:
    """Whether data goes to a person rather than a pipe."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """One JSON document of data, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    """Data as JSONL, flushed, so that whoever waits for an answer gets it."""
    for record in records:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_values(values: Iterable[str]) -> None:
    """Data as bare values, one a line, flushed."""
    for value in values:
        sys.stdout.write(value + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Data as a table for a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in ("rank", "distance") else "left")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console().print(table)


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, a plain line every ten seconds elsewhere, or nothing."""
    if quiet:
        yield no_progress
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _plain()


def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(done: int, total: int, label: str) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label)
            bars.update(tasks[label], completed=done, total=total)

        yield show


def _plain() -> Progress:
    last: dict[str, float] = {}

    def show(done: int, total: int, label: str) -> None:
        now = time.monotonic()
        if done == total or now - last.setdefault(label, now) >= PLAIN_INTERVAL_S:
            last[label] = now
            say(f"{label}: {done:,} of {total:,}")

    return show
