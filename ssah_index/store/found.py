"""A new store: made whole beside its place, then let to become it in one step."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ssah_index.store.files import Seal, seal_file, sync_tree, write_file, writing
from ssah_index.store.format import Format
from ssah_index.store.manifest import FOLDER as MANIFESTS
from ssah_index.store.place import FORMAT, Place
from ssah_index.store.segment import SEGMENTS


def found_store(
    place: Place, made: Format, save_encoder: Callable[[Path], None] | None
) -> tuple[Place, Format]:
    """Found an empty store; `Store.create` says what it takes and raises.

    Returns
    -------
    Place, Format
        Where it is, and what its format.json says.
    """
    temporary = place.root.with_name(f".{place.root.name}.{uuid.uuid4().hex[:8]}.new")
    try:
        with writing(place.root):
            for name in (MANIFESTS, SEGMENTS):
                (temporary / name).mkdir(parents=True)
            if save_encoder is not None:
                (temporary / "encoder").mkdir()
                save_encoder(temporary / "encoder")
                made = replace(made, files=_seal_tree(temporary, "encoder"))
            write_file(temporary / FORMAT, [made.to_bytes()])
            sync_tree(temporary)
            place.found(temporary)
            place.adopt()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return place, made


def _seal_tree(root: Path, name: str) -> dict[str, Seal]:
    """Seals of files that someone else wrote, by path below ``root``."""
    files = sorted(path for path in (root / name).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): seal_file(path) for path in files}
