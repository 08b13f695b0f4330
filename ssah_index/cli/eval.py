"""ssah-index eval: labelled queries against a labelled store, one report out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ssah_index.cli.console import print_json, print_table, print_values, progress, say
from ssah_index.cli.plain import to_json
from ssah_index.cli.source import read_source, source_options, split_rows
from ssah_index.errors import SourceError
from ssah_index.ingest import SourceSpec, open_reader
from ssah_index.labelled import column, encoded, pairs, stored
from ssah_index.plugins import kind_of
from ssah_index.store import Snapshot, Store
from ssah_index.store.files import writing
from ssah_index.types import (
    MODALITIES,
    Encoder,
    Failure,
    Item,
    Labelled,
    Modality,
    Progress,
)

NAMED_FAILURES = 20


@click.command("eval")
@click.argument("queries", type=click.Path(path_type=Path))
@click.argument("store")
@source_options
@click.option(
    "--trained-on", type=click.Path(path_type=Path),
    help="What the encoder was trained on, for a MAP over the rows that are not of it.",
)  # fmt: skip
@click.option("--trained-on-table", help="The table of --trained-on; default: the one in it.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the whole report to a file; - prints it in place of the tables.",
)  # fmt: skip
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder to draw curves into.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print the report and errors only.")
def command(
    queries: Path,
    store: str,
    spec: SourceSpec,
    trained_on: Path | None,
    trained_on_table: str | None,
    json_file: Path | None,
    plots: Path | None,
    quiet: bool,
) -> int:
    """Judge how the labelled items of QUERIES find what they should in STORE.

    QUERIES is what build reads, with labels, and holds nothing that STORE holds. They are
    encoded by the store's own encoder. Relevant is what shares a label with the query. Every
    direction is measured that the modalities of both allow: image->text, text->image, and
    each within its own. Exits with 3 if codes of one modality tell its items apart no
    better than chance (they have collapsed), or if items of QUERIES failed.
    """
    opened = Store.open(store)
    encoder = opened.load_encoder()
    kind = kind_of(opened.path / "encoder")
    snapshot = opened.snapshot()
    database = _database(opened, snapshot, _ids(trained_on, trained_on_table))
    items, failures = _read(queries, spec, quiet)
    _warn_of_shared(items, snapshot)
    for folder in (plots, json_file and json_file.parent):
        if folder is not None:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
    with progress(quiet) as show:
        asked, unencoded = _encode(encoder, items, show)
    failures += unencoded
    if not asked:
        raise SourceError(
            f"none of the {len(items)} items of {queries} could be encoded; the first: "
            f"{failures[0].id}: {failures[0].reason}",
            "at least one image or text",
            "Look at the reasons, and correct the items.",
        )
    if not quiet:
        _tell_rankings(asked, database)
    with progress(quiet) as show:
        figures = kind.evaluate(asked, database, pairs=pairs(snapshot), plots=plots, progress=show)
    document = {
        "queries": str(queries),
        "store": str(store),
        "generation": snapshot.generation,
        "bits": encoder.bits,
        "encoder": encoder.fingerprint,
        **figures,
        "failed": [asdict(failure) for failure in failures],
    }
    _write(document, json_file)
    _tell_failures(failures)
    if figures["collapsed"]:
        say("The codes have collapsed: within a modality they find no better than chance.")
    return 3 if failures or figures["collapsed"] else 0


def _ids(source: Path | None, table: str | None) -> set[str] | None:
    """Ids of the items of a source."""
    if source is None:
        return None
    reader = open_reader(source, table)
    return {row.id for row in reader.read(0, len(reader)) if isinstance(row, Item)}


def _database(
    store: Store, snapshot: Snapshot, trained_on: Collection[str] | None
) -> dict[Modality, Labelled]:
    """The store's rows, by modality."""
    found = {
        modality: stored(snapshot, modality, trained_on)
        for modality in MODALITIES
        if snapshot.count(modality)
    }
    if not any(own for side in found.values() for own in side.labels):
        raise SourceError(
            f"none of the {len(snapshot)} rows of {store.place} has labels",
            "labels, which say what is relevant to a query",
            "Build it from a table with a column 'labels'.",
        )
    if trained_on is not None and not any(
        side.seen is not None and side.seen.any() for side in found.values()
    ):
        raise SourceError(
            f"none of the {len(snapshot)} rows of {store.place} has an id of --trained-on",
            "some of its items in the store",
            "Check the ids of both, or leave out --trained-on.",
        )
    return found


