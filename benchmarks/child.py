"""Steps of a benchmark in processes of their own: alike in cores, memory seen apart."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]
STEP_S = 600.0
"""Seconds that a step may take."""
WATCH_S = 0.1
"""Seconds between two looks at a process's memory."""


def in_child(
    work: Callable[..., Figures], cores: int, *arguments: Any, step_s: float = STEP_S
) -> Figures:
    """What a step returns in a process of its own, on so many cores, within so many seconds.

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
        if not ours.poll(step_s):
            return {"left_out": f"it takes more than {step_s:.0f} s"}
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


@contextmanager
def own_peak(figures: Figures) -> Iterator[None]:
    """Add to figures how much memory of its own the process had at most, mapped files aside."""
    over, most = threading.Event(), [0]

    def watch() -> None:
        while not over.wait(WATCH_S):
            most[0] = max(most[0], _status()["RssAnon"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    figures["own_peak_mb"] = round(most[0] / 1024, 1)


def _status() -> dict[str, int]:
    """Kibibytes of this process's memory, by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
