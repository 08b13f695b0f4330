"""Icons of the PyPI package mkdocs-material as image-text pairs with labels.

The image is the icon, the text the words of its file name, the labels those words that
stand on 30 icons or more. The icons are MIT, Apache-2.0, CC BY 4.0 and CC0 works of their
authors; they are rendered on the user's machine and are no part of this package.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ssah_index.errors import MissingExtraError
from ssah_index.types import Progress

SIZE = 64
MIN_LABEL_ICONS = 30
HELD_OUT = 0.1
TABLE = "icons.jsonl"


def render_icons(database: Path, held_out: Path, progress: Progress) -> None:
    """Render every icon into one of two folders, each with its table of path and text.

    Parameters
    ----------
    database, held_out : Path
        Folders for nine icons in ten, and for the tenth. The tables are written last: a
        folder with a table is complete.
    progress : Progress

    Raises
    ------
    MissingExtraError
        If mkdocs-material or resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise _missing("resvg-py") from error
    package = find_spec("material")
    if package is None or package.origin is None:
        raise _missing("mkdocs-material")
    root = Path(package.origin).parent / "templates/.icons"
    names = sorted(
        path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.svg")
    )
    words = {name: name.rsplit("/", 1)[-1].split("-") for name in names}
    counts = Counter(word for own in words.values() for word in set(own))
    chosen = set(random.Random(0).sample(names, round(HELD_OUT * len(names))))
    records: dict[Path, list[dict[str, object]]] = {database: [], held_out: []}
    for number, name in enumerate(names):
        folder = held_out if name in chosen else database
        target = folder / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing = resvg_py.svg_to_bytes(
            svg_path=str(root / f"{name}.svg"), width=SIZE, height=SIZE, background="white"
        )
        target.write_bytes(bytes(drawing))
        labels = sorted({word for word in words[name] if counts[word] >= MIN_LABEL_ICONS})
        records[folder].append(
            {
                "path": f"{name}.png",
                "id": name,
                "text": " ".join(words[name]),
                "labels": labels,
            }
        )
        progress(number + 1, len(names), "rendering icons")
    for folder, lines in records.items():
        _write_table(folder / TABLE, lines)


def _write_table(path: Path, records: Sequence[dict[str, object]]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
    temporary.rename(path)


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f"{package} is not installed", "the demo extra", "Run: pip install 'ssah-index[demo]'"
    )
