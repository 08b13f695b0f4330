"""ssah-index index: tables beside a store that let a search look at few codes."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import cast

import click

from ssah_index.cli.console import print_json, progress, say
from ssah_index.errors import SpecError
from ssah_index.index.building import Kind, build_index, drop_indexes
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
                opened, one, kind=cast(Kind, kind), budget_bytes=_bytes(memory),
                rebuild=rebuild, threads=threads, progress=show,
                tell=None if quiet else say,
            )  # fmt: skip
        if not quiet:
            say(f"{one}s: {report.kind}; {report.reason}")
        facts = asdict(report)
        for shape in facts["built"]:
            del shape["order"]
        reports[one] = facts
    print_json(reports)


def _bytes(text: str) -> int:
    """A size such as 8GB, 500 MB or 1e9, in bytes."""
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not found:
        raise SpecError(f"memory is {text!r}", "a size such as 8GB or 500MB", "Correct it.")
    return int(float(found[1]) * UNITS[found[2].upper()])
