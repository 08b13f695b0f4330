"""ssah-index index: tables beside a store that let a search look at few codes."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import cast

import click

from ssah_index.cli.console import print_json, progress, say
from ssah_index.errors import SpecError
from ssah_index.index.building import IndexReport, Kind, build_index, drop_indexes
from ssah_index.store import Store
from ssah_index.types import MODALITIES, Modality

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@click.command("index")
@click.argument("store")
@click.option(
    "--kind", type=click.Choice(["auto", "mih"]), default="auto", show_default=True,
    help="auto builds none where a scan is as fast.",
)  # fmt: skip
@click.option("--memory", default="8GB", show_default=True, help="Most bytes of an index.")
@click.option("--modality", type=click.Choice(MODALITIES), help="Of the rows.  [default: each]")
@click.option("--threads", type=int, help="Most cores to use.  [default: all]")
@click.option("--rebuild", is_flag=True, help="Index all rows anew, whatever is there.")
@click.option("--drop", is_flag=True, help="Drop the indexes there are, and build none.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
def command(
    store: str,
    kind: str,
    memory: str,
    modality: Modality | None,
    threads: int | None,
    rebuild: bool,
    drop: bool,
    quiet: bool,
) -> None:
    """Index what is not indexed yet of STORE, for each modality, and publish it.

    Searches stay exact, ties included. What is appended later is scanned beside the index,
    until this is run again. A damaged index is left aside, and built anew; a build that was
    killed is taken up where it was.

    \b
    ssah-index index photos.ssah --memory 4GB
    """
    budget = _bytes(memory)
    opened = Store.open(store)
    if drop:
        print_json({"dropped": drop_indexes(opened, modality)})
        return
    snapshot = opened.snapshot()
    wanted = [m for m in MODALITIES if modality in (None, m) and snapshot.count(m)]
    if not wanted:
        raise SpecError(f"{store} has no {modality or 'row'}s", "rows to index", "Append some.")
    reports = {}
    for one in wanted:
        with progress(quiet) as show:
            report = build_index(
                opened, one, kind=cast(Kind, kind), budget_bytes=budget,
                rebuild=rebuild, threads=threads, progress=show,
                tell=None if quiet else say,
            )  # fmt: skip
        if not quiet:
            rows = sum(s.entry.rows for s in snapshot.segments if s.entry.modality == one)
            say(f"{one}s: {_state(report, rows)}; {report.reason}")
        facts = asdict(report)
        for shape in facts["built"]:
            del shape["order"]
        reports[one] = facts
    print_json(reports)


def _state(report: IndexReport, rows: int) -> str:
    """How rows of a modality are searched now."""
    if not report.rows:
        return "every search is a scan"
    return f"{report.rows:,} of {rows:,} rows are in an index ({report.kind})"


def _bytes(text: str) -> int:
    """A size such as 8GB, 500 MB or 1e9, in bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e\d+)?)\s*([KMGT]?)B?\s*", text, re.I | re.ASCII)
    size = float(found[1]) * UNITS[found[2].upper()] if found else 0.0
    if not 1 <= size <= sys.maxsize:
        raise SpecError(
            f"memory is {text!r}",
            "a size from 1 byte on, such as 8GB or 500MB",
            "Correct --memory.",
        )
    return int(size)
