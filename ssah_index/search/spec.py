"""From a caller's arguments to what an index is asked."""

from __future__ import annotations

import numpy as np

from ssah_index.codes import check_k_and_radius
from ssah_index.errors import QueryError
from ssah_index.kernels import cores
from ssah_index.stop import Stop
from ssah_index.types import Bitmap, SearchSpec


def search_spec(
    n: int,
    *,
    k: int | None = None,
    radius: int | None = None,
    allowed: Bitmap | None = None,
    limit: int | None = None,
    threads: int | None = None,
    stop: Stop | None = None,
) -> SearchSpec:
    """Check a caller's numbers; fields are those of `SearchSpec`.

    Parameters
    ----------
    n : int
        Rows that are searched: no more hits are asked for.
    threads : int, optional
        All cores when left out, or when there are fewer.

    Raises
    ------
    QueryError
        If neither k nor radius is given, k, limit or threads is below 1, radius below 0, or
        one of them is no whole number.
    """
    check_k_and_radius(k, radius)
    for name, value in (("limit", limit), ("threads", threads)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise QueryError(f"{name} is {value!r}", "a whole number from 1", f"Correct {name}.")
    return SearchSpec(
        k=None if k is None else int(min(k, max(n, 1))),
        radius=None if radius is None else int(radius),
        allowed=allowed,
        limit=limit,
        threads=cores() if threads is None else min(int(threads), cores()),
        stop=Stop() if stop is None else stop,
    )
