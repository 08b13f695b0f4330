"""ssah-index query: texts, images or codes in, ordered hits out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import click
import numpy as np

from ssah_index.cli.console import is_terminal, print_lines, print_table, print_values, say
from ssah_index.codes import as_codes, check_k_and_radius
from ssah_index.errors import CodeError, QueryError
from ssah_index.search import Searcher, open_store
from ssah_index.types import MODALITIES, Codes, Encoder, Modality, other_modality

Kind = Literal["text", "image", "code"]
COLUMNS = ("id", "modality", "source", "text")
MAX_BATCH = 1024
READ_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How every query of this command is answered."""

    k: int | None
    """Hits a query."""
    radius: int | None
    """Greatest distance in bits, inclusive."""
    find: Modality | None
    """What is searched; None: both."""
    threads: int | None
    """Most cores to use; None: all."""
    format: str
    """jsonl, table or ids."""


@click.command("query")
@click.argument("store")
@click.option("--text", "texts", multiple=True, help="A text to search by; may be repeated.")
@click.option("--image", "images", multiple=True, help="An image file to search by.")
@click.option("--code", "codes", multiple=True, help="A code to search by, in hexadecimal.")
@click.option(
    "--lines", type=click.Choice(["text", "image", "code"]), default="text", show_default=True,
    help="What a line of standard input is, when no query is given above.",
)  # fmt: skip
@click.option("-k", type=int, help="Hits a query.  [default: 10]")
@click.option("--radius", type=int, help="Greatest distance in bits, inclusive.")
@click.option(
    "--find", type=click.Choice(["other", "image", "text", "any"]), default="other",
    show_default=True, help="What to find; other: images for a text and texts for an image.",
)  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["jsonl", "table", "ids"]),
    help="Output.  [default: table on a terminal, jsonl on a pipe]",
)  # fmt: skip
@click.option("--threads", type=int, help="Most cores to use.  [default: all]")
@click.option("--exit-status", is_flag=True, help="Exit with 1 if some query has no hit.")
def command(
    store: str,
    texts: Sequence[str],
    images: Sequence[str],
    codes: Sequence[str],
    lines: str,
    k: int | None,
    radius: int | None,
    find: str,
    format_: str | None,
    threads: int | None,
    exit_status: bool,
) -> int:
    r"""Find the items of STORE nearest to each query, by Hamming distance.

    Queries are --text, --image and --code, or else the lines of standard input. Hits come
    in the order of distance, then of insertion; a query that fails gives one record with
    its error, and exit code 3.

    \b
    ssah-index query icons.ssah --text "arrow left"
    cat words.txt | ssah-index query icons.ssah -k 3 | jq .id
    """
    if k is None and radius is None:
        k = 10
    check_k_and_radius(k, radius)
    searcher = open_store(store)
    if find in MODALITIES and not searcher.snapshot.count(find):
        raise QueryError(
            f"{store} holds no {find}s", "something to find", "Leave out --find, or use --find any."
        )
    answerer = _Answerer(
        searcher,
        Plan(
            k=k,
            radius=radius,
            find=None if find in ("any", "other") else cast(Modality, find),
            threads=threads,
            format=format_ or ("table" if is_terminal() else "jsonl"),
        ),
        cross=find == "other",
    )
    given: list[tuple[Kind, Sequence[str]]] = [("text", texts), ("image", images), ("code", codes)]
    if any(values for _, values in given):
        for kind, values in given:
            answerer.answer(kind, values)
    elif sys.stdin is None or sys.stdin.isatty():  # None: closed, as under a daemon
        raise QueryError(
            "there is no query",
            "--text, --image, --code, or lines on standard input",
            'Try: ssah-index query STORE --text "arrow left"',
        )
    else:
        for batch in _stdin_batches():
            answerer.answer(cast(Kind, lines), batch)
    if answerer.failed:
        say(f"{answerer.failed} of {answerer.asked} queries failed")
        return 3
    return 1 if exit_status and answerer.empty else 0


