"""Tensors by name in a file: weights.safetensors, and the weights.pt of earlier releases.

Types and shapes are known before any tensor is read, so that a file from elsewhere is
compared with what its encoder.json calls for first. Nothing in either kind of file is run:
of weights.pt, which is a zip archive with a pickle, only tensors are understood.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from ssah_index.errors import EncoderError
from ssah_index.foreign import plain_file

WEIGHTS_FILE = "weights.safetensors"
OLD_WEIGHTS_FILE = "weights.pt"
PICKLE_BYTES = 16 << 20
"""Most bytes of the pickle in a weights.pt: names and shapes, some 100 bytes a tensor."""


class Kind(NamedTuple):
    """What a tensor is, without its values."""

    dtype: torch.dtype
    shape: tuple[int, ...]


class Weights(Protocol):
    """A file of tensors that has been opened, not read."""

    kinds: Mapping[str, Kind]

    def read(self) -> dict[str, Tensor]:
        """All tensors, in memory of their own."""


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights.safetensors into a folder."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    (folder / WEIGHTS_FILE).write_bytes(save(plain))


def open_weights(folder: Path) -> Weights:
    """Open the weights in a folder, of this release or of an earlier one.

    Raises
    ------
    EncoderError
        If there are none, or they cannot be read as tensors.
    """
    old = not (folder / WEIGHTS_FILE).exists() and (folder / OLD_WEIGHTS_FILE).exists()
    path = plain_file(folder, OLD_WEIGHTS_FILE if old else WEIGHTS_FILE)
    try:
        return OldWeights(path) if old else SafeWeights(path)
    except Exception as error:  # a damaged file fails in a dozen unrelated ways
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> EncoderError:
    """The error of a file that cannot be read."""
    return EncoderError(
        f"{path} cannot be read ({type(error).__name__}: {str(error)[:200]})",
        "weights as they were written",
        "Restore the encoder in that folder from a copy, or train again.",
    )


class SafeWeights:
    """A safetensors file; its header states every shape, and is checked against its size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with safe_open(path, "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no dict)
            self.kinds: Mapping[str, Kind] = {
                name: Kind(_SAFE_TYPES[part.get_dtype()], tuple(part.get_shape()))
                for name, part in parts.items()
            }

    def read(self) -> dict[str, Tensor]:
        """All tensors."""
        tensors: dict[str, Tensor] = load(self._path.read_bytes())
        return tensors


_SAFE_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Storage(NamedTuple):
    """Numbers that tensors are views of; a file of the archive."""

    dtype: torch.dtype
    key: str
    numbers: int


class View(NamedTuple):
    """A tensor of an archive, as `torch.save` describes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def check(self) -> None:
        """Refuse what is no part of its storage."""
        numbers = (self.offset, self.storage.numbers, *self.shape, *self.strides)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"a tensor of shape {self.shape}, strides {self.strides}")
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if math.prod(self.shape) and last >= self.storage.numbers:
            raise ValueError(f"a tensor that ends at {last} of {self.storage.numbers} numbers")


class OldWeights:
    """What torch.save wrote of a dict of tensors: stored, not compressed, little-endian."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("an archive that is compressed")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ValueError("an archive with more in it than its size")
            (self._prefix,) = (
                entry.filename.removesuffix("data.pkl")
                for entry in entries
                if entry.filename.endswith("/data.pkl")
            )
            views = _views(archive.read(f"{self._prefix}data.pkl"))
        self._views = views
        self.kinds: Mapping[str, Kind] = {
            name: Kind(view.storage.dtype, view.shape) for name, view in views.items()
        }

    def read(self) -> dict[str, Tensor]:
        """All tensors."""
        with zipfile.ZipFile(self._path) as archive:
            return {name: self._tensor(archive, view) for name, view in self._views.items()}

    def _tensor(self, archive: zipfile.ZipFile, view: View) -> Tensor:
        dtype, key, numbers = view.storage
        content = bytearray(archive.read(f"{self._prefix}data/{key}"))
        if len(content) != numbers * dtype.itemsize:
            raise ValueError(f"{len(content)} bytes for {numbers} numbers of {dtype}")
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return flat.as_strided(view.shape, view.strides, view.offset).clone()


def _views(pickled: bytes) -> dict[str, View]:
    """The tensors that a pickle of torch.save names."""
    if len(pickled) > PICKLE_BYTES:
        raise ValueError(f"{len(pickled)} bytes of names")
    for operation, argument, _ in pickletools.genops(pickled):
        large = "PUT" in operation.name and (argument or 0) > len(pickled)
        if large or operation.name not in _OPERATIONS:
            raise ValueError(f"a pickle with {operation.name} {argument}")
    views = _Unpickler(io.BytesIO(pickled)).load()
    if type(views) is not dict or any(
        not isinstance(name, str) or not isinstance(view, View) for name, view in views.items()
    ):
        raise ValueError("a pickle of something other than tensors by name")
    for view in views.values():
        view.check()
    return views


_OPERATIONS = frozenset(
    ("PROTO", "EMPTY_DICT", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MARK", "BINUNICODE",
     "GLOBAL", "BININT", "BININT1", "BININT2", "LONG1", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2",
     "TUPLE3", "BINPERSID", "NEWFALSE", "NEWTRUE", "REDUCE", "SETITEM", "SETITEMS", "STOP")
)  # fmt: skip
"""What torch.save writes for a dict of tensors; nothing that sets an attribute."""


def _view(
    storage: Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> View:
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    return View(storage, offset, tuple(shape), tuple(strides))


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch", "DoubleStorage"): torch.float64,
    ("torch", "FloatStorage"): torch.float32,
    ("torch", "HalfStorage"): torch.float16,
    ("torch", "BFloat16Storage"): torch.bfloat16,
    ("torch", "LongStorage"): torch.int64,
    ("torch", "IntStorage"): torch.int32,
    ("torch", "ByteStorage"): torch.uint8,
    ("torch", "BoolStorage"): torch.bool,
}


class _Unpickler(pickle.Unpickler):
    """Knows the few names above, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of weights")
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        _, dtype, key, _, numbers = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError("a storage without type or name")
        return Storage(dtype, key, numbers)
