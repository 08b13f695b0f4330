"""Files that are cut or altered: a failure or pixels, never anything else."""

import io
import os
import random
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from encoders.images import load_image
from ssah_index.errors import ItemError
from tests.encoders.test_images import RAMP, chunk, png, reason_of

NOISE = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE).resize((48, 36), Image.Resampling.BICUBIC)
KINDS = {
    "png": {},
    "jpeg": {},
    "jpeg, progressive": {"progressive": True},
    "jpeg, restarts": {"restart_marker_blocks": 2},
    "gif": {},
    "bmp": {},
    "tiff": {},
    "tiff, deflate": {"compression": "tiff_adobe_deflate"},
    "tiff, lzw": {"compression": "tiff_lzw"},
    "tiff, jpeg": {"compression": "jpeg"},
    "webp": {},
    "webp, lossless": {"lossless": True},
    "avif": {},
    "jpeg2000": {},
    "ppm": {},
    "tga": {"compression": "tga_rle"},
    "ico": {},
}


def encoded(kind):
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind.split(",")[0], **KINDS[kind])
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_is_refused_unless_all_pixels_are_there(tmp_path, kind):
    data, path = encoded(kind), tmp_path / "x"
    path.write_bytes(data)
    whole = load_image(path, 8)
    for position in [*random.Random(0).sample(range(1, len(data)), 40), len(data) - 1]:
        path.write_bytes(data[:position])
        if kind in ("gif", "tga", "ico") and position > len(data) - 30:
            np.testing.assert_array_equal(load_image(path, 8), whole)  # a trailer is cut
        else:
            reason_of(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_ends_in_pixels_or_one_failure(tmp_path, kind):
    data, path, seed = encoded(kind), tmp_path / "x", random.Random(1)
    for position in [*range(0, 30, 3), *seed.sample(range(len(data)), 30)]:
        altered = bytearray(data)
        altered[position] ^= 1 << seed.randrange(8)
        path.write_bytes(altered)
        try:
            assert load_image(path, 8).shape == (3, 8, 8)
            assert kind != "png"
        except ItemError as error:
            str(error).encode()


def test_every_flipped_byte_of_a_png_is_refused(tmp_path):
    data, path = encoded("png"), tmp_path / "x.png"
    for position in range(0, len(data), 37):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        reason_of(path)
    middle = data.index(b"IDAT") + 200
    path.write_bytes(data[:middle] + b"\0\0\0" + data[middle + 3 :])
    assert reason_of(path) == "it is damaged: the checksum of its chunk IDAT is wrong"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_a_png_of_too_few_rows_is_refused_though_its_checksums_hold(tmp_path, interlaced, kept):
    raw = b"".join(b"\0" + row.tobytes() for row in (RAMP * 254 + 1).astype(np.uint8))
    raw = raw + bytes(40) if interlaced else raw
    data = bytearray(png(inflated=raw[: int(kept * 72)]))
    if interlaced:
        data[28] = 1
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(data)
    assert reason_of(tmp_path / "x.png").startswith(("the file is truncated: rows", "OSError"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (5, 3), (9, 1), (1, 9)])
def test_a_whole_png_may_end_in_black(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "x.png")
    assert load_image(tmp_path / "x.png", 4).shape == (3, 4, 4)


def test_an_interlaced_png_may_end_in_black(tmp_path):
    """5 x 3 pixels in seven passes: rows of 1 + 1, 1 + 1, 2, 3, 3 + 1 + 2 and 5 + 1 bytes."""
    raw = bytes(sum((1 + 1, 1 + 1, 1 + 2, 2 * (1 + 1), 1 + 3, 2 * (1 + 2), 1 + 5)))
    head = (5).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes([8, 0, 0, 0, 1])
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert not load_image(tmp_path / "x.png", 4).any()


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
        chunk(b"tEXt", b"Comment\0" + b"a" * 3_000_000),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"a" * 3_000_000),
        chunk(b"zTXt", b"Comment\0\0" + b"not deflate"),
        chunk(b"iTXt", b"") + chunk(b"zTXt", b"no end") + chunk(b"tEXt", b""),
        chunk(b"zTXt", b"n\0\0" + zlib.compress(b"a" * 900_000)) * 90,
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_texts_of_a_png_do_not_matter(tmp_path, text, last):
    data = png() if last else png(text)
    (tmp_path / "x.png").write_bytes(data[:-12] + text * last + data[-12:])
    np.testing.assert_array_equal(load_image(tmp_path / "x.png", 8)[0], (RAMP * 255).astype("u1"))


