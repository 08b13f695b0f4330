"""Label vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def label_matrix(labels: Sequence[Sequence[str]], names: Sequence[str]) -> torch.Tensor:
    """float32 (n, c): 1 where an item has a label; names that are not listed count nothing."""
    columns = {name: column for column, name in enumerate(names)}
    matrix = torch.zeros(len(labels), len(names))
    for row, own in enumerate(labels):
        for name in own:
            if name in columns:
                matrix[row, columns[name]] = 1
    return matrix