class _Answerer:
    """Answers batches of queries and counts what became of them."""

    def __init__(self, searcher: Searcher, plan: Plan, cross: bool) -> None:
        self.asked = self.failed = self.empty = 0
        self._searcher = searcher
        self._plan = plan
        self._cross = cross
        schema = searcher.snapshot.schema
        self._columns = [name for name in schema.names if name != "labels"]
        self._encoder: Encoder | None = None

    def answer(self, kind: Kind, values: Sequence[str]) -> None:
        """Encode, search and print one batch."""
        for start in range(0, len(values), MAX_BATCH):
            self._answer_batch(kind, values[start : start + MAX_BATCH])

    def _answer_batch(self, kind: Kind, values: Sequence[str]) -> None:
        codes, errors = self._parse(values) if kind == "code" else self._encode(kind, values)
        result = self._searcher.search(
            codes,
            k=self._plan.k,
            radius=self._plan.radius,
            modality=self._modality(kind),
            threads=self._plan.threads,
        )
        rows = self._searcher.snapshot.take(result.rows, self._columns).to_pylist()
        answers = iter(range(len(result)))
        for position, value in enumerate(values):
            self.asked += 1
            if position in errors:
                self.failed += 1
                self._print_error(value, errors[position])
                continue
            number = next(answers)
            first, last = result.lims[number], result.lims[number + 1]
            self.empty += first == last
            hits = [
                {
                    "query": value,
                    "rank": rank,
                    "distance": int(result.distances[i]),
                    "row": int(result.rows[i]),
                    **rows[i],
                }
                for rank, i in enumerate(range(first, last))
            ]
            self._print_hits(value, hits)

    def _modality(self, kind: Kind) -> Modality | None:
        """What to search: the other modality where the store has it, unless told."""
        if not self._cross or kind == "code":
            return self._plan.find
        wanted = other_modality(kind)
        return wanted if self._searcher.snapshot.count(wanted) else None

    def _encode(self, kind: Modality, values: Sequence[str]) -> tuple[Codes, dict[int, str]]:
        if self._encoder is None:
            self._encoder = self._searcher.store.load_encoder()
        batch = [Path(value) for value in values] if kind == "image" else list(values)
        codes, failures = self._encoder.encode(kind, batch)
        return codes, dict(failures)

    def _parse(self, values: Sequence[str]) -> tuple[Codes, dict[int, str]]:
        nbytes = self._searcher.bits // 8
        codes: list[Codes] = [np.empty((0, nbytes), np.uint8)]
        errors: dict[int, str] = {}
        for position, value in enumerate(values):
            try:
                code = np.frombuffer(bytes.fromhex(value), np.uint8)
                codes.append(as_codes(code, self._searcher.bits, what="query codes"))
            except CodeError as error:
                errors[position] = str(error)
            except ValueError:
                errors[position] = (
                    f"code {value!r} is not hexadecimal; expected {2 * nbytes} digits. "
                    "Byte 0 comes first."
                )
        return np.concatenate(codes), errors

    def _print_error(self, value: str, error: str) -> None:
        if self._plan.format == "jsonl":
            print_lines([{"query": value, "error": error}])
        say(f"Error: {error}")

    def _print_hits(self, value: str, hits: list[dict[str, Any]]) -> None:
        if self._plan.format == "jsonl":
            print_lines(hits)
        elif self._plan.format == "ids":
            print_values(str(hit["id"]) for hit in hits)
        else:
            columns = ("rank", "distance", *COLUMNS)
            print_table(value, columns, ([hit[c] for c in columns] for hit in hits))


def _stdin_batches() -> Iterator[list[str]]:
    """Whole lines of standard input, as many as are there without waiting for more.

    So a pipe is served in batches, and a program that writes one line and waits for its
    answer gets it.
    """
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield [_decode(line) for line in lines]
    if rest:
        yield [_decode(rest)]


def _decode(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r")
