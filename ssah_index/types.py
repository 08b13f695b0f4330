"""Array aliases, the items that flow through a build, Protocols and results.

Relies on NumPy alone; ``import ssah_index`` does not load it.
Shape letters are those of the glossary: n codes, nq queries, k results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Codes: TypeAlias = NDArray[np.uint8]
"""Packed codes, uint8 (n, nbytes), little bit order."""
Words: TypeAlias = NDArray[np.uint64]
"""The same codes as uint64 (n, words); trailing bits of the last word are zero."""
Modality = Literal["image", "text"]
MODALITIES: tuple[Modality, ...] = ("image", "text")


def other_modality(modality: Modality) -> Modality:
    """What a cross-modal query looks for: images for a text, texts for an image."""
    return "text" if modality == "image" else "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to encode: an image, a text, or a pair of both under one id."""

    id: str
    """The user's key."""
    source: str
    """Where it came from: a file, or file:line."""
    image: Path | None = None
    """The image file, if there is one."""
    text: str | None = None
    """The text, if there is one."""
    labels: tuple[str, ...] = ()
    """Class names, for training and evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One row that could not be read or encoded, as the ledger keeps it."""

    id: str
    """The user's key, or "" where it could not be read."""
    source: str
    """Where the row came from: a file, or file:line."""
    modality: str
    """"image", "text", or "" where the row did not get that far."""
    reason: str
    """Why it failed, in words for a person."""


class Reader(Protocol):
    """A source of items that can be cut into equal pieces and read again."""

    def __len__(self) -> int:
        """Rows in the source, unreadable ones included."""

    def digest(self) -> str:
        """A hash that changes when the source's rows do."""

    def read(self, start: int, stop: int) -> Iterator[Item | Failure]:
        """Rows start to stop, each an item or the failure it ended in."""


class Encoder(Protocol):
    """Turns items into packed codes."""

    @property
    def bits(self) -> int:
        """Code width."""

    @property
    def fingerprint(self) -> str:
        """A hash over everything that decides the codes."""

    def encode(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[Codes, list[tuple[int, str]]]:
        """Encode paths or texts.

        Returns
        -------
        codes : uint8 (len(batch) - len(failures), nbytes)
            In the order of the batch, failed items left out.
        failures : list of (int, str)
            Position in the batch, ascending, and reason.
        """

    def save(self, folder: Path) -> None:
        """Write everything needed to load it again."""


class EncoderKind(Protocol):
    """What an entry point of the group ``ssah_index.encoders`` offers."""

    def load(self, folder: Path) -> Encoder:
        """Open an encoder folder."""

    def train(
        self,
        items: Sequence[Item],
        *,
        options: Mapping[str, Any],
        report: Callable[[str], None],
        progress: Progress,
        resume: Path | None = None,
        log: Path | None = None,
    ) -> Encoder:
        """Train on labelled pairs and return the finished encoder.

        ``resume`` names a checkpoint to go on from, kept up to date, removed at the end;
        ``log`` a CSV file that gets a row a pass.
        """

    def evaluate(
        self,
        query_codes: Codes,
        query_labels: Sequence[tuple[str, ...]],
        database_codes: Codes,
        database_labels: Sequence[tuple[str, ...]],
    ) -> float:
        """Mean average precision over the whole ranking, between 0 and 1."""


class Progress(Protocol):
    """Told how far a long job is; the CLI draws it, a library user may ignore it."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """``done`` of ``total`` units of ``label`` are finished."""


def no_progress(done: int, total: int, label: str) -> None:
    """The Progress of a caller who does not want any."""


class Index(Protocol):
    """A set of segments made fast to search."""

    def search(self, queries: Words, *, k: int | None, radius: int | None) -> Hits:
        """Rows of the least distance for each query, by (distance, row)."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Ragged answers without ids: query i owns ``lims[i]:lims[i + 1]``."""

    distances: NDArray[np.int32]
    """(total,) bits."""
    rows: NDArray[np.int64]
    """(total,) positions, ascending (distance, row) within a query."""
    lims: NDArray[np.int64]
    """(nq + 1,) borders of the queries."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Answers in the order (distance, row), ascending; never padded.

    Query i owns positions ``lims[i]:lims[i + 1]``. ``distances, ids = result``
    unpacks to (nq, k) arrays after a search by k alone, where every query has the
    same number of hits, and to flat arrays after a radius search.
    """

    distances: NDArray[np.int32]
    """(total,) bits."""
    rows: NDArray[np.int64]
    """(total,) positions in the snapshot."""
    ids: NDArray[Any]
    """(total,) the user's keys, str."""
    lims: NDArray[np.int64]
    """(nq + 1,) borders of the queries."""
    ragged: bool = field(default=False)
    """True after a radius search."""

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.lims) - 1

    def __iter__(self) -> Iterator[NDArray[Any]]:
        if self.ragged:
            yield self.distances
            yield self.ids
        else:
            shape = (len(self), len(self.distances) // max(len(self), 1))
            yield self.distances.reshape(shape)
            yield self.ids.reshape(shape)

    def to_arrow(self) -> pa.Table:
        """One line a hit: query, rank, distance, row, id."""
        import pyarrow as pa

        counts = np.diff(self.lims)
        query = np.repeat(np.arange(len(self)), counts)
        rank = np.arange(len(self.rows)) - np.repeat(self.lims[:-1], counts)
        return pa.table(
            {
                "query": query,
                "rank": rank,
                "distance": self.distances,
                "row": self.rows,
                "id": pa.array(self.ids, pa.string()),
            }
        )

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)
