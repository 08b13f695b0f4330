"""ssah-index info: what a store holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from ssah_index.cli.console import is_terminal, print_json, print_lines, print_table
from ssah_index.store import Snapshot, Store
from ssah_index.types import MODALITIES

MISSING = {"fault": "a file of it is missing or cut, so that searches scan; see: ssah-index verify"}


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
        "failed": len(snapshot.failures()),
        "segments": len(snapshot.segments),
        "indexes": _indexes(snapshot),
        "code_bytes": len(snapshot) * opened.format.bits // 8,
        "stored_bytes": sum(sum(s.entry.sizes.values()) for s in snapshot.segments),
    }
    if is_terminal():
        print_table(str(store), ("fact", "value"), facts.items())
    else:
        print_json(facts)


def _indexes(snapshot: Snapshot) -> list[dict[str, Any]]:
    """What is known of each index of the store, those that cannot be used included."""
    opened = {files.entry.folder: files.describe() for files in snapshot.indexes}
    rows = {segment.entry.folder: segment.entry.rows for segment in snapshot.segments}
    return [
        {
            "kind": entry.kind,
            "modality": entry.modality,
            **opened.get(entry.folder, MISSING),
            "rows": sum(rows.get(folder, 0) for folder in entry.segments),
            "bytes": sum(entry.sizes.values()),
        }
        for entry in snapshot.manifest.indexes
    ]
