"""Runs kernel calls on several cores for one caller, who can be interrupted meanwhile.

Kernels run in the threads of one pool, as many as there are cores, whatever the number of
callers: cores are never fought over, and an interpreter that serves other threads keeps
its time. The caller sleeps, so Ctrl-C and deadlines reach it at once. Numba's own threads
are not used: its default layer must not be entered from two threads at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeAlias

from ssah_index.stop import Stop

Task: TypeAlias = Callable[[], None]

_pool: list[ThreadPoolExecutor] = []


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(tasks: Sequence[Task], threads: int, stop: Stop, *, inline: bool = False) -> None:
    """Run tasks, each one kernel call that reads ``stop.flag``, and return when all are done.

    Parameters
    ----------
    tasks : sequence of callables
        Begun in this order, which is the order of memory.
    threads : int
        Most tasks at a time.
    stop : Stop
    inline : bool
        Run them in the caller's own thread: for work of a millisecond, where handing it
        over costs too much.

    Raises
    ------
    DeadlineError, CancelledError
        When stopped; no task of this call is running any more.
    """
    if inline:
        for task in tasks:
            task()
        stop.check()
        return
    pending = deque(tasks)

    def work() -> None:
        while not stop.flag[0]:
            try:
                task = pending.popleft()
            except IndexError:
                return
            task()

    futures = [_shared_pool().submit(work) for _ in range(min(threads, len(tasks)))]
    try:
        done, _ = wait(futures, stop.remaining_s(), FIRST_EXCEPTION)
        for future in done:
            future.result()
        stop.check()
    except BaseException:
        # The tasks write into arrays of the caller: none may outlive this call.
        stop.cancel()
        wait(futures)
        raise


def _shared_pool() -> ThreadPoolExecutor:
    # Two callers may both make one; the second is never used, and has no threads yet.
    if not _pool:
        _pool.append(ThreadPoolExecutor(cores(), thread_name_prefix="ssah-index"))
    return _pool[0]


# A forked child has the pool, but not its threads.
os.register_at_fork(after_in_child=_pool.clear)
