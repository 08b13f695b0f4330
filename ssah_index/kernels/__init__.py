"""Popcount kernels and the scan built on them; the only door to Numba.

Kernels take C-contiguous arrays and an ``out``, check nothing and release the GIL.
Each is made once for each number of words a code has: with that number a constant,
LLVM unrolls the words and vectorises the codes (12 to 15 G words/s a core on a CPU with
AVX-512 VPOPCNTDQ, against 1 for one loop over a run-time number of words).
"""

from ssah_index.kernels.distances import hamming_distances
from ssah_index.kernels.scan import scan

__all__ = ["hamming_distances", "scan"]
