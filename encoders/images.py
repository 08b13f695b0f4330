"""Image files as squares of pixels.

What a failed item says here is what the ledger of a build says of it. Every failure of one
image is an `ItemError`; only what stops the process, such as Ctrl-C, goes further.

How a picture becomes red, green and blue of 8 bits:

- Colours (RGB, CMYK, YCbCr, LAB, HSV, palettes) are converted by Pillow.
- Transparency is laid on white, and so is what a number cannot say: NaN, and the value that a
  file names as transparent.
- Grey of 16 bits is scaled by its depth: 65,535 is white (4,095 where a TIFF states 12 bits).
- Grey of 32 bits, whole or float, has no white of its own: the least finite value of the
  picture is black and the greatest white; where both are one, the picture is mid grey.
- Of several frames or pages, the first is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from encoders.damage import RefusalError, check_png_rows, checked
from ssah_index.errors import ItemError

SHOWN_PATH = 200
"""Characters of a path that a message shows."""
COMMON = ("JPEG", "PNG")
"""Formats that are tried first; some of the others cost 0.1 ms to rule out."""
NOT_OPENED = frozenset({"EPS"})
"""Formats of Pillow that are left out: it runs Ghostscript on a stranger's program."""
FRAMED = {"GIF": "frames", "WEBP": "frames", "PNG": "frames", "AVIF": "frames", "TIFF": "pages"}
SIXTEEN_BITS = frozenset({"PNG", "PPM"})
"""Formats whose grey in mode I has 16 bits."""
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
OPEN_FAULTS = {
    errno.ENOENT: "no such file",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENXIO: "it is a socket, not a file",
}
ADDRESS = re.compile(r"(data|https?|ftp|s3|gs):")
"""What tables hold in place of a path."""


