"""Runs the command line in a process of its own, forked from one that has imported it already.

Importing torch and the kernels takes seconds, which a hundred commands would each pay. The
process they are forked from has run nothing, so each starts as a fresh one does; how a command
starts is tested with interpreters of their own (test_main.py, test_commands.py).
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

TIMEOUT_S = 120
_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(
    ["encoders.plugin", "ssah_index.cli.query", "ssah_index.index.mih", "ssah_index.ingest"]
)


def run_cli(
    *words: object, stdin: str | bytes | None = None, expect: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run ``ssah-index`` with these arguments and check its exit code.

    Parameters
    ----------
    words
        Arguments, turned into text.
    stdin : str or bytes, optional
        What is piped in; nothing when left out.
    expect : int
        The exit code it must have.
    """
    arguments = [str(word) for word in words]
    given = stdin.encode() if isinstance(stdin, str) else stdin or b""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        code = _run(arguments, given, out, errors)
        texts = [_text(stream) for stream in (out, errors)]
    finished = subprocess.CompletedProcess(["ssah-index", *arguments], code, *texts)
    assert finished.returncode == expect, (finished.returncode, finished.stderr)
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished


def _run(arguments: list[str], given: bytes, out: IO[bytes], errors: IO[bytes]) -> int:
    """The exit code of a command in a process of its own."""
    here = os.getpid()
    with tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        # The fork is no child of ours: it opens our files by their names under /proc.
        paths = [f"/proc/{here}/fd/{file.fileno()}" for file in (source, out, errors)]
        process = _forkserver.Process(
            target=_command, args=(arguments, paths, str(Path.cwd()), dict(os.environ))
        )
        process.start()
        process.join(TIMEOUT_S)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"ssah-index {arguments} ran for {TIMEOUT_S} s")
        code = process.exitcode
        process.close()
    assert code is not None
    return code


def _command(
    arguments: list[str], paths: list[str], folder: str, environment: dict[str, str]
) -> None:
    """What the forked process does: streams, folder and environment as they are here, then run."""
    for number, (path, flags) in enumerate(
        zip(paths, (os.O_RDONLY, *[os.O_WRONLY] * 2), strict=True)
    ):
        os.dup2(os.open(path, flags), number)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    from ssah_index.cli.main import main

    main(arguments)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8")
