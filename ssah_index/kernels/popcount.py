"""The population count of a 64-bit word."""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic


def _popcount(_typing_context: Any, word: Any) -> Any:
    """Number of one bits in ``word``, as LLVM's ctpop.

    LLVM turns a plain loop over it into vpopcntq where the CPU has that, so no
    instruction is named here.
    """

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return word(word), generate


popcount: Any = intrinsic(_popcount)
"""Callable from kernels: uint64 to uint64."""
