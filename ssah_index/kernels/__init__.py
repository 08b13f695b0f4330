"""Popcount kernels and the scan built on them; the only door to Numba.

Kernels take C-contiguous arrays and an ``out``, check nothing and release the GIL.
Each is made once for each number of words a code has: with that number a constant,
LLVM unrolls the words and vectorises the codes (12 to 15 G words/s a core on a CPU with
AVX-512 VPOPCNTDQ, against 1 for one loop over a run-time number of words).
"""

from ssah_index.kernels.distances import hamming_distances
from ssah_index.kernels.merge import merge
from ssah_index.kernels.scan import Extent
from ssah_index.kernels.sparse import scan_allowed
from ssah_index.kernels.team import cores

__all__ = ["Extent", "cores", "hamming_distances", "merge", "scan_allowed"]
