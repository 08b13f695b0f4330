"""Array aliases, the items that flow through a build, Protocols and results.

Relies on NumPy and `Stop`; ``import ssah_index`` does not load it.
Shape letters are those of the glossary: n codes, nq queries, k results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ssah_index.stop import Stop

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Codes: TypeAlias = NDArray[np.uint8]
"""Packed codes, uint8 (n, nbytes), little bit order."""
Words: TypeAlias = NDArray[np.uint64]
"""The same codes as uint64 (n, words); trailing bits of the last word are zero."""
Bitmap: TypeAlias = NDArray[np.uint64]
"""Allowed rows, Arrow bit order: bit i % 64 of word i // 64, and one more word of zeros."""
BitOrder = Literal["little", "big"]
"""Where bit 0 of a code lies in byte 0: at its low end, as all that we write, or its high end."""
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
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The user's other columns."""


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

    def columns(self) -> pa.Schema:
        """Names and types of the user's other columns, the same for all rows."""

    def read(self, start: int, stop: int) -> Iterator[Item | Failure]:
        """Rows start to stop, each an item or the failure it ended in."""

    def summary(self) -> list[str]:
        """Lines for a person: what is read, what is left out, what may be meant otherwise."""


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


@runtime_checkable
class RealEncoder(Encoder, Protocol):
    """An encoder that also gives the real values whose signs are its codes."""

    def activations(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
        """Float32 (len(batch) - len(failures), bits), and failures; as `encode` gives codes."""


@runtime_checkable
class WarningEncoder(Encoder, Protocol):
    """An encoder that says what of an item it leaves out."""

    def warnings(self, modality: Modality, batch: Sequence[Any]) -> list[list[str]]:
        """Sentences about each item, len(batch) lists; an empty list where all of it is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainReport:
    """What came of a training, beside its encoder."""

    failed: int
    """Pairs that could not be read and were left out."""
    collapsed: str | None
    """A sentence with figures where the codes tell nothing apart, otherwise None."""


@runtime_checkable
class ReportingEncoder(Encoder, Protocol):
    """An encoder that says what came of its training; a kind need not have it."""

    @property
    def report(self) -> TrainReport | None:
        """None where the encoder was loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Codes of one modality, and what they are judged by."""

    codes: Codes
    """(n, nbytes)."""
    labels: Sequence[tuple[str, ...]]
    """n times the names of an item's classes; () makes it relevant to nothing."""
    activations: NDArray[np.float32] | None = None
    """(n, bits) whose signs are the codes; of queries, where the encoder gives them."""
    seen: NDArray[np.bool_] | None = None
    """(n,) True for what training has seen; of a database, where it is known."""


class Progress(Protocol):
    """Told how far a long job is; the CLI draws it, a library user may ignore it."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """``done`` of ``total`` units of ``label`` are finished."""


def no_progress(done: int, total: int, label: str) -> None:
    """The Progress of a caller who does not want any."""


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

        ``resume`` names a checkpoint to go on from, kept up to date, which the caller removes
        once the encoder is saved; ``log`` a CSV file that gets a row a pass. A
        KeyboardInterrupt may carry a note (`BaseException.add_note`) of what was kept.
        """

    def evaluate(
        self,
        queries: Mapping[Modality, Labelled],
        database: Mapping[Modality, Labelled],
        *,
        pairs: NDArray[np.int64] | None = None,
        plots: Path | None = None,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """Judge codes by labels: what shares one with the query is relevant to it.

        Parameters
        ----------
        queries, database : mapping of modality to Labelled
            Disjoint; one modality or both.
        pairs : int64 (m, 2), optional
            Database rows of an image and of a text that are one item.
        plots : Path, optional
            An existing folder to draw curves into, as PNG files.
        progress : Progress, optional
            Told of the queries ranked in each direction, which takes the longest.

        Returns
        -------
        dict
            Plain data, ready for JSON. ``directions`` maps "text->image" and so on to
            figures by name; ``map`` among them is the mean average precision, 0 to 1.
            ``codes`` maps each modality of the database to figures of its bits, ``gap``
            has the distances of pairs, in bits, or is None, and ``collapsed`` says
            whether the codes tell items apart no better than chance, None if unknown.
        """


@runtime_checkable
class CheckingKind(EncoderKind, Protocol):
    """A kind of encoder that can refuse a training before anything is read for it."""

    def check(
        self,
        options: Mapping[str, Any],
        *,
        resume: Path | None = None,
        log: Path | None = None,
    ) -> None:
        """Raise what `train` would raise of its options and files, whatever the items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpec:
    """What is asked of an index, beside the queries."""

    k: int | None = None
    """Most hits a query; None: all within the radius."""
    radius: int | None = None
    """Greatest distance in bits, inclusive; None: any."""
    allowed: Bitmap | None = None
    """Rows of the snapshot that may be found; None: all."""
    limit: int | None = None
    """Most hits of all queries together; None: any number."""
    threads: int = 1
    """Most cores to use."""
    stop: Stop = field(default_factory=Stop)
    """Ends the search early."""


class Index(Protocol):
    """A set of segments made fast to search."""

    def search(self, queries: Words, spec: SearchSpec) -> Hits:
        """Rows of the snapshot for each query, by (distance, row)."""


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
class Pairs:
    """Rows that lie near each other; each pair once, the lesser row first."""

    rows: NDArray[np.int64]
    """(total,)."""
    others: NDArray[np.int64]
    """(total,), each greater than its row."""
    distances: NDArray[np.int32]
    """(total,) bits."""


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
    """(total,) the user's keys, str or int64."""
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
                "id": pa.array(self.ids, pa.int64() if self.ids.dtype == np.int64 else pa.string()),
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """The same lines as a data frame; needs pandas."""
        return self.to_arrow().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)
