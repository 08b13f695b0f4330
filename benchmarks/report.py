"""Write the kept figures into the README and docs/: ``python -m benchmarks.report``.

A block stands between ``<!-- name -->`` and ``<!-- /name -->``; nobody types in there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.billion import FILE as BILLION
from benchmarks.billion import billion
from benchmarks.cells import kept
from benchmarks.encoder_report import TITLES, encoders
from benchmarks.machine import PAGES, RESULTS
from benchmarks.mih import FILE as MIH
from benchmarks.mih_report import mih
from benchmarks.mih_report import plot as plot_mih
from benchmarks.search import FILE as SEARCH
from benchmarks.search_report import plot, search
from benchmarks.store import FILE as STORE
from benchmarks.store_report import store
from benchmarks.summary import summary
from benchmarks.torture import FILE as TORTURE
from benchmarks.torture import torture

README = Path(__file__).parent.parent / "README.md"
REPORTED = (README, *sorted(PAGES.glob("*.md")))
"""Pages with blocks of figures."""


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


def blocks() -> dict[str, str]:
    """Every block by its name."""
    figures = json.loads((RESULTS / "demo.json").read_text())
    files = {name: RESULTS / f"encoders-{name}.json" for name in TITLES}
    cells = {name: kept(path) for name, path in files.items() if path.exists()}
    return {
        "headline": headline(figures),
        "summary": summary(kept(SEARCH), kept(MIH)),
        "demo": demo(figures),
        "encoders": encoders(cells),
        "search": search(kept(SEARCH)),
        "mih": mih(kept(MIH)),
        "billion": billion(json.loads(BILLION.read_text())),
        "store": store(json.loads(STORE.read_text("utf-8"))),
        "torture": torture(json.loads(TORTURE.read_text())),
    }


def render(text: str, found: Mapping[str, str]) -> str:
    """A page with each of its blocks written anew."""
    for name, block in found.items():
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        text = re.sub(pattern, f"<!-- {name} -->\n{block}\n<!-- /{name} -->", text, flags=re.DOTALL)
    return text


def main() -> None:
    """Write the pages and their plots."""
    plot(kept(SEARCH))
    plot_mih(kept(MIH))
    found = blocks()
    for page in REPORTED:
        page.write_text(render(page.read_text("utf-8"), found), "utf-8")


if __name__ == "__main__":
    main()
