"""CNN-F and VGG-19 up to fc7, and MatConvNet's .mat files of their weights.

Files are read by field name. Two layouts are about: that of beta 16, whose mean image is
``normalization.averageImage``, and today's, where it is ``meta.normalization.averageImage``
and fields stand in another order. Code that counts positions reads one and not the other.

Source of the layers: Chatfield et al., BMVC 2014, table 1 (CNN-F), and Simonyan and
Zisserman, ICLR 2015, table 1 (VGG-19), as the files state them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from encoders.matfiles import optional
from ssah_index.errors import SourceError

Array = NDArray[np.float32]


class Layer(NamedTuple):
    """A convolution, its ReLU and what follows it."""

    name: str
    """As the file calls it."""
    stride: int = 1
    padding: int = 0
    norm: bool = False
    """Whether local response norm follows."""
    pool: int = 0
    """Side of the max pooling of stride 2 that follows; 0: none."""


CNN_F = (
    Layer("conv1", stride=4, norm=True, pool=3),
    Layer("conv2", padding=2, norm=True, pool=3),
    Layer("conv3", padding=1),
    Layer("conv4", padding=1),
    Layer("conv5", padding=1, pool=3),
    Layer("fc6"),
    Layer("fc7"),
)
VGG_19 = (
    *(
        Layer(f"conv{block}_{number}", padding=1, pool=2 if number == count else 0)
        for block, count in enumerate((2, 2, 4, 4, 4), 1)
        for number in range(1, count + 1)
    ),
    Layer("fc6"),
    Layer("fc7"),
)
NETWORKS: dict[str, tuple[Layer, ...]] = {"cnn-f": CNN_F, "vgg-19": VGG_19}


def network(layers: Sequence[Layer], shapes: Mapping[str, Sequence[int]]) -> nn.Sequential:
    """The layers with untrained weights of the shapes given.

    Parameters
    ----------
    layers : sequence of Layer
    shapes : mapping of str to sequence of int
        By layer, (out, in, height, width) of its filters.

    Returns
    -------
    nn.Sequential
        float32 (n, 3, size, size) to (n, out, 1, 1), out being the last layer's.
    """
    net = nn.Sequential()
    for layer in layers:
        outputs, inputs, height, width = shapes[layer.name]
        convolution = nn.Conv2d(inputs, outputs, (height, width), layer.stride, layer.padding)
        net.add_module(layer.name, convolution)
        net.add_module(f"{layer.name}_relu", nn.ReLU(inplace=True))
        if layer.norm:
            # MatConvNet does not divide alpha = 1e-4 by the size, torch does.
            norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
            net.add_module(f"{layer.name}_norm", norm)
        if layer.pool:
            # The file pads conv1's output below and at the right, as ceil_mode does.
            pool = nn.MaxPool2d(layer.pool, 2, ceil_mode=True)
            net.add_module(f"{layer.name}_pool", pool)
    return net


@dataclass(frozen=True, kw_only=True, slots=True)
class MatNet:
    """A trained network as its file has it."""

    filters: dict[str, Array]
    """By layer, float32 (out, in, height, width), as torch has them."""
    biases: dict[str, Array]
    """By layer, float32 (out,)."""
    mean: Array
    """Subtracted from values of 0 to 255: float32 (3, height, width), or (3, 1, 1)."""


def read_mat_net(path: Path) -> MatNet:
    """Read a network.

    Raises
    ------
    SourceError
        If the file cannot be read, or is no network of either layout.
    MissingExtraError
        If scipy is not installed.
    """
    io = optional("scipy.io")
    try:
        with path.open("rb") as file:
            net = io.loadmat(file, struct_as_record=False)
        layers = [_one(cell) for cell in np.ravel(net["layers"])]
        holder = _one(net["meta"]) if "meta" in net else None
        normalization = _one(net["normalization"] if holder is None else holder.normalization)
        weighted = {_text(layer.name): _weights(layer) for layer in layers if _has_weights(layer)}
        mean = _mean(normalization.averageImage)
    except Exception as error:  # scipy raises a dozen unrelated kinds for a damaged file
        raise SourceError(
            f"{path} cannot be read as a MatConvNet network ({type(error).__name__}: {error})",
            "a .mat file with layers, and normalization or meta.normalization",
            "Fetch imagenet-vgg-f.mat or imagenet-vgg-verydeep-19.mat again.",
        ) from error
    return MatNet(
        filters={name: filters for name, (filters, _) in weighted.items()},
        biases={name: biases for name, (_, biases) in weighted.items()},
        mean=mean,
    )


def _one(value: Any) -> Any:
    """What a 1 x 1 cell or struct array holds, however often it is wrapped."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value


def _text(value: Any) -> str:
    return str(np.ravel(value)[0])


def _has_weights(layer: Any) -> bool:
    return np.size(getattr(layer, "weights", ())) == 2


def _weights(layer: Any) -> tuple[Array, Array]:
    """Filters (height, width, in, out) turned to torch's order, and biases."""
    filters, biases = np.ravel(layer.weights)
    turned = np.asarray(filters, np.float32).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(turned), np.asarray(biases, np.float32).ravel()


def _mean(image: Any) -> Array:
    """An image (height, width, 3), or three numbers in any shape."""
    mean = np.asarray(image, np.float32)
    if mean.size == 3:
        mean = mean.reshape(1, 1, 3)
    return np.ascontiguousarray(mean.transpose(2, 0, 1))
