"""What a user waits for before anything happens: ``python -m benchmarks.startup``.

Prints one JSON object of seconds: the least of five processes each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time


def least_seconds(*arguments: str) -> float:
    """Least wall time of five Python processes with these arguments."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return min(times)


FIRST_SEARCH = """
import time
import numpy as np
import ssah_index
codes = np.random.default_rng(0).integers(0, 256, (100_000, 8), dtype=np.uint8)
begun = time.perf_counter()
search = ssah_index.search_codes
imported = time.perf_counter()
search(codes, codes[:1], k=10)
print(imported - begun, time.perf_counter() - imported)
"""


def first_search() -> tuple[float, float]:
    """Least seconds of importing the engine and of its first search, compiled before."""
    times = []
    for _ in range(6):  # the first may compile
        command = [sys.executable, "-c", FIRST_SEARCH]
        finished = subprocess.run(command, check=True, capture_output=True, text=True)
        times.append([float(value) for value in finished.stdout.split()])
    engine, search = (min(column) for column in zip(*times, strict=True))
    return engine, search


def main() -> None:
    """Print the times."""
    engine_s, first_search_s = first_search()
    bare = least_seconds("-c", "pass")
    figures = {
        "bare_python_s": bare,
        "import_above_bare_s": least_seconds("-c", "import ssah_index") - bare,
        "engine_import_s": engine_s,
        "first_search_s": first_search_s,
        "help_s": least_seconds("-m", "ssah_index", "--help"),
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
