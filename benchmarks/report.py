"""Write the kept figures into the README: ``python -m benchmarks.report``.

A block stands between ``<!-- name -->`` and ``<!-- /name -->``; nobody types in there.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS

README = Path(__file__).parent.parent / "README.md"


def headline(figures: dict[str, Any]) -> str:
    """One sentence with one number."""
    scores = {score["encoder"]: score for score in figures["scores"]}
    return (
        f"On 14,344 real icons, texts find images with a MAP of "
        f"{scores['trained']['text_to_image']:.2f}; random codes reach "
        f"{scores['random codes']['text_to_image']:.2f}."
    )


def demo(figures: dict[str, Any]) -> str:
    """The demo's table."""
    machine = figures["machine"]
    lines = [
        f"MAP over the whole ranking, {figures['bits']} bits: held-out icons against the store "
        f"(`make demo`; commit {machine['commit']}, {machine['date']}, {machine['cpu']}, "
        f"{machine['cores']} cores, torch {machine['versions']['torch']}, seed "
        f"{figures['seed']}). The encoder's options were chosen on these held-out icons, so "
        "the figures are slightly optimistic.",
        "",
        "| codes | text→image | image→text |",
        "|---|---|---|",
    ]
    lines += [
        f"| {score['encoder']} | {score['text_to_image']:.3f} | {score['image_to_text']:.3f} |"
        for score in figures["scores"]
    ]
    return "\n".join(lines)


def encoders(figures: dict[str, Any]) -> str:
    """MAP on MIRFLICKR-25K by row and width, as many seeds as have been run."""
    cells = figures["cells"]
    widths = sorted({cell["bits"] for cell in cells})
    machine = figures["machine"]
    lines = [
        f"MIRFLICKR-25K ({figures['note']}), 2,000 queries, 18,015 retrieved, 10,000 trained on; "
        "MAP over the whole ranking, image→text / text→image, mean of the seeds that have been "
        f"run (their number) ± standard deviation; {machine['cpu']}, {machine['cores']} cores. "
        "The options of modern were looked for on the queries of seed 0, so its figure is "
        "slightly optimistic.",
        "",
        "| row | " + " | ".join(f"{bits} bits" for bits in widths) + " |",
        "|---" * (len(widths) + 1) + "|",
    ]
    for row in dict.fromkeys(cell["row"] for cell in cells):
        shown = [
            _mean([c for c in cells if c["row"] == row and c["bits"] == bits]) for bits in widths
        ]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _mean(cells: list[dict[str, Any]]) -> str:
    """Both directions of the runs of one row and width."""
    if not cells:
        return "not run"
    parts = []
    for direction in ("image_to_text", "text_to_image"):
        values = [cell[direction] for cell in cells]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        parts.append(f"{statistics.mean(values):.3f}{spread}")
    return f"{' / '.join(parts)} ({len(cells)})"


def render(text: str) -> str:
    """The README with every block written anew."""
    figures = json.loads((RESULTS / "demo.json").read_text())
    on_mirflickr = json.loads((RESULTS / "encoders-mirflickr.json").read_text())
    blocks = {
        "headline": headline(figures),
        "demo": demo(figures),
        "encoders": encoders(on_mirflickr),
    }
    for name, block in blocks.items():
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        text = re.sub(pattern, f"<!-- {name} -->\n{block}\n<!-- /{name} -->", text, flags=re.DOTALL)
    return text


def main() -> None:
    """Write the README."""
    README.write_text(render(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
