"""The flat index: an exact scan of every segment, built from nothing but the codes."""

from __future__ import annotations

from collections.abc import Sequence

from ssah_index.kernels import scan
from ssah_index.store import Segment
from ssah_index.types import Hits, Words


class FlatIndex:
    """Exact search by block minima; the oracle for every other index.

    Parameters
    ----------
    segment : Segment
        One segment; its codes are mapped, not copied, when nbytes is a multiple of 8.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    @classmethod
    def over(cls, segments: Sequence[Segment]) -> list[FlatIndex]:
        """One index a segment: a scan gains nothing from covering many."""
        return [cls(segment) for segment in segments]

    def search(self, queries: Words, *, k: int | None, radius: int | None) -> Hits:
        """Find rows of the snapshot near each query.

        Parameters
        ----------
        queries : uint64 (nq, words)
        k : int or None
            At most this many hits a query.
        radius : int or None
            Greatest distance in bits, inclusive.

        Returns
        -------
        Hits
            Ascending (distance, row); rows are positions in the snapshot.
        """
        hits = scan(self._segment.words, queries, k=k, radius=radius)
        return Hits(hits.distances, hits.rows + self._segment.first_row, hits.lims)
