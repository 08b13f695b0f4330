"""Segments: immutable shards of rows of one modality, each a Zarr v3 group."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray
from pyroaring import BitMap

from ssah_index.codes import to_words
from ssah_index.errors import CorruptError, SsahError
from ssah_index.store.fields import decode
from ssah_index.store.files import GONE, Seal, at_once, map_file, open_file
from ssah_index.store.format import IdKind
from ssah_index.store.ledger import LEDGER_SCHEMA
from ssah_index.store.manifest import LEDGER, ORIGIN, SUMMARY, SegmentEntry
from ssah_index.store.place import RESTORE, Place
from ssah_index.store.rows import Ids, Rows
from ssah_index.store.shard import Prefetch, read_codes
from ssah_index.types import Codes, Failure, Words

SEGMENTS = "segments"
ORIGIN_FIELDS = 3
"""Numbers a row in origin.u64, which only rows that were built from items have."""
LOOK_UP_ROWS = 32
"""Codes that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What segment.json has of the other files."""

    seals: Mapping[str, Seal]
    """By path below the store."""
    chunk_crc32c: Sequence[int]
    """Of each chunk of codes, padding included."""


def read_summary(place: Place, entry: SegmentEntry) -> Summary:
    """Read and check segment.json.

    Raises
    ------
    CorruptError
        If it is missing or altered.
    """
    folder = f"{SEGMENTS}/{entry.folder}"
    path = f"{place}/{folder}/{SUMMARY}"
    try:
        content = place.read(f"{folder}/{SUMMARY}")
    except FileNotFoundError as error:
        raise CorruptError(f"{path} is missing", "the hashes of a segment", GONE) from error
    if xxhash.xxh3_64_hexdigest(content) != entry.xxh3:
        raise CorruptError(f"{path} is altered", f"content of hash {entry.xxh3}", RESTORE)
    held = decode(content, path)
    seals = held.seals("files")
    if {name: seal.size for name, seal in seals.items()} | {SUMMARY: len(content)} != entry.sizes:
        raise held.wrong("files", "the files and sizes that the manifest has")
    return Summary(
        {f"{folder}/{name}": seal for name, seal in seals.items()},
        held.integers("chunk_crc32c", (1 << 32) - 1),
    )


class SegmentFiles:
    """The files of one segment, which never change; shared by all snapshots that have it.

    Parameters
    ----------
    place : Place
        The store's.
    entry : SegmentEntry
        As the manifest names it.
    nbytes : int
        Bytes of a code.
    ids : {"string", "int64"}
        What the store's keys are.
    whole : bool
        Check that all files are there.

    Raises
    ------
    CorruptError
        If a file is missing or of another size than the manifest says, where the place can
        tell at once. No content is read, so an altered byte is not noticed here.
    """

    def __init__(
        self, place: Place, entry: SegmentEntry, nbytes: int, ids: IdKind, *, whole: bool = True
    ) -> None:
        self.entry = entry
        self._place = place
        self._folder = f"{SEGMENTS}/{entry.folder}"
        self._nbytes = nbytes
        self._ids = ids
        if whole:
            place.check(self._folder, entry.sizes)

    @cached_property
    def summary(self) -> Summary:
        """What segment.json says, checked when first asked for."""
        return read_summary(self._place, self.entry)

    def _bring(self, part: str) -> Path:
        """Have the files whose paths begin with ``part`` on this machine; their folder."""
        start = f"{self._folder}/{part}"
        seals = self.summary.seals
        self._place.bring({path: s for path, s in seals.items() if path.startswith(start)})
        return self._place.root / self._folder

    @cached_property
    def _mapped(self) -> tuple[Codes, Prefetch]:
        return read_codes(self._bring("codes/"), self.entry.rows, self._nbytes)

    @property
    def codes(self) -> Codes:
        """uint8 (n, nbytes), mapped read-only, for a scan."""
        return self._mapped[0]

    @cached_property
    def _scattered(self) -> Codes:
        """The same in a map of its own: to read ahead would fetch a hundred times too much."""
        folder = self._bring("codes/")
        return read_codes(folder, self.entry.rows, self._nbytes, mmap.MADV_RANDOM)[0]

    def look_up(self, rows: NDArray[np.int64]) -> Codes:
        """Codes of a few rows, uint8 (m, nbytes)."""
        codes = self._scattered
        pieces = [rows[i : i + LOOK_UP_ROWS] for i in range(0, len(rows), LOOK_UP_ROWS)]
        parts = at_once(lambda some: codes.take(some, axis=0), pieces)
        return np.concatenate([np.empty((0, self._nbytes), np.uint8), *parts])

    @cached_property
    def words(self) -> Words:
        """uint64 (n, words); a view of the map when nbytes is a multiple of 8."""
        return to_words(self.codes)

    def prefetch(self) -> None:
        """Have the codes read ahead, before a scan comes to them."""
        self._mapped[1]()

    @cached_property
    def rows(self) -> Rows:
        """Ids, sources, texts, labels and the users' columns."""
        self._bring("id")
        return Rows(self._bring("rows"), self.entry.rows, self._ids)

    @cached_property
    def origins(self) -> NDArray[np.uint64] | None:
        """What each row was made of, uint64 (n, ORIGIN_FIELDS), zeros where it is unknown.

        None if all of it is unknown: rows of `Store.append` have no origins, nor do those of
        older releases. The numbers are the ingest's own; the store only keeps them.
        """
        seal = self.summary.seals.get(f"{self._folder}/{ORIGIN}")
        if seal is None or seal.size != self.entry.rows * ORIGIN_FIELDS * 8:
            return None
        mapped = map_file(self._bring(ORIGIN) / ORIGIN, mmap.MADV_RANDOM)
        return np.frombuffer(mapped, "<u8").reshape(-1, ORIGIN_FIELDS)

    def failures(self) -> list[Failure]:
        """The ledger's records of this segment."""
        if not self.entry.failed:
            return []
        path = self._bring(LEDGER) / LEDGER
        try:
            with open_file(path) as file, pq.ParquetFile(file) as ledger:
                return _failures(ledger, self.entry.failed)
        except FileNotFoundError as error:
            raise CorruptError(f"{path} is missing", "the rows that failed", GONE) from error
        except SsahError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
            raise CorruptError(
                f"{path} cannot be read ({error})"[:400],
                f"a Parquet file of {self.entry.failed} rows that failed",
                RESTORE,
            ) from error


