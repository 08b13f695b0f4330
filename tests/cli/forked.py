"""Runs a command in a forked process, with standard streams as a shell may leave them.

A fork costs milliseconds where a new interpreter costs half a second. Not for commands that load
torch: its threads do not survive a fork.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssah_index.cli.main import main

CLOSED = "closed"
FULL = "/dev/full"
NOWHERE = "/dev/null"
MOST_S = 60
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    code: int
    out: bytes
    err: bytes


def run(
    words: Sequence[object],
    *,
    stdin: bytes | str = b"",
    stdout: str | None = None,
    stderr: str | None = None,
    encoding: str = "utf-8",
    root: bool = True,
) -> Ended:
    """Run a command; streams are `CLOSED`, a path, or kept (stdin: given) when left out.

    Without ``root``, the root user becomes nobody, so that permissions bind.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("in", "out", "err")]
        Path(folder).chmod(0o777)
        if isinstance(stdin, bytes):
            paths[0].write_bytes(stdin)
        chosen = [stdin if isinstance(stdin, str) else None, stdout, stderr]
        places = [own or str(path) for own, path in zip(chosen, paths, strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            child = os.fork()
        if not child:
            code = 99
            try:
                if not root and os.getuid() == 0:
                    os.setuid(NOBODY)
                code = _child([str(word) for word in words], places, encoding)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        out, err = (path.read_bytes() if path.exists() else b"" for path in paths[1:])
        return Ended(os.waitstatus_to_exitcode(status), out, err)


def _child(words: list[str], places: list[str], encoding: str) -> int:
    signal.alarm(MOST_S)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, place in enumerate(places):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(os.devnull if place == CLOSED else place, flags)
        os.dup2(opened, number)
        os.close(opened)
    for number, place in enumerate(places):
        if place == CLOSED:
            os.close(number)
    streams = [
        None if place == CLOSED else os.fdopen(number, mode, encoding=encoding)
        for number, (place, mode) in enumerate(zip(places, "rww", strict=True))
    ]
    sys.stdin, sys.stdout, sys.stderr = streams
    try:
        main(words)
    except SystemExit as ended:
        if sys.stdout is not None:
            sys.stdout.flush()  # as the interpreter does at its end
        return int(ended.code)
