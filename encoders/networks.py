"""LabNet, ImgNet, TexNet and the discriminators, in the two forms that presets choose.

Source: Li et al., CVPR 2018, section 3. All networks end in a semantic feature F, a hash
activation H = tanh(.) and class logits.

``modern``: batch norm before F and H, where the released code has none. It keeps bits
balanced and features from dying, the collapse that users of that code report.
``paper``: F behind a ReLU, local response norm, the multi-scale block, weights from
0.01 N(0, 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.backbones import BagTrunk, PixelTrunk
from encoders.multiscale import MultiScale

FEATURE = 512
"""Width of the semantic feature F."""
DROPOUT = 0.1
"""Share of words, or labels, hidden in a step; anywhere else dropout lost MAP on icons."""


class Output(NamedTuple):
    """What a network says of a batch."""

    feature: Tensor
    """F, float32 (n, 512): what pairs and discriminators see."""
    code: Tensor
    """H, float32 (n, bits), in (-1, 1)."""
    logits: Tensor
    """Of the classes, float32 (n, c)."""


def output(feature: Tensor, code: Tensor, logits: Tensor) -> Output:
    """An Output in float32, whatever precision a GPU worked in."""
    return Output(feature.float(), code.float(), logits.float())


class Head(nn.Module):
    """From a trunk's features to F, H and class logits, by batch norm."""

    def __init__(self, bits: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.feature = nn.BatchNorm1d(FEATURE)
        self.dropout = nn.Dropout(dropout)
        self.code = nn.Sequential(nn.Linear(FEATURE, bits), nn.BatchNorm1d(bits), nn.Tanh())
        self.classes = nn.Linear(FEATURE, classes)

    def forward(self, features: Tensor) -> Output:
        """Outputs for a trunk's features, float32 (n, 512)."""
        feature = self.feature(features)
        active = self.dropout(torch.relu(feature))
        return output(feature, self.code(active), self.classes(active))


class VectorNet(nn.Module):
    """Vectors to codes: LabNet over labels, TexNet over bags, ImgNet over features."""

    def __init__(
        self, inputs: int, hidden: int, bits: int, classes: int, dropout: tuple[float, float]
    ) -> None:
        super().__init__()
        self.trunk = BagTrunk(inputs, hidden, FEATURE, *dropout)
        self.head = Head(bits, classes, dropout[1])

    def forward(self, vectors: Tensor) -> Output:
        """Outputs for vectors, float32 (n, inputs)."""
        out: Output = self.head(self.trunk(vectors))
        return out


class PixelNet(nn.Module):
    """Images to codes."""

    def __init__(self, bits: int, classes: int) -> None:
        super().__init__()
        self.trunk = PixelTrunk(FEATURE)
        self.head = Head(bits, classes)

    def forward(self, images: Tensor) -> Output:
        """Outputs for images, uint8 (n, 3, size, size)."""
        pixels = images.float().div_(127.5).sub_(1)
        out: Output = self.head(self.trunk(pixels.contiguous(memory_format=torch.channels_last)))
        return out


class ResponseNorm(nn.LocalResponseNorm):
    """Local response norm over features, as TensorFlow's depth_radius 2, alpha 1e-4, bias 2.

    Torch divides alpha by the size, hence 5e-4.
    """

    def __init__(self) -> None:
        super().__init__(5, alpha=5e-4, beta=0.75, k=2.0)

    def forward(self, features: Tensor) -> Tensor:
        """float32 (n, d) to (n, d)."""
        normed: Tensor = super().forward(features[:, :, None])
        return normed[:, :, 0]


class PaperNet(nn.Module):
    """One network of the paper: body, F, and two parallel last layers.

    Parameters
    ----------
    body : list of modules
        Input to a vector of ``hidden``.
    hidden, bits, classes : int
    norm_heads : bool
        Whether the last layers see a normed F; in TexNet alone they do.
    """

    def __init__(
        self, body: list[nn.Module], hidden: int, bits: int, classes: int, norm_heads: bool = False
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.feature = nn.Linear(hidden, FEATURE)
        self.norm = ResponseNorm() if norm_heads else nn.Identity()
        self.code = nn.Linear(FEATURE, bits)
        self.classes = nn.Linear(FEATURE, classes)
        self.apply(_small_normal)

    def forward(self, vectors: Tensor) -> Output:
        """Outputs for vectors, float32 (n, inputs)."""
        feature = functional.relu(self.feature(self.body(vectors)))
        normed = self.norm(feature)
        return output(feature, torch.tanh(self.code(normed)), self.classes(normed))


def _small_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.normal_(module.bias, std=0.01)


def paper_lab_net(classes: int, hidden: int, bits: int) -> PaperNet:
    """LabNet: labels, FC, ReLU, response norm, F."""
    body = [nn.Linear(classes, hidden), nn.ReLU(), ResponseNorm()]
    return PaperNet(body, hidden, bits, classes)


def paper_img_net(features: int, hidden: int, bits: int, classes: int) -> PaperNet:
    """ImgNet over frozen features: one layer stands for the trunk's fine-tuned fc7."""
    return PaperNet([nn.Linear(features, hidden), nn.ReLU()], hidden, bits, classes)


def paper_tex_net(
    words: int, hidden: int, bits: int, classes: int, windows: tuple[int, ...]
) -> PaperNet:
    """TexNet: multi-scale block (none without windows), FC, ReLU, response norm, F."""
    scales: list[nn.Module] = [MultiScale(windows), nn.Flatten()] if windows else []
    inputs = words * (1 + len(windows))
    body = [*scales, nn.Linear(inputs, hidden), nn.ReLU(), ResponseNorm()]
    return PaperNet(body, hidden, bits, classes, norm_heads=True)


def discriminator(hidden: int = 128) -> nn.Sequential:
    """Tells features of labels from those of a modality; float32 (n, 512) to (n, 1)."""
    return nn.Sequential(nn.Linear(FEATURE, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))


def paper_discriminator(hidden: int) -> nn.Sequential:
    """The paper's, in three layers."""
    return nn.Sequential(
        nn.Linear(FEATURE, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 1),
    )
