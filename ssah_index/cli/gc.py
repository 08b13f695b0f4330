"""ssah-index gc: files that no generation worth keeping needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ssah_index.cli.console import print_json
from ssah_index.store import Store, collect


@click.command("gc")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--keep", type=int, default=1, show_default=True, help="Newest generations to keep.")
@click.option(
    "--grace-hours", type=float, default=24.0, show_default=True,
    help="How long a file must have lain there: longer than any build takes.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def command(store: Path, keep: int, grace_hours: float, dry_run: bool) -> None:
    """Remove from STORE what neither the newest generations nor tagged ones need.

    Older generations cannot be opened any more after it.
    """
    opened = Store.open(store)
    report = collect(opened, keep=keep, grace_s=3600 * grace_hours, dry_run=dry_run)
    print_json({**asdict(report), "dry_run": dry_run})
