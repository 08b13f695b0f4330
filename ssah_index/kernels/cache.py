"""Where compiled kernels are kept, and `njit` that works where nothing can be.

Numba keeps them beside the source, or else in the user's folder for caches, and refuses to
compile where it can write neither: a package of the system, a user without a home. Then they
are kept in a folder of this user below the one for temporary files; and where not even that
can be had, or the disk is full, they are compiled anew in each process.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config

PRIVATE = 0o700


def njit(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile as ``numba.njit`` does, without a cache where that is the obstacle."""

    def compile_kernel(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(*signature, **options)(function)
        except Exception:  # of a kernel itself, it comes again
            if not options.get("cache"):
                raise
            return numba.njit(*signature, **{**options, "cache": False})(function)

    return compile_kernel


def choose_folder() -> None:
    """Let Numba keep kernels in a temporary folder, if it finds no other place."""
    if _finds_a_place():
        return
    with contextlib.suppress(OSError):
        folder = Path(tempfile.gettempdir(), f"ssah-index-numba-{os.getuid()}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(PRIVATE)
        if _is_private(folder):
            config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


def _finds_a_place() -> bool:
    try:
        numba.njit(cache=True)(_nothing)
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    """What Numba is asked to find a place for; it is never compiled."""


def _is_private(folder: Path) -> bool:
    """Whether nobody else may write into it: what it holds is loaded as code."""
    found = folder.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )


choose_folder()
