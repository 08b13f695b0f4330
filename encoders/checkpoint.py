"""The checkpoint of a training run, and fingerprints of specifications with weights or data."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import xxhash

from encoders.devices import random_state, set_random_state
from ssah_index.errors import EncoderError


def fingerprint(spec: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    """XXH3-128 over everything that decides a code; equal on every machine and release."""
    digest = xxhash.xxh3_128(json.dumps(spec, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return f"ssah-{digest.hexdigest()}"


class Stateful(Protocol):
    """A part of a run that can be kept."""

    def state_dict(self) -> dict[str, Any]:
        """All that decides how it goes on."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take that back."""


class Run(NamedTuple):
    """What a checkpoint belongs to."""

    name: str
    """Fingerprint of specification and data."""
    spec: Mapping[str, Any]
    """The specification, so that an error can tell which options differ."""


def keep(
    path: Path, run: Run, passes: int, parts: Mapping[str, Stateful], device: torch.device
) -> None:
    """Replace the checkpoint at ``path`` in one step.

    Parameters
    ----------
    path : Path
    run : Run
    passes : int
        Finished passes.
    parts : mapping of str to Stateful
    device : torch.device
        Whose generator is drawn from, beside the CPU's.
    """
    state = {
        "run": run.name,
        "spec": dict(run.spec),
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


def check(path: Path, spec: Mapping[str, Any]) -> None:
    """Refuse, before any data is read, a checkpoint of other options; little of it is read.

    Raises
    ------
    EncoderError
        If there is one that is damaged, or was begun with other options. Whether the data is
        the same is for `restore` to tell.
    """
    if path.exists():
        # The batch shrinks to the data, which is not known yet.
        differ = _differences(_read(path, mapped=True), {**spec, "batch_rows": None})
        if differ:
            raise _of_another_run(path, differ)


def restore(path: Path, run: Run, parts: Mapping[str, Stateful], device: torch.device) -> int:
    """Take up the checkpoint at ``path``, if it is there; returns the finished passes.

    One that was kept on a GPU can be gone on with on a CPU.

    Raises
    ------
    EncoderError
        If it is of another run, or damaged.
    """
    if not path.exists():
        return 0
    state = _read(path, mapped=False)
    if state["run"] != run.name:
        raise _of_another_run(path, _differences(state, run.spec) or "its pairs are not these")
    try:
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        set_random_state(state["random"], device)
        return int(state["passes"])
    except Exception as error:  # a part that is missing or misshaped fails in its own way
        raise _damaged(path, error) from error


def _read(path: Path, *, mapped: bool) -> dict[str, Any]:
    """The state in a file; ``mapped`` leaves its tensors on the disk until they are used."""
    try:
        if not path.is_file():
            raise ValueError("no regular file")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        if not isinstance(state, dict) or not isinstance(state.get("run"), str):
            raise ValueError("no checkpoint of a training run")
    except Exception as error:  # torch.load has no one exception for a damaged file
        raise _damaged(path, error) from error
    return state


def _differences(state: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """Options that a checkpoint was begun with and that differ, but for those that are None."""
    begun = state.get("spec")
    if not isinstance(begun, Mapping):
        return ""
    return ", ".join(
        f"{name} was {begun[name]!r} and is {value!r}"
        for name, value in spec.items()
        if value is not None and name in begun and begun[name] != value
    )


def _damaged(path: Path, error: Exception) -> EncoderError:
    return EncoderError(
        f"the checkpoint {path} cannot be read ({str(error)[:200]})",
        "one that is whole",
        "Remove it and train from the start.",
    )


def _of_another_run(path: Path, differ: str) -> EncoderError:
    return EncoderError(
        f"the checkpoint {path} is of another run: {differ}",
        "the options and pairs it was begun with",
        "Use those to go on, or remove it to start afresh.",
    )


def _serialised(state: Any) -> memoryview:
    """The bytes of torch's own format, made in memory before any goes to a file.

    Writing to a file, torch turns a full disk or Ctrl-C into a RuntimeError without a cause.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()
