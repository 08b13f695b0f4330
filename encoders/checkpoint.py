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

from encoders.devices import random_state, set_random_state
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
    (folder / WEIGHTS_FILE).write_bytes(_serialised(dict(weights)))


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


class Stateful(Protocol):
    """A part of a run that can be kept."""

    def state_dict(self) -> dict[str, Any]:
        """All that decides how it goes on."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take that back."""


def keep(
    path: Path, run: str, passes: int, parts: Mapping[str, Stateful], device: torch.device
) -> None:
    """Replace the checkpoint at ``path`` in one step.

    Parameters
    ----------
    path : Path
    run : str
        Fingerprint of specification and data.
    passes : int
        Finished passes.
    parts : mapping of str to Stateful
    device : torch.device
        Whose generator is drawn from, beside the CPU's.
    """
    state = {
        "run": run,
        "passes": passes,
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "random": random_state(device),
    }
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_serialised(state))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def restore(path: Path, run: str, parts: Mapping[str, Stateful], device: torch.device) -> int:
    """Take up the checkpoint at ``path``, if it is there; returns the finished passes.

    One that was kept on a GPU can be gone on with on a CPU.

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
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    set_random_state(state["random"], device)
    return int(state["passes"])


def _serialised(state: Any) -> memoryview:
    """The bytes of torch's own format, made in memory before any goes to a file.

    Writing to a file, torch turns a full disk or Ctrl-C into a RuntimeError without a cause.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()
