"""Where everything is printed: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:  # the types bring NumPy, which --help does without
    from ssah_index.types import Progress

PLAIN_INTERVAL_S = 10.0
WHOLE = ("source", "id", "value")
"""Columns whose cells a person copies: they are never cut or broken."""
FLUID_WIDTH = 30
"""Characters of a line for the other columns, where the terminal leaves none."""


def say(message: str) -> None:
    """A message for a person; work goes on if nobody listens."""
    click.echo(message, err=True)


def is_terminal() -> bool:
    """Whether data goes to a person rather than a pipe."""
    return sys.stdout.isatty()


def print_text(text: str) -> None:
    """Data, flushed, so that whoever waits for an answer gets it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """One JSON document of data, indented."""
    from ssah_index.cli.plain import to_json

    print_text(to_json(value, indent=2) + "\n")


def print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    """Data as JSONL; see `ssah_index.cli.plain`."""
    from ssah_index.cli.plain import to_json

    print_text("".join(to_json(record) + "\n" for record in records))


def print_values(values: Iterable[str], end: str = "\n") -> None:
    """Data as bare values, each with its end."""
    print_text("".join(value + end for value in values))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Collection[str] = ("rank", "distance"),
) -> None:
    """Data as a table for a terminal; the columns of numbers are named in ``right``.

    Where the columns of `WHOLE` do not fit the terminal, lines are as long as they must be and
    have no frame, so that what is copied is one piece.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    from ssah_index.cli.plain import visible

    console = Console()
    table = Table(header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        texts = ["" if cell is None else str(cell) for cell in row]
        cells = [visible(t, c in WHOLE) for c, t in zip(columns, texts, strict=True)]
        table.add_row(*map(Text, cells))
        for drawn, cell in zip(table.columns, cells, strict=True):
            if drawn.no_wrap:
                drawn.min_width = max(drawn.min_width or 0, cell_len(cell))
    boundless = console.options.update(max_width=sys.maxsize)
    least = Measurement.get(console, boundless, table).minimum
    if least > console.width:
        table.box = None
        console.width = least + FLUID_WIDTH
    with console.capture() as captured:
        console.print(table)
    print_text(f"{visible(title, escape=False)}\n{captured.get()}")


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, a plain line every ten seconds elsewhere, or nothing."""
    if quiet:
        from ssah_index.types import no_progress

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