def load_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode an image whole, squeezed to a square as the field's data sets are.

    Parameters
    ----------
    path : Path
        A regular file, of any format that Pillow opens except PostScript.
    size : int
        Pixels a side.

    Returns
    -------
    uint8 (3, size, size)

    Raises
    ------
    ItemError
        Whatever is wrong with it: missing, no regular file, empty, cut short, damaged (see
        `encoders.damage`), too many pixels, too large for the memory, or no image.
    """
    try:
        with _regular_file(path) as file, _opened(file) as (image, source):
            pixels = _decode(image, source, size)
    except Exception as error:  # decoders raise of every kind: one bad file costs one row
        raise ItemError(
            f"image {_shown(path)} cannot be decoded ({_reason(path, error)})",
            "a whole image file",
            "Replace the file, or leave it out.",
        ) from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def image_warnings(path: Path) -> list[str]:
    """Sentences about what `load_image` leaves out of a file; none where it cannot be opened."""
    try:
        with _regular_file(path) as file, _opened(file) as (image, _):
            frames = getattr(image, "n_frames", 1)
            kind = FRAMED.get(image.format or "")
    except Exception:  # `load_image` reports it
        return []
    return [f"only the first of {frames:,} {kind} is used"] if kind and frames > 1 else []


@contextlib.contextmanager
def _regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open what is surely a file: a pipe would wait for a writer, a device may never end."""
    # Path.open takes no opener; open() would take a number for a file that is open already.
    with open(os.fspath(path), "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            kind = "named pipe" if stat.S_ISFIFO(status.st_mode) else "device"
            raise RefusalError(f"it is a {kind}, not a file")
        if not status.st_size:
            raise RefusalError("the file is empty")
        yield file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The image of a file, once it has passed the checks of its format, and its bytes.

    Pillow warns of harmless things, such as EXIF that is damaged, and does so in whatever way
    the caller has chosen, as errors too. Only of a TIFF's own directory a warning means that
    a part of the picture is lost. Filters are the process's: images decoded in several threads
    at once may lose it warnings, no more.
    """
    Image.init()
    formats = [*COMMON, *(name for name in Image.ID if name not in NOT_OPENED)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        source = checked(file)
        with Image.open(source, formats=formats) as image:
            if image.format == "TIFF":
                _check_directory(told)
            yield image, source


def _check_directory(told: Sequence[warnings.WarningMessage]) -> None:
    """Refuse a TIFF of whose directory Pillow says that a part is lost."""
    for warning in told:
        words = str(warning.message).strip()
        if warning.category is UserWarning and "too many entries" not in words:
            raise RefusalError(f"it is damaged: {words}")


def _decode(image: Image.Image, source: BinaryIO, size: int) -> NDArray[np.uint8]:
    """uint8 (size, size, 3), upright, on white."""
    if 0 in image.size:
        raise RefusalError("it is {} x {} pixels in size".format(*image.size))
    image.draft("RGB", (size, size))
    image.load()
    if image.format == "PNG" and _ends_blank(image):
        check_png_rows(source)
    turn = TRANSPOSES.get(_orientation(image))
    flat = _flatten(image)
    upright = flat if turn is None else flat.transpose(turn)
    return np.asarray(upright.resize((size, size), Image.Resampling.BICUBIC))


def _ends_blank(image: Image.Image) -> bool:
    """Whether one of the last two rows is zero, as those are that a file lacks."""
    width, height = image.size
    rows = (image.crop((0, y, width, y + 1)) for y in range(max(0, height - 2), height))
    return any(row.getbbox(alpha_only=False) is None for row in rows)


def _orientation(image: Image.Image) -> int:
    """How the image is turned, 1 to 8; 1 where its EXIF does not say it readably."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF leaves the pixels whole
        return 1
    return value if isinstance(value, int) else 1


def _flatten(image: Image.Image) -> Image.Image:
    """The picture in mode RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        clear = straight.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits in mode L; see the top of the module."""
    tags: Any = getattr(image, "tag_v2", {})
    values: NDArray[Any] = np.asarray(image)
    if image.mode == "I" and image.format == "TIFF" and tags.get(SAMPLE_FORMAT, (1,))[0] == 1:
        values = values.view(np.uint32)  # Pillow reads it as signed
    missing = np.isnan(values)
    if "transparency" in image.info:
        missing |= values == image.info["transparency"]
    if image.mode != "F" and (image.mode != "I" or image.format in SIXTEEN_BITS):
        low, high = 0.0, float((1 << tags.get(BITS_PER_SAMPLE, (16,))[0]) - 1)
    else:
        finite = values[np.isfinite(values) & ~missing]
        if not finite.size:
            raise RefusalError("none of its pixels has a finite value")
        low, high = float(finite.min()), float(finite.max())
    if high > low:
        # Halves first: the span of two floats may be beyond the greatest.
        exact = "f8" if image.mode == "I" else "f4"
        scaled = (values.astype(exact) / 2 - low / 2) / (high / 2 - low / 2)
    else:
        scaled = np.full(values.shape, 128 / 255)
    if tags.get(PHOTOMETRIC) == 0:  # white is zero, which Pillow minds up to 8 bits
        scaled = 1 - scaled
    scaled = np.where(missing, 1, scaled).clip(0, 1)
    return Image.fromarray((scaled * 255 + 0.5).astype(np.uint8))


def _shown(path: object) -> str:
    """A path as a message shows it: of bearable length, and in whole characters."""
    text = str(path)
    if len(text) > SHOWN_PATH:
        text = f"{text[:SHOWN_PATH]}... ({len(text):,} characters)"
    return text.encode("utf-8", "backslashreplace").decode()


def _reason(path: object, error: Exception) -> str:
    """Why an image is refused, in words."""
    if isinstance(error, RefusalError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "cannot identify its format: damaged at its beginning, or of a kind that is not read"
    if isinstance(error, OSError) and error.errno is not None:
        if address := ADDRESS.match(str(path)):
            return f"it is an address of the kind {address[0]}, not a file"
        return OPEN_FAULTS.get(error.errno) or str(error.strerror).lower()
    words = f"{type(error).__name__}: {error}".removesuffix(": ")
    return words.encode("utf-8", "backslashreplace").decode()
