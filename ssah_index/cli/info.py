"""ssah-index info: what a store holds."""

from __future__ import annotations

from dataclasses import asdict

import click

from ssah_index.cli.console import is_terminal, print_json, print_lines, print_table
from ssah_index.store import Store
from ssah_index.types import MODALITIES


@click.command("info")
@click.argument("store")
@click.option("--failures", is_flag=True, help="Print the rows that failed, one JSON a line.")
def command(store: str, failures: bool) -> None:
    """Show what STORE holds: a table on a terminal, JSON on a pipe."""
    opened = Store.open(store)
    snapshot = opened.snapshot()
    if failures:
        print_lines(asdict(failure) for failure in snapshot.failures())
        return
    facts = {
        "store": str(store),
        "format_version": opened.format.version,
        "bits": opened.format.bits,
        "encoder": opened.format.encoder,
        "generation": snapshot.generation,
        "rows": snapshot.live,
        **{f"{modality}s": snapshot.count(modality) for modality in MODALITIES},
        "deleted": len(snapshot) - snapshot.live,
        "failed": sum(segment.entry.failed for segment in snapshot.segments),
        "segments": len(snapshot.segments),
        "indexes": [
            {
                **index.describe(),
                "rows": sum(
                    s.entry.rows
                    for s in snapshot.segments
                    if s.entry.folder in index.entry.segments
                ),
            }
            for index in snapshot.indexes
        ],
        "code_bytes": len(snapshot) * opened.format.bits // 8,
        "stored_bytes": sum(sum(s.entry.sizes.values()) for s in snapshot.segments),
    }
    if is_terminal():
        print_table(str(store), ("fact", "value"), facts.items())
    else:
        print_json(facts)
