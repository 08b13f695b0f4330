"""Arrays from the files the field trades in: MATLAB 5 and 7.3, HDF5, NumPy.

Each file is asked for arrays under a list of known names. A MATLAB 7.3 file is HDF5 with
its axes reversed; they are turned back here, so that the callers see MATLAB's shapes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssah_index.errors import MissingExtraError, SourceError, SsahError

Array = NDArray[Any]
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
HDF5_PLACES = (0, 512)
"""Where the magic may stand; MATLAB puts a block of 512 bytes before it."""


def read_arrays(files: Sequence[Path], names: Mapping[str, Sequence[str]]) -> dict[str, Array]:
    """Read what is wanted from the first file that has it.

    Parameters
    ----------
    files : sequence of Path
        .mat of either kind, .h5, .hdf5, .npz.
    names : mapping of str to sequence of str
        For each thing wanted, the names it may have; the first that is there is read.

    Returns
    -------
    dict of str to array
        One for each key of ``names``.

    Raises
    ------
    SourceError
        If a file cannot be read, or something is in none of them; all that lacks is named.
    """
    found: dict[str, Array] = {}
    seen = []
    for path in files:
        with _open(path) as (present, read):
            seen.append(f"{path.name} ({', '.join(sorted(present)) or 'nothing'})")
            for what, known in names.items():
                name = next((name for name in known if name in present), None)
                if what not in found and name is not None:
                    found[what] = read(name)
    lacking = [f"{what} ({', '.join(names[what])})" for what in names if what not in found]
    if lacking:
        raise SourceError(
            f"no {'; no '.join(lacking)} in {'; '.join(seen) or 'no files'}",
            "an array under one of the names in brackets",
            "Add the file that has it, or name its key.",
        )
    return found


@contextmanager
def _open(path: Path) -> Iterator[tuple[list[str], Callable[[str], Array]]]:
    """The names in a file and how to read one; OS and format errors become SourceError."""
    try:
        with path.open("rb") as file:
            head = file.read(HDF5_PLACES[-1] + len(HDF5_MAGIC))
        if any(head[place:].startswith(HDF5_MAGIC) for place in HDF5_PLACES):
            with optional("h5py").File(path, "r") as group:
                arrays = [name for name, node in group.items() if hasattr(node, "shape")]
                yield arrays, lambda name: _from_hdf5(group[name])
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                yield list(archive), archive.__getitem__
        else:
            io = optional("scipy.io")
            present = [name for name, _, _ in io.whosmat(path)]
            yield present, lambda name: io.loadmat(path, variable_names=[name])[name]
    except (SsahError, MemoryError):
        raise
    except Exception as error:
        # For a damaged file scipy, h5py, zipfile and zlib raise a dozen unrelated kinds.
        raise SourceError(
            f"{path} cannot be read ({error})",
            "a whole .mat, .h5 or .npz file",
            "Fetch it again, or check the path.",
        ) from error


def _from_hdf5(node: Any) -> Array:
    array = np.asarray(node[()])
    return array.T if "MATLAB_class" in node.attrs else array


def optional(module: str, purpose: str = "to read this file", install: str = "") -> Any:
    """Import a module that not every user has.

    Parameters
    ----------
    module : str
    purpose : str
        What it is needed for, from "to" or "for" on.
    install : str
        What pip calls it, if not as its module.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{package} is not installed",
            f"{package} {purpose}",
            f"pip install {install or package}",
        ) from error
