"""A small world that can be learnt: coloured squares and the words for them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ssah_index.types import Item

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
PLACES = {"left": (0, 8), "right": (24, 8), "top": (12, 0), "bottom": (12, 16)}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """180 pairs: a square of one colour in one place, and a text that says so."""
    folder = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    items = []
    for number in range(180):
        colour = list(COLOURS)[number % 3]
        place = list(PLACES)[number // 3 % 4]
        pixels = random.integers(200, 255, (32, 40, 3), dtype=np.uint8)
        x, y = PLACES[place]
        pixels[y : y + 16, x : x + 16] = COLOURS[colour]
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        text = f"{colour} square {place} item{number % 9}"
        items.append(
            Item(id=path.name, source=path.name, image=path, text=text, labels=(colour, place))
        )
    return items
