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


def main() -> None:
    """Print the times."""
    bare = least_seconds("-c", "pass")
    figures = {
        "bare_python_s": bare,
        "import_above_bare_s": least_seconds("-c", "import ssah_index") - bare,
        "help_s": least_seconds("-m", "ssah_index", "--help"),
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
