"""Small networks of CNN-F's layers, written as MatConvNet writes them."""

import numpy as np
from scipy.io import savemat

from encoders.matconvnet import CNN_F

SIDE = 63
"""Pixels a side; after conv5's pooling one is left."""
WIDTHS = (8, 12, 12, 12, 12, 24, 16)
SIDES = (11, 5, 3, 3, 3, 1, 1)


def small_cnn_f(seed):
    """Filters float32 (height, width, in, out) and biases by layer, and a mean image."""
    random = np.random.default_rng(seed)
    filters, biases, inputs = {}, {}, 3
    for layer, width, side in zip(CNN_F, WIDTHS, SIDES, strict=True):
        scale = (2 / (side * side * inputs)) ** 0.5
        filters[layer.name] = random.normal(0, scale, (side, side, inputs, width)).astype("f4")
        biases[layer.name] = random.normal(0, 0.1, width).astype("f4")
        inputs = width
    return filters, biases, random.uniform(90, 130, (SIDE, SIDE, 3)).astype("f4")


def cell(values):
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


def save_mat_net(path, layout, filters, biases, mean):
    """Write a network in the layout of "beta16" or of "today"."""
    layers = []
    for number, (name, array) in enumerate(filters.items()):
        weights = cell([array, biases[name][None]])
        fields = {"weights": weights, "name": name, "type": "conv", "stride": 1}
        if layout == "beta16":
            fields = dict(reversed(fields.items()))
        layers += [fields, {"type": "relu", "name": f"relu{number + 1}"}]
    layers.append({"type": "softmax", "name": "prob"})
    normalization = {"imageSize": [SIDE, SIDE, 3], "averageImage": mean}
    if layout == "beta16":
        savemat(path, {"layers": cell(layers), "normalization": normalization})
    else:
        meta = {"classes": {"name": "a"}, "normalization": normalization}
        savemat(path, {"layers": cell(layers), "meta": meta})
