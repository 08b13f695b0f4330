"""Deep Cross-Modal Hashing over frozen features: a published baseline, without SSAH's parts.

Source: Jiang and Li, Deep Cross-Modal Hashing, CVPR 2017, section 3.

What differs: image features are frozen and two layers learn from them, where the paper trains
CNN-F; the hidden layers are 1,024 wide, TexNet's in the paper 8,192; outputs are batch-normed,
and Adam takes the place of SGD. With plain outputs the balance term, which reads sums over all
rows that are a pass old, made SGD diverge or held outputs near zero: where labels are products
of hidden signs, SGD and Adam at rates from 1e-3 to 1 stayed at a MAP of 0.26 to 0.33, chance
0.25; with batch norm Adam came to 0.91 at 1e-3 and to 1.00 at 1e-2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encoders.features import Array, Floats, check_pairs, check_width
from ssah_index.codes import check_bits, pack
from ssah_index.types import MODALITIES, Codes, Modality, other_modality

QUANTISATION = 1.0
"""Gamma of the paper."""
BALANCE = 1.0
"""Eta of the paper."""
HIDDEN = 1024
BATCH_ROWS = 128
# Chosen by MAP at 64 bits of 1,000 validation pairs of MIRFLICKR-25K against the trained ones:
# 8 passes at 3e-4 0.738 / 0.680, at 1e-3 0.780 / 0.725, at 3e-3 0.794 / 0.734, at 1e-2
# 0.728 / 0.690; 16 passes at 3e-3 0.830 / 0.777. A pass takes 4.2 s of one core.
PASSES = 20
RATE = 3e-3
ENCODE_ROWS = 4096


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class DcmhCodes:
    """Signs of two networks that learnt which pairs share a label.

    Notes
    -----
    With F and G (n, bits) the outputs for images and texts, t = 1/2 F G' and
    B = sign(F + G), training minimises

        sum(softplus(t) - S t) + gamma (|B - F|^2 + |B - G|^2) + eta (|1'F|^2 + |1'G|^2)

    in turns: ImgNet's pass over all batches with G fixed, TexNet's with F fixed, then B.
    """

    bits: int
    """Code width."""
    nets: Mapping[Modality, nn.Module]
    """Per modality: scaled features (n, d) to outputs (n, bits)."""
    scales: Mapping[Modality, tuple[Floats, float]]
    """Per modality: mean (d,) and root mean square deviation from it."""

    @classmethod
    def fit(cls, images: Array, texts: Array, labels: Array, bits: int, seed: int) -> DcmhCodes:
        """Train on n pairs.

        Parameters
        ----------
        images : numeric (n, d)
        texts : numeric (n, words)
        labels : 0/1 (n, c)
        bits : int
        seed : int
            Of weights and order.

        Raises
        ------
        InputError
            If the arrays are no pairs.
        """
        check_bits(bits)
        check_pairs(images, texts, labels)
        arrays: dict[Modality, Array] = {"image": images, "text": texts}
        scales = {m: (a.mean(axis=0, dtype=np.float64), _deviation(a)) for m, a in arrays.items()}
        inputs = {m: _scaled(a, *scales[m]) for m, a in arrays.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            nets = {m: _net(a.shape[1], bits) for m, a in arrays.items()}
            _alternate(nets, inputs, torch.from_numpy(labels.astype(np.float32)))
        return cls(bits=bits, nets=nets, scales=scales)

    def activations(self, modality: Modality, array: Array) -> Array:
        """Outputs of a modality's network for features (n, d); float32 (n, bits)."""
        mean, deviation = self.scales[modality]
        check_width(modality, array, len(mean))
        blocks = (array[start : start + ENCODE_ROWS] for start in range(0, len(array), ENCODE_ROWS))
        outputs = [_outputs(self.nets[modality], _scaled(b, mean, deviation)) for b in blocks]
        return np.concatenate([np.empty((0, self.bits), np.float32), *map(np.asarray, outputs)])

    def encode(self, modality: Modality, array: Array) -> Codes:
        """Codes of features (n, d); uint8 (n, bits / 8)."""
        return pack(self.activations(modality, array))


def _net(width: int, bits: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, bits, bias=False),
        nn.BatchNorm1d(bits),
    )


def _deviation(array: Array) -> float:
    variances = array.var(axis=0, dtype=np.float64)
    return float(max(np.sqrt(variances.mean()), 1e-12))


def _scaled(array: Array, mean: Floats, deviation: float) -> Tensor:
    return torch.from_numpy(((array - mean) / deviation).astype(np.float32))


@torch.no_grad()
def _outputs(net: nn.Module, inputs: Tensor) -> Tensor:
    net.eval()
    return torch.cat([net(part) for part in inputs.split(ENCODE_ROWS)])


def _alternate(
    nets: Mapping[Modality, nn.Module], inputs: Mapping[Modality, Tensor], labels: Tensor
) -> None:
    """Train both networks in turns; SGD whose rate falls to nothing along a line."""
    optimisers = {
        m: torch.optim.Adam(net.parameters(), RATE, fused=True) for m, net in nets.items()
    }
    outputs = {m: _outputs(net, inputs[m]) for m, net in nets.items()}
    n = len(labels)
    for number in range(PASSES):
        target = torch.where(outputs["image"] + outputs["text"] >= 0, 1.0, -1.0)
        for own in MODALITIES:
            optimisers[own].param_groups[0]["lr"] = RATE * (1 - number / PASSES)
            fixed = outputs[other_modality(own)]
            nets[own].train()
            for rows in _batches(n):
                output = nets[own](inputs[own][rows])
                outputs[own][rows] = output.detach()
                similar = (labels[rows] @ labels.T > 0).float()
                slope = gradient(outputs[own], fixed, target, similar, rows)
                optimisers[own].zero_grad()
                # Divided by n * B, so that the rate does not depend on the number of pairs.
                output.backward(slope / (n * len(rows)))
                optimisers[own].step()


def _batches(n: int) -> list[Tensor]:
    """All rows in random order, but for a last one alone, which has no variance."""
    return [rows for rows in torch.randperm(n).split(BATCH_ROWS) if len(rows) > 1]


def gradient(own: Tensor, other: Tensor, target: Tensor, similar: Tensor, rows: Tensor) -> Tensor:
    """Of the objective by some rows of one modality's outputs, the other's fixed.

    Parameters
    ----------
    own, other, target : float32 (n, bits)
        F and G, or G and F; B.
    similar : float32 (rows, n)
        S of these rows.
    rows : int64 (rows,)

    Returns
    -------
    float32 (rows, bits)

    Notes
    -----
    A closed form, as the paper has it, saves the softplus and its graph over n pairs.
    """
    theta = 0.5 * own[rows] @ other.T
    pairs = 0.5 * (torch.sigmoid(theta) - similar) @ other
    return pairs + 2 * QUANTISATION * (own[rows] - target[rows]) + 2 * BALANCE * own.sum(dim=0)
