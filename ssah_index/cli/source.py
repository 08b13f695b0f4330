"""What the commands that read a source have in common: options, and the summary."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ssah_index.cli.console import say
from ssah_index.ingest import SourceSpec, open_reader
from ssah_index.types import Failure, Item, Reader

Command = Callable[..., Any]
OPTIONS = (
    click.option(
        "--table",
        help="Table of path and text, whose rows are the items; default: the one in the folder, "
        "or .txt files.",
    ),
    click.option(
        "--unlisted", is_flag=True, help="Take in images of the folder that its table leaves out."
    ),
    click.option(
        "--label-column", default=SourceSpec().label_column, show_default=True,
        help="Column of labels: lists, or strings that are one label each.",
    ),
    click.option(
        "--label-separator",
        help="What parts the labels of a string, such as \";\"; auto: ; or , as it stands there.",
    ),
)  # fmt: skip


def source_options(command: Command) -> Command:
    """Give a command the options of a source, as one argument ``spec``."""

    @functools.wraps(command)
    def with_spec(
        *words: Any,
        table: str | None,
        unlisted: bool,
        label_column: str,
        label_separator: str | None,
        **options: Any,
    ) -> Any:
        spec = SourceSpec(
            table=table,
            unlisted=unlisted,
            label_column=label_column,
            label_separator=label_separator,
        )
        return command(*words, spec=spec, **options)

    for option in reversed(OPTIONS):
        with_spec = option(with_spec)
    return with_spec


def read_source(source: Path, spec: SourceSpec, quiet: bool) -> Reader:
    """Open a source and say what is read of it, and what is not."""
    reader = open_reader(source, **asdict(spec))
    if not quiet:
        for line in reader.summary():
            say(f"{source}: {line}")
    return reader


def split_rows(reader: Reader) -> tuple[list[Item], list[Failure]]:
    """The items of a source, and the rows of it that cannot be read."""
    items: list[Item] = []
    failures: list[Failure] = []
    for row in reader.read(0, len(reader)):
        if isinstance(row, Item):
            items.append(row)
        else:
            failures.append(row)
    return items, failures
