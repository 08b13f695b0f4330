"""Keep the figures and a picture of a demo run: ``python -m benchmarks.demo FOLDER``."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.machine import PAGES, RESULTS, describe
from ssah_index.cli.demo import HITS, TEXTS
from ssah_index.demo import draw_answers

PICTURE = PAGES.parent / "answers.png"
DRAWN = "material/"
"""Ids of the Material Design Icons, whose licence (Apache-2.0) lets this project show them."""
SEARCHED = 256
"""Hits of a query, among which there are enough of that set."""
SHOWN_TEXTS = 4


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
    answers = {text: _answer(folder / "icons.ssah", text) for text in TEXTS[:SHOWN_TEXTS]}
    draw_answers(answers, folder / "icons", PICTURE)


def _answer(store: Path, text: str) -> list[dict[str, Any]]:
    """The nearest icons of the set that is drawn."""
    command = [sys.executable, "-m", "ssah_index", "query", str(store), "--text", text]
    run = subprocess.run([*command, "-k", str(SEARCHED)], check=True, stdout=subprocess.PIPE)
    hits = map(json.loads, run.stdout.splitlines())
    return list(islice((hit for hit in hits if hit["id"].startswith(DRAWN)), HITS))


if __name__ == "__main__":
    main()
