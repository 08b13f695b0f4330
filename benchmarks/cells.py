"""Cells of a table of runs, kept in a JSON file that several processes may add to."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
KEY = ("row", "bits", "seed")
"""What names a cell of the encoders' tables."""


def kept(path: Path) -> dict[str, Any]:
    """What a file holds: note, machine and cells; no cells where there is no file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {"cells": []}


def is_done(
    path: Path,
    row: str,
    bits: int,
    seed: int,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> bool:
    """Whether a cell is kept that was run with these very options.

    ``defaults`` stand for options that came after the cell was run: its code did what they say.
    """

    def ran_with(cell: Cell) -> Mapping[str, Any]:
        added = {name: defaults[name] for name in options if name in defaults}
        return {**added, **cell["options"]}

    return any(
        _key(cell) == (row, bits, seed) and "options" in cell and ran_with(cell) == dict(options)
        for cell in kept(path)["cells"]
    )


def keep(path: Path, cell: Cell, key: Sequence[str] = KEY, **facts: Any) -> None:
    """Add a cell, in place of an older one of the same name.

    Parameters
    ----------
    path : Path
    cell : dict
    key : sequence of str
        The fields that name it.
    **facts
        What to say of the whole file, for example note and machine.
    """
    with locked(path):
        content = {**kept(path), **facts}
        others = [other for other in content.pop("cells") if _key(other, key) != _key(cell, key)]
        content["cells"] = [*others, cell]
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        temporary.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock: reading, changing and replacing it are one step to others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(cell: Mapping[str, Any], key: Sequence[str] = KEY) -> tuple[Any, ...]:
    return tuple(cell[name] for name in key)
