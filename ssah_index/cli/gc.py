"""ssah-index gc: files that no generation worth keeping needs."""

from __future__ import annotations

import math
from dataclasses import asdict

import click

from ssah_index.cli.console import print_json
from ssah_index.errors import SpecError
from ssah_index.store import Store, collect


@click.command("gc")
@click.argument("store")
@click.option("--keep", type=int, default=1, show_default=True, help="Newest generations to keep.")
@click.option(
    "--grace-hours", type=float, default=24.0, show_default=True,
    help="Keep what readers and builds that began since may need.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def command(store: str, keep: int, grace_hours: float, dry_run: bool) -> None:
    """Remove from STORE what neither the newest generations nor tagged ones need.

    Generations that were the newest within the grace are kept for readers that may still
    use them; older ones cannot be opened any more.
    """
    if not math.isfinite(grace_hours):
        raise SpecError(f"--grace-hours is {grace_hours}", "hours, 0 or more", "Correct it.")
    opened = Store.open(store)
    report = collect(opened, keep=keep, grace_s=3600 * grace_hours, dry_run=dry_run)
    print_json({**asdict(report), "dry_run": dry_run})
