"""Generations by number or name: which one is meant, and the names that keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ssah_index.errors import QueryError, SpecError
from ssah_index.store.manifest import Manifest, generations, read_manifest
from ssah_index.store.place import Place

if TYPE_CHECKING:
    from ssah_index.store.store import Store


def manifest_of(place: Place, generation: Any, newest: Manifest) -> Manifest:
    """The manifest of a generation, by number or tag.

    Raises
    ------
    QueryError
        If there is no such generation or tag.
    """
    if isinstance(generation, bool) or not isinstance(generation, (int, np.integer, str)):
        raise QueryError(
            f"generation is {generation!r}", "a number or a tag", "Give one, or leave it out."
        )
    if isinstance(generation, str):
        if generation not in newest.tags:
            raise QueryError(
                f"{place} has no tag {generation!r}",
                f"one of {', '.join(sorted(newest.tags)) or 'none: nothing is tagged'}",
                "List generations with: ssah-index history STORE",
            )
        generation = newest.tags[generation]
    known = list(generations(place))
    if generation != 0 and generation not in known:
        raise QueryError(
            f"{place} has no generation {generation!r}",
            f"0, or one of {len(known)} from {min(known, default=0)} to {max(known, default=0)}",
            "List them with: ssah-index history STORE",
        )
    return read_manifest(place, int(generation))


def parse_generation(text: str) -> int | str:
    """A generation that was typed: its number in plain digits, or else a tag."""
    number = text.isascii() and text.isdecimal() and len(text) <= len(str(2**64))
    return int(text) if number else text


def tag(store: Store, name: str, generation: int | None) -> Manifest:
    """Tag a generation; this is `Store.tag`, which says what it takes and raises."""
    if not isinstance(name, str) or not name or name.isdecimal():
        raise SpecError(f"a tag is {name!r}", "a name that is no number", "Choose another name.")

    def follow(current: Manifest) -> Manifest:
        number = current.generation if generation is None else generation
        manifest_of(store.place, number, current)
        return current.following("tag", tags={**current.tags, name: int(number)})

    return store.change(follow)


def untag(store: Store, name: str) -> Manifest:
    """Forget a tag; this is `Store.untag`, which says what it takes and raises."""
    if not isinstance(name, str):
        raise SpecError(f"a tag is {name!r}", "the name of one", "Give a single name.")

    def follow(current: Manifest) -> Manifest:
        left = {tag: number for tag, number in current.tags.items() if tag != name}
        return current if left == current.tags else current.following("tag", tags=left)

    return store.change(follow)
