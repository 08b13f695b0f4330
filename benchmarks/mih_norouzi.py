"""norouzi/mih, the code of the authors of multi-index hashing, where someone has built it.

$SSAH_NOROUZI names the binary ``mih`` of github.com/norouzi/mih. It reads codes from HDF5, answers
one query after the other on one core and tells the processor time of each.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search import FOLDER
from ssah_index.types import Hits

NAME = "norouzi/mih"
BINARY = os.environ.get("SSAH_NOROUZI")


def tables(n: int, bits: int) -> list[int]:
    """Numbers of tables to try: keys of about log2(n) bits, as its authors advise, and shorter."""
    few = max(round(bits / math.log2(n)), 1)
    return [few, few + 1]


def run(
    binary: str, codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, m: int
) -> tuple[dict[str, Any], dict[str, Any], Hits]:
    """What was built, the point of all queries, and their answers without an order of ties."""
    import h5py

    n, bits = len(codes), 8 * codes.shape[1]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=FOLDER) as folder:
        asked, told = Path(folder) / "in.mat", Path(folder) / "out.mat"
        with h5py.File(asked, "w") as file:
            file["B"], file["Q"] = codes, queries
        options = {"N": n, "B": bits, "m": m, "Q": len(queries), "K": k}
        words = [word for name, value in options.items() for word in (f"-{name}", str(value))]
        said = subprocess.run(
            [binary, str(asked), str(told), *words], check=True, capture_output=True, text=True
        ).stdout
        with h5py.File(told) as file:
            whole = file["mih"][0]
            rows, counts, stats = (file[whole[name]][:] for name in ("res", "nres", "stats"))
    minutes, seconds = re.findall(r"done\. .*wall (\d+)m(\d+)s", said)[0]
    built = {
        "m": m,
        "build_s": 60 * int(minutes) + int(seconds),
        "bytes_a_code": round(float(whole["rss"]) * 2**30 / n, 1),
    }
    times_ms = 1e3 * stats[:, 5]
    median, p99 = np.percentile(times_ms, (50, 99))
    figures = {"ms": median, "p99_ms": p99, "mean_ms": times_ms.mean()}
    point = {name: round(float(value), 5) for name, value in figures.items()}
    batch = {"batch_ms": point["mean_ms"], "batch": len(queries), "queries": len(queries)}
    return built, {"m": m, **point, **batch}, hits_from(rows, counts)


def hits_from(rows: NDArray[np.uint32], counts: NDArray[np.uint32]) -> Hits:
    """Rows counted from one, and for each query how many codes lie at each distance."""
    nq, k = rows.shape
    every = [np.repeat(np.arange(len(line)), np.minimum(line, k))[:k] for line in counts]
    distances, found = np.concatenate(every), rows.reshape(-1).astype(np.int64) - 1
    order = np.lexsort((found, distances, np.repeat(np.arange(nq), k)))
    return Hits(distances[order].astype(np.int32), found[order], np.arange(nq + 1) * k)
