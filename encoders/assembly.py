"""LabNet, ImgNet and TexNet of a preset, over the trunk that a specification names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from encoders.config import TrainSpec
from encoders.multiscale import OFFICIAL_WINDOWS, PAPER_WINDOWS
from encoders.networks import (
    Output,
    PaperNet,
    PixelNet,
    VectorNet,
    paper_img_net,
    paper_tex_net,
)
from encoders.trunks import Trunk, open_trunk
from ssah_index.errors import SpecError


class Standardised(nn.Module):
    """ImgNet over a frozen trunk's features, of mean 0 and standard deviation 1.

    Parameters
    ----------
    width : int
        Features of an image.
    net : nn.Module
        Takes float32 (n, width).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, net: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.net = net

    def measure(self, features: Tensor) -> None:
        """Take mean and deviation from the features trained on, float32 (n, width)."""
        deviation, self.mean = torch.std_mean(features, dim=0)
        # A feature that never moves is left at 0 rather than blown up.
        self.deviation = torch.where(deviation > 0, deviation, torch.inf)

    def forward(self, features: Tensor) -> Output:
        """Outputs for a trunk's features, float32 (n, width)."""
        out: Output = self.net((features - self.mean) / self.deviation)
        return out


class TrunkNet(nn.Module):
    """ImgNet with a trunk that trains with it."""

    def __init__(self, trunk: Trunk, net: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.net = net

    def forward(self, pixels: Tensor) -> Output:
        """Outputs for images, uint8 (n, 3, size, size)."""
        out: Output = self.net(self.trunk(pixels))
        return out


def vector_net(spec: TrainSpec, inputs: int, classes: int) -> VectorNet:
    """LabNet, TexNet, or ImgNet over features, of ``modern``."""
    dropout = (spec.input_dropout, spec.dropout)
    return VectorNet(inputs, spec.hidden, spec.bits, classes, dropout)


def text_net(spec: TrainSpec, inputs: int, classes: int) -> nn.Module:
    """TexNet over vectors of ``inputs``.

    Raises
    ------
    SpecError
        If the vectors are shorter than the widest window of a multi-scale block.
    """
    if spec.preset == "modern":
        return vector_net(spec, inputs, classes)
    check_text_width(spec, inputs)
    return paper_tex_net(inputs, spec.hidden, spec.bits, classes, _windows(spec))


def _windows(spec: TrainSpec) -> tuple[int, ...]:
    """Of TexNet's multi-scale block, words a cell by level; none without it."""
    if spec.preset == "modern" or not spec.multi_scale:
        return ()
    return PAPER_WINDOWS if spec.preset == "paper" else OFFICIAL_WINDOWS


def check_text_width(spec: TrainSpec, inputs: int) -> None:
    """Refuse texts narrower than the widest window of a multi-scale block.

    Raises
    ------
    SpecError
    """
    widest = max(_windows(spec), default=0)
    if inputs < widest:
        raise SpecError(
            f"texts are {inputs} words wide, and preset {spec.preset!r} pools over {widest}",
            f"at least {widest} words",
            "Train on more texts, lower --min-word-texts (min_word_texts), or turn multi_scale "
            "off (--set multi_scale=false).",
        )


def image_net(
    spec: TrainSpec, features: int | None, classes: int, trunk: Trunk | None = None
) -> nn.Module:
    """ImgNet.

    Parameters
    ----------
    spec : TrainSpec
    features : int or None
        Width of its input; None for pixels.
    classes : int
    trunk : Trunk, optional
        For pixels: one that trains; without it, the small network does.
    """
    if trunk is not None:
        return TrunkNet(trunk, _over_trunk(spec, trunk.width, classes))
    if features is None:
        return PixelNet(spec.bits, classes)
    net = _over_features(spec, features, classes)
    return net if spec.image_trunk == "pixels" else Standardised(features, net)


def _over_trunk(spec: TrainSpec, width: int, classes: int) -> nn.Module:
    if spec.preset == "modern":
        return vector_net(spec, width, classes)
    return PaperNet([], width, spec.bits, classes)  # the trunk's last layer is the paper's fc7


def _over_features(spec: TrainSpec, width: int, classes: int) -> nn.Module:
    if spec.preset == "modern":
        return vector_net(spec, width, classes)
    return paper_img_net(width, spec.hidden, spec.bits, classes)


def new_image_net(spec: TrainSpec, images: Tensor, classes: int) -> nn.Module:
    """ImgNet for the images of a training set, before training."""
    if spec.fine_tune:
        return image_net(spec, None, classes, open_trunk(spec.image_trunk))
    net = image_net(spec, None if images.ndim == 4 else images.shape[1], classes)
    if isinstance(net, Standardised):
        net.measure(images)
    return net


def fresh_norms(nets: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    """Batch norms that begin untrained: all but those of a trunk."""
    trunks = [part for part in nets.modules() if isinstance(part, Trunk)]
    trained = {id(part) for trunk in trunks for part in trunk.modules()}
    return [
        part
        for part in nets.modules()
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)) and id(part) not in trained
    ]


def rate_groups(nets: nn.Module, rate: float, trunk_rate: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser; those of a trunk have a rate of their own."""
    trunks = [part for part in nets.modules() if isinstance(part, Trunk)]
    own = [parameter for trunk in trunks for parameter in trunk.parameters()]
    known = {id(parameter) for parameter in own}
    others = [parameter for parameter in nets.parameters() if id(parameter) not in known]
    groups = [{"params": others, "lr": rate}]
    return [*groups, {"params": own, "lr": trunk_rate}] if own else groups
