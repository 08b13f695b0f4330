"""Answers batches of queries, prints them, and counts what became of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ssah_index.cli.console import print_lines, print_table, print_values, say
from ssah_index.cli.plain import records
from ssah_index.cli.queries import Kind, as_items, encode, parse_codes, shown
from ssah_index.search import Searcher
from ssah_index.types import BitOrder, Encoder, Modality, WarningEncoder, other_modality

COLUMNS = ("modality", "text", "source", "id")
WARNINGS = "warnings"
MAX_BATCH = 1024
_NO_LINE = re.compile(r"\A\Z|\A\ufeff|\n|\r\Z")
"""Ids that would be others, or none, to whoever reads them as lines."""


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
    null: bool = False
    """Ids end with NUL, not with a newline."""
    bitorder: BitOrder = "little"
    """Bit order of the bytes of codes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What one query gets."""

    query: str
    warnings: list[str]
    """What its encoder left out."""
    hits: list[dict[str, Any]]


class Answerer:
    """Answers queries one batch at a time.

    Parameters
    ----------
    searcher : Searcher
    plan : Plan
    cross : bool
        Search the other modality of a text or image, where the store has it.
    """

    def __init__(self, searcher: Searcher, plan: Plan, cross: bool) -> None:
        self.asked = self.failed = self.empty = 0
        self._searcher = searcher
        self._plan = plan
        self._cross = cross
        schema = searcher.snapshot.schema
        self._columns = [name for name in schema.names if name != "labels"]
        self._encoder: Encoder | None = None

    def answer(self, kind: Kind, values: Sequence[str]) -> None:
        """Encode, search and print."""
        for start in range(0, len(values), MAX_BATCH):
            batch = values[start : start + MAX_BATCH]
            if kind == "code":
                codes, errors = parse_codes(batch, self._searcher.bits, self._plan.bitorder)
            else:
                codes, errors = encode(self._loaded(), kind, batch)
            answers = self._search(kind, codes, [v for i, v in enumerate(batch) if i not in errors])
            for position, value in enumerate(batch):
                self.asked += 1
                if position in errors:
                    self._print_error(value, errors[position])
                else:
                    self._print(next(answers))

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._searcher.store.load_encoder()
        return self._encoder

    def _search(self, kind: Kind, codes: Any, values: Sequence[str]) -> Iterator[_Answer]:
        """An answer for each value that has a code."""
        result = self._searcher.search(
            codes,
            k=self._plan.k,
            radius=self._plan.radius,
            modality=self._modality(kind),
            threads=self._plan.threads,
        )
        rows = records(self._searcher.snapshot.take(result.rows, self._columns))
        for number, (value, warnings) in enumerate(
            zip(values, self._warnings(kind, values), strict=True)
        ):
            span = range(result.lims[number], result.lims[number + 1])
            hits = [
                {
                    "query": value,
                    "rank": rank,
                    "distance": int(result.distances[i]),
                    "row": int(result.rows[i]),
                    **({WARNINGS: warnings} if warnings else {}),
                    **{f"{n}_" if n == WARNINGS else n: own for n, own in rows[i].items()},
                }
                for rank, i in enumerate(span)
            ]
            yield _Answer(query=value, warnings=warnings, hits=hits)

    def _modality(self, kind: Kind) -> Modality | None:
        """What to search: the other modality where the store has it, unless told."""
        if not self._cross or kind == "code":
            return self._plan.find
        wanted = other_modality(kind)
        return wanted if self._searcher.snapshot.count(wanted) else None

    def _warnings(self, kind: Kind, values: Sequence[str]) -> list[list[str]]:
        """What the encoder says that it left out of each value."""
        encoder = self._encoder
        if kind == "code" or not values or not isinstance(encoder, WarningEncoder):
            return [[] for _ in values]
        try:
            return encoder.warnings(kind, as_items(kind, values))
        except Exception as error:  # the codes are good, whatever else the encoder lacks
            unknown = f"what is left out is unknown ({type(error).__name__}: {error})"
            return [[unknown] for _ in values]

    def _print_error(self, value: str, error: str) -> None:
        self.failed += 1
        if self._plan.format == "jsonl":
            print_lines([{"query": value, "error": error}])
        say(f"Error: {error}")

    def _print(self, answer: _Answer) -> None:
        hits = answer.hits
        self.empty += not hits
        if self._plan.format != "jsonl" or not hits:
            for warning in answer.warnings:
                say(f"Warning: {shown(answer.query)}: {warning}")
        if self._plan.format == "jsonl":
            print_lines(hits)
        elif self._plan.format == "ids":
            self._print_ids(answer)
        else:
            columns = ("rank", "distance", *COLUMNS)
            print_table(answer.query, columns, ([hit[c] for c in columns] for hit in hits))

    def _print_ids(self, answer: _Answer) -> None:
        ids = [str(hit["id"]) for hit in answer.hits]
        odd = [] if self._plan.null else [key for key in ids if _NO_LINE.search(key)]
        if odd:
            self._print_error(
                answer.query,
                f"the id {shown(odd[0])} is no line; expected ids that are one line each. "
                "Add -0 to end ids with NUL, or use --format jsonl.",
            )
        else:
            print_values(ids, end="\0" if self._plan.null else "\n")
