"""What of an image file's damage shows before its pixels are decoded.

Pillow reports most files that end too early, but neither a flipped byte of a PNG nor what
libjpeg only warns of. What is found, here or by Pillow:

PNG
    Any flipped byte up to the end of the image, by the checksum of each chunk, any cut, and
    rows that are missing though all checksums hold.
JPEG
    What libjpeg warns of: any cut, even within the end marker, markers that do not belong where
    they stand, codes that no table has. A byte that flips and leaves codes that can be read is
    not found, as nothing holds its checksum: of single bits, five in six are such.
TIFF
    Any cut; parts of its directory that are lost; compressed data that no longer inflates.
GIF, WebP, AVIF, BMP and others
    Any cut that takes pixels of the first frame. Flipped bytes only where a header or the
    compressed data no longer makes sense: none of these has a checksum of its pixels.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import simplejpeg
from PIL import Image

MAX_FILE_BYTES = 1 << 30
"""Largest PNG or JPEG file, bytes: these are read whole, to be checked."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
PNG_ORIENTATIONS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Keywords of the texts that may say how an image is turned."""
PNG_TEXT_BYTES = 1 << 16
"""Largest of them that is handed on: Pillow refuses those that inflate to more than 1 MB."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by type of colour."""
PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2))  # fmt: skip
"""First column and row, and steps between columns and rows, of each pass of interlacing."""
JPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's warnings of damage begin; it has others, such as of an odd version number."""


class RefusalError(Exception):
    """Why an image file is not decoded, in words that follow its name."""


def checked(file: BinaryIO) -> BinaryIO:
    """The file, or a copy in memory, from its beginning, once it has passed its checks.

    Parameters
    ----------
    file : binary file
        A regular file on disk, at its beginning.

    Raises
    ------
    RefusalError
        If it is damaged, cut short or too large to check.
    """
    head = file.read(len(PNG_SIGNATURE))
    file.seek(0)
    if head.startswith(PNG_SIGNATURE):
        return io.BytesIO(_check_png(_whole(file)))
    if head.startswith(b"\xff\xd8\xff"):
        data = _whole(file)
        _check_jpeg(data)
        return io.BytesIO(data)
    return file


def _whole(file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        raise RefusalError(f"the file has {size:,} bytes, more than {MAX_FILE_BYTES:,}")
    return file.read()


def _check_png(data: bytes) -> bytes:
    """The file without its texts, which Pillow would refuse an image for."""
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    for kind, body, whole in _chunks(data):
        if zlib.crc32(whole[4:-4]) != int.from_bytes(whole[-4:], "big"):
            name = kind.decode("ascii", "backslashreplace")
            raise RefusalError(f"it is damaged: the checksum of its chunk {name} is wrong")
        turning = len(body) < PNG_TEXT_BYTES and bytes(body[:32]).startswith(PNG_ORIENTATIONS)
        if kind not in PNG_TEXTS or turning:
            kept.append(whole)
    return b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Kind and body of each chunk up to IEND, and the whole of it."""
    view, at, kind = memoryview(data), len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise RefusalError("the file is truncated")
        yield kind, view[at + 8 : end - 4], view[at:end]
        at = end


def check_png_rows(file: BinaryIO) -> None:
    """Refuse a PNG of fewer rows than it states, whose last ones Pillow leaves at zero.

    Its rows are inflated again, to be counted.

    Raises
    ------
    RefusalError
    """
    file.seek(0)
    data = file.read()
    inflater, inflated = zlib.decompressobj(), 0
    for kind, body, _ in _chunks(data):
        pending: bytes | memoryview = body if kind == b"IDAT" else b""
        while pending:
            inflated += len(inflater.decompress(pending, 1 << 20))
            pending = inflater.unconsumed_tail
    if inflated < _png_bytes(data):
        raise RefusalError("the file is truncated: rows are missing")


def _png_bytes(data: bytes) -> int:
    """Bytes of all rows, inflated, as the header states them."""
    width, height, depth, colour, *_, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    total = 0
    for x, y, across, down in PNG_PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0:
            total += max(0, rows) * (1 + -(-columns * depth * PNG_CHANNELS[colour] // 8))
    return total


def _check_jpeg(data: bytes) -> None:
    """Refuse what libjpeg only warns of; it decodes at an eighth of the size for that."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
        if height * width <= 2 * (Image.MAX_IMAGE_PIXELS or 0):  # Pillow refuses larger ones
            simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, min_height=1, min_width=1)
    except ValueError as error:
        if any(words in str(error) for words in JPEG_DAMAGE):
            raise RefusalError(f"it is damaged: {error}") from error
