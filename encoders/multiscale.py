"""TexNet's multi-scale fusion block.

Source: Li et al., CVPR 2018, section 3.3; windows and resizing as in the released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PAPER_WINDOWS = (1, 2, 3, 5, 10)
"""Words a cell, by level, as the paper's text has them."""
OFFICIAL_WINDOWS = (5, 10, 15, 30, 50)
"""The same in the released code."""


def stretch(pooled: Tensor, width: int) -> Tensor:
    """Linear interpolation to ``width`` places with legacy corners: source = i * w / width.

    That is TensorFlow 1's ``resize_images``; torch's ``interpolate`` has half-pixel or
    aligned corners and differs.

    Parameters
    ----------
    pooled : float32 (n, w)
    width : int

    Returns
    -------
    float32 (n, width)
    """
    cells = pooled.shape[1]
    # In integers, since i * w / width in float32 falls short of whole cells.
    steps = torch.arange(width, device=pooled.device) * cells
    low = steps // width
    high = (low + 1).clamp(max=cells - 1)
    share = (steps % width).to(pooled.dtype) / width
    return pooled[:, low] * (1 - share) + pooled[:, high] * share


class MultiScale(nn.Module):
    """The bag of words beside five smoothed copies of it.

    Each level averages windows of words, scales by one weight, cuts at zero and stretches
    back. Weights start positive: bags are not negative, so a weight that starts below zero,
    as half of the released code's do, leaves its level zero without gradient for ever.

    Tag columns keep the data set's order; which words share a window is an accident of it.

    Parameters
    ----------
    windows : sequence of int
        Window, and stride, of each level.
    """

    def __init__(self, windows: tuple[int, ...] = PAPER_WINDOWS) -> None:
        super().__init__()
        self.windows = windows
        self.weights = nn.Parameter(0.01 * torch.randn(len(windows)).abs())

    def forward(self, bags: Tensor) -> Tensor:
        """Levels of bags: float32 (n, words) to (n, 1 + levels, words)."""
        levels = [bags]
        for weight, window in zip(self.weights, self.windows, strict=True):
            pooled = functional.avg_pool1d(bags[:, None], window)[:, 0]
            levels.append(stretch(functional.relu(weight * pooled), bags.shape[1]))
        return torch.stack(levels, dim=1)
