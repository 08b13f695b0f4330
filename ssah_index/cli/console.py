"""Where everything is printed: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:  # the types bring NumPy, which --help does without
    from ssah_index.types import Progress

PLAIN_INTERVAL_S = 10.0


class OutputClosed(Exception):  # noqa: N818 (no error: the reader had enough, as `head`)
    """Nobody reads our data any more."""


def say(message: str) -> None:
    """A message for a person; work goes on if nobody listens."""
    try:
        click.echo(message, err=True)
    except BrokenPipeError:
        _silence(sys.stderr)


def is_terminal() -> bool:
    """Whether data goes to a person rather than a pipe."""
    return sys.stdout.isatty()


def print_text(text: str) -> None:
    """Data, flushed, so that whoever waits for an answer gets it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        raise OutputClosed from None


def _silence(stream: TextIO) -> None:
    """Let what is still buffered, and flushed once more at exit, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_json(value: Any) -> None:
    """One JSON document of data, indented."""
    print_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    """Data as JSONL; values that JSON does not have, such as dates, as text."""
    lines = (json.dumps(record, ensure_ascii=False, default=str) for record in records)
    print_text("".join(line + "\n" for line in lines))


def print_values(values: Iterable[str]) -> None:
    """Data as bare values, one a line."""
    print_text("".join(value + "\n" for value in values))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Collection[str] = ("rank", "distance"),
) -> None:
    """Data as a table for a terminal; the columns of numbers are named in ``right``."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_plain_cell(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*(_plain_cell("" if cell is None else str(cell)) for cell in row))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    print_text(captured.get())


def _plain_cell(text: str) -> Any:
    """The user's words as they are: no markup, no control characters."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else " " for c in text))


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
