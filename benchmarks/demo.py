"""Keep the figures of a demo run: ``python -m benchmarks.demo FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.machine import RESULTS, describe


def main() -> None:
    """Copy the demo's scores and its encoder's options, with machine and commit."""
    folder = Path(sys.argv[1])
    spec = json.loads((folder / "encoder/encoder.json").read_text())["spec"]
    figures = {
        "machine": describe("torch", "mkdocs-material"),
        "bits": spec["bits"],
        "passes": spec["passes"],
        "seed": spec["seed"],
        "scores": json.loads((folder / "map.json").read_text()),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