def _read(source: Path, spec: SourceSpec, quiet: bool) -> tuple[list[Item], list[Failure]]:
    """Items and unreadable rows of a source with labels."""
    items, failures = split_rows(read_source(source, spec, quiet))
    if not any(item.labels for item in items):
        raise SourceError(
            f"none of the {len(items)} items of {source} has labels",
            "labels, which say what is relevant to them",
            "Add a column 'labels' to its table, or name another with --label-column.",
        )
    return items, failures


def _warn_of_shared(items: Sequence[Item], snapshot: Snapshot) -> None:
    """Items are taken for the same by id and text: folders number their files alike."""
    known = {
        pair
        for modality in MODALITIES
        for pair in zip(
            column(snapshot, modality, "id"), column(snapshot, modality, "text"), strict=True
        )
    }
    shared = [item.id for item in items if (item.id, item.text) in known]
    if shared:
        say(
            f"Warning: {len(shared)} of {len(items)} queries seem to be in the store, the first "
            f"{shared[0]}; such items find themselves, and the figures are too good."
        )


def _encode(
    encoder: Encoder, items: Sequence[Item], show: Progress
) -> tuple[dict[Modality, Labelled], list[Failure]]:
    """Codes by modality, without the modalities that have none, and what failed."""
    asked: dict[Modality, Labelled] = {}
    failures: list[Failure] = []
    for modality in MODALITIES:
        own, failed = encoded(encoder, modality, items, show)
        failures += failed
        if len(own.codes):
            asked[modality] = own
    return asked, failures


def _tell_rankings(
    asked: Mapping[Modality, Labelled], database: Mapping[Modality, Labelled]
) -> None:
    """What is about to be done, which takes minutes where both sides are large."""
    for asking, queries in asked.items():
        for found, rows in database.items():
            say(
                f"ranking {len(rows.codes):,} {found}s for each of {len(queries.codes):,} {asking}s"
            )


def _write(document: Mapping[str, Any], json_file: Path | None) -> None:
    if json_file == Path("-"):
        print_json(document)
        return
    if json_file is not None:  # before what is printed, whose reader may leave early
        with writing(json_file):
            json_file.write_text(to_json(document, indent=1), "utf-8")
    _print_tables(document)


def _print_tables(document: Mapping[str, Any]) -> None:
    title = f"{document['queries']} against {document['store']}, {document['bits']} bits"
    _print_columns(title, "by direction", document["directions"])
    _print_columns("codes of the store", "by modality", document["codes"])
    if document["gap"] is not None:
        _print_columns("distances of pairs, in bits", "mean", {"bits": document["gap"]})
    verdicts = {True: "yes", False: "no", None: "unknown"}
    print_values([f"collapsed: {verdicts[document['collapsed']]}"])


def _print_columns(title: str, corner: str, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """One column for each mapping, one row for each number in them."""
    cells = {name: dict(_cells(figures)) for name, figures in columns.items()}
    labels = dict.fromkeys(label for own in cells.values() for label in own)
    rows = [[label, *(own.get(label) for own in cells.values())] for label in labels]
    print_table(title, [corner, *columns], rows, right=set(columns))


def _cells(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers by name; lists, which curves are, do not fit a cell."""
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from ((f"{label} {key}", cell) for key, cell in _cells(value))
        elif isinstance(value, (int, float)):
            yield label, f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _tell_failures(failures: Sequence[Failure]) -> None:
    if not failures:
        return
    for failure in failures[:NAMED_FAILURES]:
        say(f"Error: {failure.modality or 'row'} {failure.id or failure.source}: {failure.reason}")
    rest = len(failures) - NAMED_FAILURES
    more = f"; {rest} more than are named here are in the report of --json" if rest > 0 else ""
    say(f"{len(failures)} queries failed{more}")
