"""How a search is ended early: by a deadline, by another thread, or by Ctrl-C.

Relies on NumPy and the error tree.
"""

from __future__ import annotations

import time

import numpy as np

from ssah_index.errors import CancelledError, DeadlineError


class Stop:
    """A deadline and a switch, for one search or for all that one request needs.

    Parameters
    ----------
    timeout_s : float, optional
        Seconds from now after which searches that were given this object end with
        `DeadlineError`; None: only `cancel` ends them.

    Notes
    -----
    Kernels read ``flag`` once a block of codes, without the GIL: a search ends within a
    millisecond of `cancel`, whatever its size. Once stopped, it stays stopped.

    A copy in another process, or by `copy`, has a switch of its own and what is left of the time.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self.flag = np.zeros(1, np.uint8)
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def __getstate__(self) -> tuple[bool, float | None, float | None]:
        # Clocks of two machines have nothing in common but the length of a second.
        return bool(self.flag[0]), self._timeout_s, self.remaining_s()

    def __setstate__(self, state: tuple[bool, float | None, float | None]) -> None:
        stopped, self._timeout_s, left_s = state
        self.flag = np.array([stopped], np.uint8)
        self._end = None if left_s is None else time.monotonic() + left_s

    def cancel(self) -> None:
        """End every search that was given this object; safe from any thread."""
        self.flag[0] = 1

    def remaining_s(self) -> float | None:
        """Seconds until the deadline, 0 or more; None if there is none."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise if it is time to stop.

        Raises
        ------
        DeadlineError, CancelledError
        """
        if self.remaining_s() == 0.0:
            raise DeadlineError(
                f"no answer within {self._timeout_s} s",
                "a search that ends before its deadline",
                "Allow more time, or ask fewer queries at once.",
            )
        if self.flag[0]:
            raise CancelledError(
                "the search was cancelled", "nobody to call Stop.cancel", "Search again."
            )
