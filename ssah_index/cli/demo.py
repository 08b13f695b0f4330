"""ssah-index demo: the whole way on real icons, by the commands a user would type."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ssah_index.cli.console import print_values, progress, say
from ssah_index.demo import Score, draw_answers, render_icons, score
from ssah_index.store.files import writing

TEXTS = (
    "arrow left",
    "battery",
    "lock open",
    "calendar check",
    "cloud upload",
    "heart",
    "star",
)
HITS = 8
BITS = 128


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
def command(folder: Path) -> None:
    """Train, build and query on 14,344 real icons, in FOLDER (default: demo).

    Renders the icons of the package mkdocs-material, trains an encoder on nine in ten,
    builds a store of them, scores the held-out tenth, and draws FOLDER/answers.png. What an
    earlier run finished is kept; remove FOLDER to start afresh.
    """
    icons, held_out = folder / "icons", folder / "held-out"
    encoder, store, scores = folder / "encoder", folder / "icons.ssah", folder / "map.json"
    if not all((part / "icons.jsonl").exists() for part in (icons, held_out)):
        with writing(folder), progress(quiet=False) as show:
            render_icons(icons, held_out, show)
    if not encoder.exists():
        _run("train", icons, encoder, "--bits", BITS)
    _run("build", icons, store, "--encoder", encoder)
    if not scores.exists():
        with progress(quiet=False) as show:
            results = score(icons, held_out, store, encoder, show)
        unfinished = scores.with_suffix(".tmp")
        with writing(folder):
            unfinished.write_text(json.dumps([asdict(result) for result in results], indent=1))
            unfinished.rename(scores)
    example = held_out / _example(held_out)
    found = [_query(store, *(part for text in TEXTS for part in ("--text", text)))]
    found.append(_query(store, "--image", example))
    answers: dict[str, list[dict[str, Any]]] = {}
    for hit in (hit for hits in found for hit in hits):
        answers.setdefault(hit["query"], []).append(hit)
    with writing(folder):  # before what is printed, whose reader may leave early
        draw_answers(answers, icons, folder / "answers.png")
    _print_scores([Score(**fields) for fields in json.loads(scores.read_text())])
    print_values(
        f"{query}: {', '.join(hit['id'] for hit in hits[:4])}, ..."
        for query, hits in answers.items()
    )
    print_values([f"picture: {folder / 'answers.png'}"])


def _example(held_out: Path) -> str:
    """A held-out icon to search texts by: the first of its largest set with two labels."""
    lines = (held_out / "icons.jsonl").read_text().splitlines()
    records = (json.loads(line) for line in lines)
    return next(
        str(record["path"])
        for record in records
        if record["id"].startswith("material/") and len(record["labels"]) == 2
    )


def _run(*words: object) -> None:
    """Run a command as a user would, showing it; stop where it stops."""
    arguments = [str(word) for word in words]
    say(f"$ ssah-index {shlex.join(arguments)}")
    finished = subprocess.run([sys.executable, "-m", "ssah_index", *arguments], check=False)
    if finished.returncode not in (0, 3):  # 3: done, some rows failed, as it has told
        raise click.exceptions.Exit(finished.returncode)


def _query(store: Path, *words: object) -> list[dict[str, Any]]:
    arguments = ["query", str(store), "-k", str(HITS), *(str(word) for word in words)]
    say(f"$ ssah-index {shlex.join(arguments)}")
    finished = subprocess.run(
        [sys.executable, "-m", "ssah_index", *arguments], stdout=subprocess.PIPE, check=False
    )
    if finished.returncode:
        raise click.exceptions.Exit(finished.returncode)
    return [json.loads(line) for line in finished.stdout.splitlines()]


def _print_scores(scores: list[Score]) -> None:
    print_values([f"{'MAP on held-out icons':24}{'text->image':>12}{'image->text':>12}"])
    print_values(
        f"{row.encoder:24}{row.text_to_image:12.3f}{row.image_to_text:12.3f}" for row in scores
    )
