"""Search of codes that are in memory already, without a store."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssah_index.codes import allowed_rows, as_codes, check_bits, to_words
from ssah_index.index import FlatIndex
from ssah_index.search.spec import search_spec
from ssah_index.stop import Stop
from ssah_index.types import BitOrder, Hits


def search_codes(
    codes: Any,
    queries: Any,
    *,
    k: int | None = None,
    radius: int | None = None,
    where_rows: Any = None,
    limit: int | None = None,
    threads: int | None = None,
    stop: Stop | None = None,
    bitorder: BitOrder = "little",
) -> Hits:
    """Search an array of codes, exactly; this is ``ssah_index.search_codes``.

    Parameters
    ----------
    codes : uint8 (n, nbytes), bool (n, bits), Arrow FixedSizeBinary, or DLPack uint8
        What is searched, where it lies: 64-bit words are not copied, and a mapped file may be
        larger than memory.
    queries : the same, nq of them
    k, radius, where_rows, limit, threads, stop
        As `Searcher.search` takes them.
    bitorder : {"little", "big"}
        Of both, where they are packed: "big" for what np.packbits packs unless told otherwise.
        Big codes are copied.

    Returns
    -------
    Hits
        Rows are positions in ``codes``; ascending (distance, row).

    Raises
    ------
    CodeError, QueryError, TooManyHitsError, DeadlineError, CancelledError
        As `Searcher.search` does.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0], [255], [1]], np.uint8)
    >>> hits = search_codes(codes, np.zeros((1, 1), np.uint8), k=2)
    >>> hits.rows, hits.distances
    (array([0, 2]), array([0, 1], dtype=int32))
    """
    database = as_codes(codes, bitorder=bitorder)
    wanted = as_codes(queries, 8 * database.shape[1], "query codes", bitorder=bitorder)
    spec = search_spec(
        len(database),
        k=10 if k is None and radius is None else k,
        radius=radius,
        allowed=allowed_rows(where_rows, None, len(database)),
        limit=limit,
        threads=threads,
        stop=stop,
    )
    return FlatIndex.of(database).search(to_words(wanted), spec)


def warm_up(bits: int) -> None:
    """Load, or compile, whatever a search of codes of this width may need.

    For services, before the first request: takes some hundredths of a second once the
    kernels are cached on disk, and seconds before.

    Parameters
    ----------
    bits : int
        Code width.

    Raises
    ------
    CodeError
        If codes cannot have that width.
    """
    codes = np.zeros((8, check_bits(bits) // 8), np.uint8)
    for nq in (1, 8):
        for where_rows in (None, [0], [True] * 8):
            search_codes(codes, codes[:nq], k=1, where_rows=where_rows)
