"""Trunks: images to flat features."""

from __future__ import annotations

from torch import nn


class PixelTrunk(nn.Sequential):
    """A small convolutional network trained from pixels.

    Convolutions have stride 2, which on a CPU costs half of pooling after full-size ones
    and lost nothing on the demo's icons. Frozen EfficientNet-lite0 features gave a MAP of
    0.30 / 0.38 there, a trunk like this one 0.42 / 0.52 under the same losses (20 and 10
    passes, image->text / text->image).

    Input float32 (n, 3, size, size); output float32 (n, width).
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.AvgPool2d(2),
            *_convolution(3, 32, 5),
            *_convolution(32, 96, 3),
            *_convolution(96, 192, 3),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(192 * 16, width, bias=False),
        )


def _convolution(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, 2, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class BagTrunk(nn.Sequential):
    """Two layers over a vector of words or labels.

    Input float32 (n, inputs); output float32 (n, width).
    """

    def __init__(
        self, inputs: int, hidden: int, width: int, dropout: float, inner_dropout: float = 0.0
    ) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(inputs, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(inner_dropout),
            nn.Linear(hidden, width, bias=False),
        )
