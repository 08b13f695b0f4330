"""What a run says of its passes: means of loss terms, and a line a pass in a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssah_index.errors import SourceError, WriteFailedError

LEADING = ("pass", "seconds", "loss")
"""The columns that every log begins with; by them a log is known."""


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Sum of the weighted terms of an objective: the loss."""
    return torch.stack(list(terms.values())).sum()


class Tally:
    """Sums of what steps report by name, kept on their device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Count one step for each name, a scalar each."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double()
            self._steps[name] = self._steps.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean of each name over the steps that had it, "loss" first; the tally begins anew."""
        names = sorted(self._sums, key=lambda name: name != "loss")
        means = {name: float(self._sums[name]) / self._steps[name] for name in names}
        self._sums, self._steps = {}, {}
        return means


class PassLog:
    """A CSV file with a row a pass.

    It is replaced as a whole with every row, so that a reader, or a run that is killed,
    finds it complete.

    Parameters
    ----------
    path : Path
        Rows that are there of earlier passes are kept.
    finished : int
        Passes that the checkpoint holds; rows of later ones are cut, as they are run again.

    Raises
    ------
    SourceError
        If there is something else at ``path``, or no folder to hold it.
    """

    def __init__(self, path: Path, finished: int) -> None:
        self._path = path
        rows: list[Mapping[str, Any]] = list(check_log(path))
        self._rows = [row for row in rows if int(row["pass"]) <= finished]
        if len(self._rows) < len(rows):
            self._write()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append the row of a pass; its names are columns, None is left blank."""
        self._rows.append(row)
        self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys([*LEADING, *(name for row in self._rows for name in row)]))
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        temporary.replace(self._path)


def check_log(path: Path) -> list[dict[str, str]]:
    """The rows of a log, none where it is not begun; refused where it cannot be written.

    Raises
    ------
    SourceError
        If there is something else at ``path``, or no folder to hold it.
    WriteFailedError
        If that folder cannot be written.
    """
    if not path.parent.is_dir():
        raise SourceError(
            f"no folder {path.parent} for the log {path.name}",
            "a folder that is there",
            "Make it, or give another path.",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise WriteFailedError(
            f"the log {path} cannot be written: its folder is read-only or permission is denied",
            "a folder that can be written",
            "Change the permissions, or give another path.",
        )
    return _rows(path) if os.path.lexists(path) else []


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        if not path.is_file():
            raise ValueError("no regular file")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            ours = tuple(reader.fieldnames or ())[: len(LEADING)] == LEADING
            if ours and all(row["pass"].isdigit() for row in rows):
                return rows
            found = ",".join(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        found = str(error)
    raise SourceError(
        f"{path} is no training log: {found[:100]!r}",
        f"a free path, or a log whose columns begin with {','.join(LEADING)}",
        "Give another path.",
    )
