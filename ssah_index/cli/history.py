"""ssah-index history: the states a store has been in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from ssah_index.cli.console import is_terminal, print_lines, print_table
from ssah_index.store import Manifest, Store

COLUMNS = ("generation", "committed", "operation", "segments", "rows", "deleted", "tags")


@click.command("history")
@click.argument("store")
def command(store: str) -> None:
    """List the generations of STORE, newest first: a table on a terminal, JSONL on a pipe.

    Times are those of the writers' clocks; one that no calendar has is null.
    """
    opened = Store.open(store)
    tags = opened.newest().tags
    records = [_record(manifest, tags) for manifest in opened.history()]
    if is_terminal():
        cells = ({**record, "tags": ", ".join(record["tags"])} for record in records)
        rows = ([record[name] for name in COLUMNS] for record in cells)
        print_table(str(store), COLUMNS, rows, right=("generation", "segments", "rows", "deleted"))
    else:
        print_lines(records)


def _record(manifest: Manifest, tags: Mapping[str, int]) -> dict[str, Any]:
    return {
        "generation": manifest.generation,
        "committed": _time(manifest.committed_s),
        "operation": manifest.operation,
        "segments": len(manifest.segments),
        "rows": sum(entry.rows for entry in manifest.segments),
        "deleted": sum(entry.rows for entry in manifest.deletions.values()),
        "tags": sorted(name for name, number in tags.items() if number == manifest.generation),
    }


def _time(seconds: float) -> str | None:
    """A clock's time in ISO 8601; None where it was so wrong that no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None
