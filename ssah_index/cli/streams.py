"""The standard streams as commands meet them, however the caller left them.

They may be closed, full, or of an encoding that holds no text of ours. Data and messages are
UTF-8 always. Relies on the standard library alone, so that ``--help`` stays fast.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from ssah_index.errors import SourceError, WriteFailedError

READ_BYTES = 1 << 16
BOM = b"\xef\xbb\xbf"


class OutputClosed(Exception):  # noqa: N818 (no error: the reader had enough, as `head`)
    """Nobody reads our data any more."""


class _Guarded:
    """A text stream, but for what becomes of errors of writing.

    Parameters
    ----------
    stream : text stream or None
        None: it was closed when the process began.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None else io.StringIO()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Let what is still buffered, and flushed once more at exit, go nowhere."""
        with contextlib.suppress(OSError):  # a stream of a test has no descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Data(_Guarded):
    """Standard output: what cannot be written ends the command."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self._failure: Exception | None = None if stream else _unwritten("it is closed")

    def write(self, text: str) -> int:
        if self._failure is not None and text:
            raise self._failure
        return super().write(text)

    def _fail(self, error: OSError) -> None:
        super()._fail(error)
        if isinstance(error, BrokenPipeError):
            self._failure = OutputClosed()
        else:
            self._failure = _unwritten(error.strerror or str(error))
        # Kept, because click tries a stream and swallows what that raises.
        raise self._failure from error


class _Messages(_Guarded):
    """Standard error: work goes on if nobody listens."""


def _unwritten(reason: str) -> WriteFailedError:
    return WriteFailedError(
        f"standard output cannot be written: {reason}",
        "an open file, pipe or terminal with room for the data",
        "Send it elsewhere. What the command has changed in a store stays changed.",
    )


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Guard standard output and standard error while a command runs."""
    _hold_descriptors()
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Data(sys.stdout), _Messages(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


def _hold_descriptors() -> None:
    """Open what is closed of 0, 1 and 2, or the first file of a store would become one of them.

    What any library then prints would be written into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The least free descriptor is given, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def has_lines() -> bool:
    """Whether standard input is a file or a pipe, neither closed nor a person's terminal."""
    return sys.stdin is not None and not sys.stdin.isatty()


def batches_of_lines() -> Iterator[list[str]]:
    r"""Whole lines of standard input, as many as are there without waiting for more.

    So a pipe is served in batches, and a program that writes one line and waits for its
    answer gets it.

    Yields
    ------
    list of str
        Split at LF alone; one CR before it, and a byte order mark at the start of all, are no
        part of a line. Bytes that are no UTF-8 become lone surrogates, as in file names.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    rest, start = b"", True
    while True:
        try:
            chunk = os.read(sys.stdin.fileno(), READ_BYTES)
        except OSError as error:
            raise SourceError(
                f"standard input cannot be read: {error.strerror or error}",
                "lines from a file or a pipe",
                "Redirect another one.",
            ) from error
        *lines, rest = (rest + chunk).split(b"\n")
        lines = [line.removesuffix(b"\r") for line in lines]
        if not chunk and rest:
            lines.append(rest)
        if start and lines:
            lines[0] = lines[0].removeprefix(BOM)
            start = False
            if not chunk and lines == [b""]:  # a mark and nothing else
                return
        if lines:
            yield [line.decode("utf-8", errors="surrogateescape") for line in lines]
        if not chunk:
            return