def test_a_text_of_a_png_turns_it(tmp_path):
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'
    raw = b"Raw profile type exif\0\0" + zlib.compress(
        b"\nexif\n      26\n" + b"49492a0008000000010012010300010000000600000000000000" + b"\n"
    )
    turned = np.rot90((RAMP * 255).astype(np.uint8), -1)
    for text in (chunk(b"iTXt", xmp), chunk(b"zTXt", raw)):
        (tmp_path / "x.png").write_bytes(png(text))
        np.testing.assert_array_equal(load_image(tmp_path / "x.png", 8)[0], turned)


@pytest.mark.parametrize("after", [b"", b"trailing", b"\xff\xd8\xff\xd9", bytes(1000)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "jpeg, progressive", "gif", "webp", "bmp"])
def test_what_follows_a_picture_does_not_matter(tmp_path, kind, after):
    (tmp_path / "whole").write_bytes(encoded(kind))
    (tmp_path / "more").write_bytes(encoded(kind) + after)
    expected = load_image(tmp_path / "whole", 8)
    np.testing.assert_array_equal(load_image(tmp_path / "more", 8), expected)


def test_what_a_jpeg_shows_of_its_damage_is_refused(tmp_path):
    path = tmp_path / "x.jpg"

    def refused(data):
        path.write_bytes(data)
        return reason_of(path)

    data = encoded("jpeg")
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    assert refused(data[:-2]) == "it is damaged: Premature end of JPEG file"
    assert refused(data[:-1]) == "it is damaged: Premature end of JPEG file"
    for marker in (b"\xff\x10", b"\xff\xc0", b"\xff\xd8", b"\xff\xdb\0\2", b"\xff\xe0\0\2"):
        assert refused(data[:middle] + marker + data[middle:])
    restarts = encoded("jpeg, restarts")
    first, second, *_ = (found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", restarts))
    assert "instead of RST" in refused(restarts[:first] + restarts[second:])
    assert "Corrupt JPEG data" in refused(data[:middle] + b"\xfe" * 40 + data[middle + 40 :])


def test_fill_bytes_and_thumbnails_are_no_damage(tmp_path):
    data = encoded("jpeg")
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    (tmp_path / "x.jpg").write_bytes(data[:2] + thumbnail + data[2:-2] + b"\xff\xff\xff\xd9")
    (tmp_path / "whole.jpg").write_bytes(data)
    expected = load_image(tmp_path / "whole.jpg", 8)
    np.testing.assert_array_equal(load_image(tmp_path / "x.jpg", 8), expected)


def test_a_tiff_whose_directory_is_damaged_is_refused(tmp_path):
    Image.fromarray(NOISE).convert("P").save(tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    at = data.index((320).to_bytes(2, "little") + (3).to_bytes(2, "little"))  # the palette
    far = data[: at + 8] + (1 << 30).to_bytes(4, "little") + data[at + 12 :]
    (tmp_path / "x.tif").write_bytes(far)
    reason_of(tmp_path / "x.tif")


def test_a_file_too_large_to_check_is_refused_unread(tmp_path):
    for name, head in (("x.png", png()), ("x.jpg", encoded("jpeg"))):
        (tmp_path / name).write_bytes(head)
        os.truncate(tmp_path / name, 1 << 40)
        assert reason_of(tmp_path / name).startswith("the file has 1,099,511,627,776 bytes")


@pytest.mark.parametrize(("width", "height"), [(0, 8), (8, 0), (0, 0), (30_000, 30_000)])
def test_a_png_without_pixels_or_of_too_many_is_refused(tmp_path, width, height):
    (tmp_path / "x.png").write_bytes(png(width=width, height=height))
    reason = reason_of(tmp_path / "x.png")
    if width == 30_000:
        assert "900000000 pixels" in reason  # and the bound
