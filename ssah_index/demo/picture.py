"""One picture: a row for each query, with the icons found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

ICON = 64
CELL = 132
LEFT = 190
ROW = 118
MARGIN = 16
NAME_CHARACTERS = 19


def draw_answers(
    answers: Mapping[str, Sequence[Mapping[str, Any]]], icons: Path, target: Path
) -> None:
    """Draw queries and what they found.

    Parameters
    ----------
    answers : mapping of str to sequence of hits
        By query: a text, or the path of an image; hits as ``ssah-index query`` prints them.
    icons : Path
        The folder whose icons were found.
    target : Path
        The PNG to write.
    """
    from PIL import Image, ImageDraw

    columns = max((len(hits) for hits in answers.values()), default=0)
    size = (LEFT + columns * CELL + MARGIN, len(answers) * ROW + 2 * MARGIN)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for number, (query, hits) in enumerate(answers.items()):
        top = MARGIN + number * ROW
        if number:
            pen.line((MARGIN, top - 8, size[0] - MARGIN, top - 8), fill="#dddddd")
        if Path(query).is_file():
            picture.paste(_icon(Path(query)), (MARGIN, top))
            _write(pen, (MARGIN, top + ICON + 6), Path(query).stem[:NAME_CHARACTERS], 12)
        else:
            _write(pen, (MARGIN, top + 22), query, 18)
        for column, hit in enumerate(hits):
            left = LEFT + column * CELL
            picture.paste(_icon(icons / hit["source"]), (left, top))
            name = str(hit["id"]).rsplit("/", 1)[-1][:NAME_CHARACTERS]
            _write(pen, (left, top + ICON + 6), name, 12)
            _write(pen, (left, top + ICON + 22), f"distance {hit['distance']}", 10)
    picture.save(target)


def _icon(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").resize((ICON, ICON))


def _write(pen: ImageDraw, place: tuple[int, int], text: str, size: int) -> None:
    from PIL import ImageFont

    pen.text(place, text, fill="black", font=ImageFont.load_default(size))
