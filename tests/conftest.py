"""Fixtures shared by the folders: a stand-in encoder, small stores, the command line."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ssah_index.store import SegmentEntry, Store, items_table, stage_segment
from ssah_index.types import Codes, Failure, Item, Modality

# Torch's threads spin while they wait: two worker processes of two threads each on two cores
# take ten times as long as with one thread each. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that runs the tests in the background has them ignore SIGINT, and so would the
# processes that tests start in order to interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)


class HashEncoder:
    """A real, if meaningless, encoder: a code is a hash of the text or of the file's bytes."""

    def __init__(self, bits: int = 64, salt: str = "") -> None:
        self.bits = bits
        self.salt = salt

    @property
    def fingerprint(self) -> str:
        return f"hash-{self.bits}-{self.salt}"

    def encode(
        self, modality: Modality, batch: Sequence[Any]
    ) -> tuple[Codes, list[tuple[int, str]]]:
        codes, failures = [], []
        for position, value in enumerate(batch):
            content = value.read_bytes() if isinstance(value, Path) else value.encode()
            if content:
                key = hashlib.shake_128(content + self.salt.encode())
                codes.append(np.frombuffer(key.digest(self.bits // 8), np.uint8))
            else:
                failures.append((position, "nothing in it"))
        return np.array(codes, np.uint8).reshape(-1, self.bits // 8), failures

    def save(self, folder: Path) -> None:
        (folder / "encoder.json").write_text(json.dumps({"kind": "hash"}))


def random_codes(seed: int, n: int, bits: int, values: int = 256) -> NDArray[np.uint8]:
    """uint8 (n, bits / 8); few values make many ties."""
    return np.random.default_rng(seed).integers(0, values, (n, bits // 8), dtype=np.uint8)


def items_for(codes: Codes, prefix: str = "row") -> list[Item]:
    return [
        Item(id=f"{prefix}{i}", source=f"{prefix}{i}.txt", text=f"text {i}", labels=("a", f"b{i}"))
        for i in range(len(codes))
    ]


def append(
    store: Store,
    name: str,
    codes: Codes,
    modality: Modality = "image",
    failures: Sequence[Failure] = (),
) -> None:
    """Stage and commit one segment."""
    store.commit([staged(store, name, codes, modality, failures)])


def staged(
    store: Store,
    name: str,
    codes: Codes,
    modality: Modality = "image",
    failures: Sequence[Failure] = (),
) -> SegmentEntry:
    """Stage one segment, without a commit."""
    table = items_table(items_for(codes, f"{name}-"), modality)
    fingerprint = store.format.encoder
    return stage_segment(
        store.place, name, modality, codes, table, failures, fingerprint=fingerprint
    )


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Store]:
    """A store of segments with the codes given, all of one modality unless told."""

    def make(*segments: Codes, bits: int = 64, modalities: Sequence[Modality] = ()) -> Store:
        store = Store.create(tmp_path / "made.ssah", bits=bits)
        for number, codes in enumerate(segments):
            modality = modalities[number] if modalities else "image"
            append(store, f"s{number}", codes, modality)
        return store

    return make


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
