"""Where a run computes: the CPU, or a GPU with bfloat16 and compiled networks.

It is no part of a specification, since it does not decide what is learnt; but only on a CPU
are two runs equal bit for bit.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from ssah_index.errors import SpecError


def choose_device(name: str) -> torch.device:
    """The device of a name: "auto" is a GPU where torch sees one, else the CPU.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        Or "cuda:1" and so on.

    Raises
    ------
    SpecError
        If there is no such device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    if name not in ("cpu", *(["cuda"] if count else []), *(f"cuda:{n}" for n in range(count))):
        raise SpecError(
            f"device {name!r} where torch {torch.__version__} sees {count} GPUs",
            '"auto", "cpu", or "cuda" where there is a GPU',
            'Use "cpu", or install a torch that is built for the GPU.',
        )
    return torch.device(name)


def precision(device: torch.device) -> torch.autocast:
    """The context of a pass: bfloat16 where it is safe on a GPU, plain float32 on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class HasNets(Protocol):
    """A trainer with the networks of both modalities."""

    image_net: nn.Module
    text_net: nn.Module

    def to(self, device: torch.device) -> object:
        """Move everything there."""


def settle(trainer: HasNets, device: torch.device) -> None:
    """Move a trainer to its device; compile its networks if that is a GPU."""
    trainer.to(device)
    if device.type == "cuda":
        trainer.image_net.compile()
        trainer.text_net.compile()


def bring_home(trainer: HasNets, device: torch.device) -> None:
    """Move a trained trainer to the CPU, where encoders run, without what was compiled."""
    if device.type == "cuda":
        trainer.to(torch.device("cpu"))
        # A copy leaves the compiled call behind, for which there is no public undo.
        trainer.image_net = copy.deepcopy(trainer.image_net)
        trainer.text_net = copy.deepcopy(trainer.text_net)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the generators that a run draws from, by kind of device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Take up `random_state`; a run that changes device keeps what both have."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
