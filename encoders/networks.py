"""LabNet, ImgNet, TexNet and the discriminators.

Source: Li et al., CVPR 2018, section 3. All three networks end in a semantic feature F, a
hash activation H = tanh(.) and class logits. Batch norm before F and H stands where the
released code has none: it keeps bits balanced and features from dying, the collapse that
users of that code report.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from encoders.backbones import BagTrunk, PixelTrunk

FEATURE = 512
"""Width of the semantic feature F."""
HIDDEN = 512
"""Width of the layer between words, or labels, and F."""
DROPOUT = 0.1
"""Share of words, or labels, hidden in a step; anywhere else dropout lost MAP."""


class Output(NamedTuple):
    """What a network says of a batch."""

    feature: Tensor
    """F, float32 (n, 512), before its ReLU: what pairs and discriminators see."""
    code: Tensor
    """H, float32 (n, bits), in (-1, 1)."""
    logits: Tensor
    """Of the classes, float32 (n, c)."""


class Head(nn.Module):
    """From a trunk's features to F, H and class logits."""

    def __init__(self, bits: int, classes: int) -> None:
        super().__init__()
        self.feature = nn.BatchNorm1d(FEATURE)
        self.code = nn.Sequential(nn.Linear(FEATURE, bits), nn.BatchNorm1d(bits), nn.Tanh())
        self.classes = nn.Linear(FEATURE, classes)

    def forward(self, features: Tensor) -> Output:
        """Outputs for a trunk's features, float32 (n, 512)."""
        feature = self.feature(features)
        active = torch.relu(feature)
        return Output(feature, self.code(active), self.classes(active))


class LabNet(nn.Module):
    """Labels to codes: the self-supervision that ImgNet and TexNet are drawn to."""

    def __init__(self, bits: int, classes: int) -> None:
        super().__init__()
        self.trunk = BagTrunk(classes, HIDDEN, FEATURE, DROPOUT)
        self.head = Head(bits, classes)

    def forward(self, labels: Tensor) -> Output:
        """Outputs for label vectors, float32 (n, c) of 0 and 1."""
        out: Output = self.head(self.trunk(labels))
        return out


class TexNet(nn.Module):
    """Bags of words to codes."""

    def __init__(self, words: int, bits: int, classes: int) -> None:
        super().__init__()
        self.trunk = BagTrunk(words, HIDDEN, FEATURE, DROPOUT)
        self.head = Head(bits, classes)

    def forward(self, bags: Tensor) -> Output:
        """Outputs for bags of words, float32 (n, words)."""
        out: Output = self.head(self.trunk(bags))
        return out


class ImgNet(nn.Module):
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


class Discriminator(nn.Sequential):
    """Tells features of labels from those of a modality; float32 (n, 512) to (n, 1)."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(FEATURE, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
