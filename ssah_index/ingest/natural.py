"""Natural order of file names: 2.png before 10.png."""

from __future__ import annotations

import re
from pathlib import PurePath

_DIGITS = re.compile(r"(\d+)")


def natural_key(path: PurePath | str) -> list[list[tuple[int, int, str]]]:
    """A sort key that compares runs of digits as numbers, folder by folder.

    Examples
    --------
    >>> sorted(["a10", "a2", "a1b", "a/3"], key=natural_key)
    ['a/3', 'a1b', 'a2', 'a10']
    """
    return [_pieces(part) for part in str(path).split("/")]


def _pieces(name: str) -> list[tuple[int, int, str]]:
    """Each piece names its own kind, so that numbers and texts never meet."""
    pieces = _DIGITS.split(name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces if p]