def _failures(ledger: pq.ParquetFile, n: int) -> list[Failure]:
    """The rows of a ledger, which are n."""
    if ledger.metadata.num_rows != n or not ledger.schema_arrow.equals(LEDGER_SCHEMA):
        raise ValueError(f"{ledger.metadata.num_rows} rows of {ledger.schema_arrow.names}")
    table = ledger.read()
    table.validate(full=True)
    if table.num_rows != n or any(column.null_count for column in table.columns):
        raise ValueError("values are missing")
    return [Failure(**record) for record in table.to_pylist()]


class Segment:
    """A segment as one snapshot has it: at a position, and with rows that are deleted.

    Parameters
    ----------
    files : SegmentFiles
    first_row : int
        Position of its first row in the snapshot.
    deleted : BitMap
        Positions in the segment that are deleted in the snapshot.
    """

    def __init__(self, files: SegmentFiles, first_row: int, deleted: BitMap) -> None:
        self.files = files
        self.entry = files.entry
        self.first_row = first_row
        self.deleted = deleted

    def __len__(self) -> int:
        """Rows, deleted ones included: positions stay."""
        return self.entry.rows

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.entry.rows - len(self.deleted)

    @property
    def codes(self) -> Codes:
        """uint8 (n, nbytes), mapped read-only."""
        return self.files.codes

    @property
    def rows(self) -> Rows:
        """Ids, sources, texts, labels and the users' columns."""
        return self.files.rows

    def find(self, ids: Ids) -> BitMap:
        """Rows that have one of the ids and are not deleted."""
        return BitMap(ids.meet(self.rows.ids)[1]) - self.deleted

    def keep(self) -> NDArray[np.bool_]:
        """Bool (n,), True where a row is not deleted."""
        keep = np.ones(len(self), np.bool_)
        keep[np.array(self.deleted, np.int64)] = False
        return keep
