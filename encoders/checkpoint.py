"""Weights and specification on disk, and the fingerprint over both."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import xxhash

from ssah_index.errors import EncoderError

SPEC_FILE = "encoder.json"
WEIGHTS_FILE = "weights.pt"


def fingerprint(spec: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    """XXH3-128 over everything that decides a code; equal on every machine and release."""
    digest = xxhash.xxh3_128(json.dumps(spec, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return f"ssah-{digest.hexdigest()}"


def save(folder: Path, spec: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Write encoder.json and weights.pt into an existing folder."""
    document = {"kind": "ssah", **spec, "fingerprint": fingerprint(spec, weights)}
    (folder / SPEC_FILE).write_text(json.dumps(document, ensure_ascii=False, indent=1))
    # Torch's own writer turns a full disk into a RuntimeError without an errno.
    buffer = io.BytesIO()
    torch.save(dict(weights), buffer)
    (folder / WEIGHTS_FILE).write_bytes(buffer.getbuffer())


def load(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], str]:
    """Read what `save` wrote.

    Returns
    -------
    spec, weights, fingerprint

    Raises
    ------
    EncoderError
        If a file is missing or damaged, or the fingerprint does not hold.
    """
    try:
        spec = json.loads((folder / SPEC_FILE).read_text())
        weights = torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        stated = spec.pop("fingerprint")
        spec.pop("kind")
        actual = fingerprint(spec, weights)
    except Exception as error:  # torch.load has no one exception for a damaged file
        raise EncoderError(
            f"the encoder in {folder} cannot be read ({error})",
            f"{SPEC_FILE} and {WEIGHTS_FILE} as they were written",
            "Restore the folder from a copy, or train again.",
        ) from error
    if actual != stated:
        raise EncoderError(
            f"the encoder in {folder} has fingerprint {actual}",
            f"{stated}, as {SPEC_FILE} says",
            "Restore the folder from a copy, or train again.",
        )
    return spec, weights, actual


class Resumable(Protocol):
    """A trainer whose whole state can be kept."""

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take weights and buffers back."""

    def optimisers(self) -> dict[str, Any]:
        """What else has a state_dict, by name."""


def keep(path: Path, run: str, passes: int, trainer: Resumable) -> None:
    """Replace the checkpoint at ``path`` in one step.

    Parameters
    ----------
    path : Path
    run : str
        Fingerprint of specification and data.
    passes : int
        Finished passes.
    trainer : Resumable
    """
    state = {
        "run": run,
        "passes": passes,
        "trainer": trainer.state_dict(),
        "optimisers": {name: part.state_dict() for name, part in trainer.optimisers().items()},
        "random": torch.get_rng_state(),
    }
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Path, run: str, trainer: Resumable) -> int:
    """Take up the checkpoint at ``path``, if it is there; returns the finished passes.

    Raises
    ------
    EncoderError
        If it is of another run, or damaged.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        kept = state["run"]
    except Exception as error:  # torch.load has no one exception for a damaged file
        raise EncoderError(
            f"the checkpoint {path} cannot be read ({error})", "one that is whole", "Remove it."
        ) from error
    if kept != run:
        raise EncoderError(
            f"the checkpoint {path} is of another run, {kept}",
            f"{run}: the same options and data",
            "Remove it to start afresh, or use the options it was begun with.",
        )
    trainer.load_state_dict(state["trainer"])
    for name, part in trainer.optimisers().items():
        part.load_state_dict(state["optimisers"][name])
    torch.set_rng_state(state["random"])
    return int(state["passes"])
