"""How a command ends that did not do what was asked: exit codes, and reports of bugs."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Mapping

from ssah_index import __version__
from ssah_index.cli.console import say
from ssah_index.errors import (
    EncoderError,
    MissingExtraError,
    SsahError,
    StoreError,
    WriteFailedError,
)

DEBUG = "SSAH_INDEX_DEBUG"
EXIT_CODES: Mapping[int, str] = {
    0: "done",
    1: "query --exit-status: some query had no hit",
    2: "wrong usage or input",
    3: "done, but some rows failed; each is named and counted\n"
    "train, eval: or the codes have collapsed",
    4: "store or encoder missing, damaged or not matching; verify: damage was found",
    5: "disk, memory or standard output full, read-only, closed or not permitted",
    70: f"a bug of ours; the message says where its traceback is, and {DEBUG}=1 shows it",
    130: "interrupted",
}
"""What every exit code means; no command ends with another."""
MACHINE = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
)
"""What the operating system refuses for reasons that lie in the machine."""
PATH = (errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)
"""What it refuses for reasons that lie in a path."""
SHOWN_CHARACTERS = 300


def exit_codes_help() -> str:
    """The end of ``ssah-index --help``."""
    lines = ["\b", "Exit codes:"]
    for code, meaning in EXIT_CODES.items():
        first, *more = meaning.split("\n")
        lines += [f"  {code:<4} {first}", *(f"       {line}" for line in more)]
    return "\n".join(lines)


def exit_code(error: SsahError) -> int:
    """The exit code that tells a script what kind of error it was."""
    if isinstance(error, WriteFailedError):
        return 5
    if isinstance(error, (StoreError, EncoderError, MissingExtraError)):
        return 4
    return 2


def report(error: Exception) -> int:
    """Say what went wrong, in a line, and return the exit code."""
    if isinstance(error, SsahError):
        say(f"Error: {error}")
        return exit_code(error)
    if isinstance(error, MemoryError):
        say(
            f"Error: memory is used up ({_line(error)}); expected enough for the work at hand. "
            "Give it smaller pieces, or a machine with more."
        )
        return 5
    number = error.errno if isinstance(error, OSError) else None
    if number in (*MACHINE, *PATH):
        say(
            f"Error: the operating system refuses ({_line(error)}); expected permission, room "
            "and a working path. Correct the path, or look at the machine."
        )
        return 5 if number in MACHINE else 2
    _report_bug(error)
    return 70


def _line(error: BaseException) -> str:
    """An error in one line that is not too long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _report_bug(error: Exception) -> None:
    trace = "".join(traceback.format_exception(error))
    try:
        where = f"The traceback is in {_save(trace)}: report it"
    except OSError as refused:
        where = (
            f"The traceback could not be saved ({refused.strerror or refused}); "
            f"{DEBUG}=1 shows it: report it"
        )
    say(
        f"Error: this is a bug in ssah-index {__version__} ({_line(error)}). {where}, with the "
        "command and what it read, to whoever maintains the package (pip show -v ssah-index)."
    )
    if os.environ.get(DEBUG, "0") not in ("", "0"):
        say(trace)


def _save(trace: str) -> str:
    """Write a traceback where the user finds it; nobody else may read it."""
    import platform  # with tempfile, 5 ms that --help does without
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="ssah-index-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(
            f"ssah-index {__version__}, Python {platform.python_version()}, "
            f"{platform.platform()}\n{shlex.join(sys.argv)}\n\n{trace}"
        )
    return path
