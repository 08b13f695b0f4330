"""Steps of a benchmark in processes of their own: alike in cores, memory seen apart."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]
STEP_S = 600.0
"""Seconds that a step may take."""


def in_child(work: Callable[..., Figures], cores: int, *arguments: Any) -> Figures:
    """What a step returns in a process of its own, on so many cores.

    Returns
    -------
    dict
        The step's, or ``left_out`` with the reason if it cannot, takes too long, or was killed.

    Raises
    ------
    RuntimeError
        If it raised anything else than NotImplementedError: a wrong answer is no missing figure.
    """
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_answer, args=(theirs, work, cores, arguments))
    child.start()
    theirs.close()
    try:
        if not ours.poll(STEP_S):
            return {"left_out": f"it takes more than {STEP_S:.0f} s"}
        answer: Figures = ours.recv()
        return answer
    except EOFError:
        child.join()
        if child.exitcode == 1:  # what Python gives an exception
            raise RuntimeError("a step failed; what it raised is above") from None
        return {"left_out": "its process was ended"}
    finally:
        child.kill()
        child.join()


def _answer(
    pipe: Connection, work: Callable[..., Figures], cores: int, arguments: Sequence[Any]
) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    try:
        pipe.send(work(*arguments))
    except NotImplementedError as error:
        pipe.send({"left_out": str(error)})


@contextmanager
def peak(figures: Figures) -> Iterator[None]:
    """Add to figures by how much resident memory grew at most, and mapped files among it."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status()
    yield
    after = _status()
    figures["peak_mb"] = round((after["VmHWM"] - before["VmRSS"]) / 1024, 1)
    figures["files_mb"] = round((after["RssFile"] - before["RssFile"]) / 1024, 1)


def _status() -> dict[str, int]:
    """Kibibytes of this process's memory, by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
