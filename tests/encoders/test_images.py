"""Pictures of every mode, depth and kind of file become pixels, or one failure."""

import os
import re
import resource
import socket
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from encoders import images
from encoders.config import TrainSpec
from encoders.damage import PNG_SIGNATURE
from encoders.images import image_warnings, load_image
from encoders.pairs import read_pairs
from ssah_index.errors import ItemError
from ssah_index.types import no_progress
from tests.encoders.conftest import FIXTURE

RAMP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
"""Grey from black to white."""


def reason_of(path):
    """Why an image fails, in words that any file can hold."""
    with pytest.raises(ItemError) as raised:
        load_image(path, 8)
    message = str(raised.value)
    message.encode()
    assert len(message) < 600
    return re.search(r"cannot be decoded \((.*)\); expected", message, re.DOTALL)[1]


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*extra, width=8, height=8, depth=8, colour=0, pixels=None, inflated=None):
    """A grey PNG with chunks of one's own before its pixels."""
    rows = (RAMP * 255).astype(np.uint8) if pixels is None else pixels
    raw = b"".join(b"\0" + row.tobytes() for row in rows) if inflated is None else inflated
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND")]
    return PNG_SIGNATURE + b"".join(parts)


def save(path, picture, **options):
    """Write an array or a Pillow image; returns the path."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def exif(*entries, order="<", count=None, more=b""):
    """An EXIF block of (tag, type, count, four bytes) and what their offsets point to."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}H", len(entries) if count is None else count)
    for tag, kind, n, value in entries:
        body += struct.pack(f"{order}HHI", tag, kind, n) + value
    return b"Exif\0\0" + head + body + struct.pack(f"{order}I", 0) + more


TURNED = (274, 3, 1, struct.pack("<HH", 6, 0))
AT_38, MINUS_1 = struct.pack("<I", 38), struct.pack("<i", -1)
EXIF = {
    "signed rational -1/0": (exif(TURNED, (37380, 10, 1, AT_38), more=MINUS_1 + b"\0" * 4), 6),
    "rational 3/0": (exif(TURNED, (33434, 5, 1, AT_38), more=b"\3" + b"\0" * 7), 6),
    "rational 0/0": (exif(TURNED, (33434, 5, 1, AT_38), more=b"\0" * 8), 6),
    "text that is no ASCII": (exif(TURNED, (306, 2, 4, b"\xff\xfe\0\xff")), 6),
    "a huge count": (exif(TURNED, (282, 5, 2**31, AT_38)), 6),
    "an offset beyond": (exif(TURNED, (282, 5, 1, struct.pack("<I", 2**31))), 6),
    "an unknown type": (exif(TURNED, (282, 99, 1, b"abcd")), 6),
    "more entries than there are": (exif(TURNED, count=900), 6),
    "the directory in itself": (exif(TURNED, (34665, 4, 1, struct.pack("<I", 8))), 6),
    "a directory cut short": (exif(TURNED)[:20], 1),
    "only a beginning": (b"Exif\0\0II", 1),
    "noise": (b"Exif\0\0" + bytes(range(200)), 1),
    "nothing": (b"Exif\0\0", 1),
    "orientation as text": (exif((274, 2, 2, b"6\0\0\0")), 1),
    "orientation as a fraction": (exif((274, 5, 1, b"\x1a\0\0\0"), more=b"\6" + b"\0" * 7), 1),
    "orientation as a float": (exif((274, 11, 1, struct.pack("<f", 6.5))), 1),
    "orientation 0": (exif((274, 3, 1, b"\0\0\0\0")), 1),
    "orientation 9": (exif((274, 3, 1, b"\x09\0\0\0")), 1),
    "orientation -1": (exif((274, 9, 1, b"\xff\xff\xff\xff")), 1),
    "orientation twice": (exif((274, 3, 2, struct.pack("<HH", 6, 8))), 6),
    "orientation of no values": (exif((274, 3, 0, b"\x06\0\0\0")), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", EXIF)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_damaged_exif_leaves_the_picture_whole(tmp_path, name, suffix):
    block, turn = EXIF[name]
    grey = Image.fromarray(np.repeat(RAMP * 255, 3).astype(np.uint8).reshape(8, 24))
    lossless = {"lossless": True} if suffix == "webp" else {}
    plain = save(tmp_path / f"plain.{suffix}", grey.convert("RGB"), **lossless)
    path = save(tmp_path / f"x.{suffix}", grey.convert("RGB"), exif=block, **lossless)
    expected = load_image(plain, 8)
    if turn == 6:
        with Image.open(plain) as image:
            image.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "turned.png")
        expected = load_image(tmp_path / "turned.png", 8)
    np.testing.assert_array_equal(load_image(path, 8), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_are_turned_upright(tmp_path, orientation, suffix):
    block = Image.Exif()
    block[274] = orientation
    path = save(tmp_path / f"x.{suffix}", (RAMP * 255).astype(np.uint8), exif=block)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        upright.load()
    expected = np.asarray(upright.convert("RGB").resize((8, 8))).transpose(2, 0, 1)
    np.testing.assert_array_equal(load_image(path, 8), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(8, 8), (50, 20), (1, 1), (1, 3000)])
def test_every_kind_of_image_becomes_a_square_of_rgb(tmp_path, mode, size):
    suffix = "jpg" if mode == "CMYK" else "png"
    pixels = load_image(save(tmp_path / f"x.{suffix}", Image.new(mode, size)), 16)
    assert (pixels.shape, pixels.dtype) == ((3, 16, 16), np.uint8)


def coloured(mode, value):
    """A picture of one colour in a mode, by way of RGB."""
    image = Image.new("RGBA" if mode in ("RGBA", "LA", "PA") else "RGB", (8, 8), value)
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(mode, "tif") for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")]
    + [("CMYK", "jpg"), ("P", "gif"), ("RGB", "bmp"), ("RGBA", "webp"), ("RGB", "avif")],
)
def test_colours_of_every_mode_are_told_apart(tmp_path, mode, suffix):
    for value, close in (((255, 255, 255), 255), ((0, 0, 0), 0)):
        path = save(tmp_path / f"x.{suffix}", coloured(mode, value))
        assert abs(load_image(path, 4).astype(int) - close).max() < 8
    if mode not in ("1", "L", "LA"):
        path = save(tmp_path / f"x.{suffix}", coloured(mode, (200, 40, 40)))
        red, green, blue = load_image(path, 4).mean((1, 2))
        assert red > 150 > 90 > max(green, blue)


@pytest.mark.parametrize("mode", ["HSV", "La", "RGBa", "RGBX", "I;16L"])
def test_modes_that_few_files_have_are_flattened(mode):
    base = Image.new("L" if mode == "I;16L" else "RGBA", (2, 2), "white")
    image = base.convert("LA").convert("La") if mode == "La" else base.convert("RGB").convert(mode)
    assert images._flatten(image).mode == "RGB"


def test_transparency_is_laid_on_white(tmp_path):
    for number, picture in enumerate(
        [
            Image.new("RGBA", (4, 4), (0, 0, 0, 0)),
            Image.new("LA", (4, 4), (0, 0)),
            Image.new("PA", (4, 4), (0, 0)).convert("RGBA"),
        ]
    ):
        assert (load_image(save(tmp_path / f"{number}.png", picture), 4) == 255).all()
    for mode, key in (("L", 7), ("RGB", (7, 7, 7)), ("P", 0), ("P", b"\0" * 256), ("1", 0)):
        picture = Image.new(mode, (4, 4), 0 if mode in "1P" else key)
        assert (load_image(save(tmp_path / "key.png", picture, transparency=key), 4) == 255).all()


DEEP = {
    "I;16 png": ("png", lambda ramp: (ramp * 65535).astype(np.uint16), {}),
    "I;16 tif": ("tif", lambda ramp: (ramp * 65535).astype(np.uint16), {}),
    "I;16B tif": ("tif", lambda ramp: (ramp * 65535).astype(">u2"), {}),
    "I;16 lzw": ("tif", lambda ramp: (ramp * 65535).astype(np.uint16), {"compression": "tiff_lzw"}),
    "I;16 pgm": ("pgm", lambda ramp: (ramp * 65535).astype(np.uint16), {}),
    "int32": ("tif", lambda ramp: (ramp * 4e9 - 2e9).astype(np.int32), {}),
    "int32, far from zero": ("tif", lambda ramp: (ramp.astype("f8") * 255 + 2e9).astype("i4"), {}),
    "float": ("tif", lambda ramp: ramp.astype(np.float32), {}),
    "float, negative": ("tif", lambda ramp: (ramp * 3e38 - 1e38).astype(np.float32), {}),
    "float, its whole range": ("tif", lambda ramp: ((ramp - 0.5) * 2 * 3.4e38).astype("f4"), {}),
    "float, tiny": ("tif", lambda ramp: (ramp * 1e-30).astype(np.float32), {}),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grey_is_scaled_not_clipped(tmp_path, name):
    suffix, deepened, options = DEEP[name]
    path = save(tmp_path / f"x.{suffix}", deepened(RAMP), **options)
    grey = np.rint(RAMP * 255)
    assert abs(load_image(path, 8).astype(int) - grey).max() <= 1


def test_sixteen_bits_have_a_white_of_their_own(tmp_path):
    """Two flat pictures stay two: the depth scales, not the range."""
    means = [
        load_image(save(tmp_path / "x.png", np.full((8, 8), value, np.uint16)), 4).mean()
        for value in (0, 10_000, 30_000, 65_535)
    ]
    np.testing.assert_allclose(means, [0, 39, 117, 255], atol=0.6)


def test_a_tiff_of_unsigned_or_inverted_grey_is_scaled_as_it_says(tmp_path):
    def tiff(bits, values, photometric=1):
        path = tmp_path / "x.tif"
        tags = [(256, 8), (257, 8), (258, bits), (259, 1), (262, photometric), (273, 134)]
        tags += [(277, 1), (278, 8), (279, values.nbytes)]
        body = struct.pack("<H", len(tags))
        body += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        path.write_bytes((b"II*\0\x08\0\0\0" + body).ljust(134, b"\0") + values.tobytes())
        return load_image(path, 8).astype(int)

    grey = np.rint(RAMP * 255)
    assert abs(tiff(32, (RAMP.astype("f8") * (2**32 - 1)).astype("<u4")) - grey).max() <= 1
    assert abs(tiff(16, (RAMP * 65535).astype("<u2"), 0) - (255 - grey)).max() <= 1


def test_what_no_number_says_is_white(tmp_path):
    values = RAMP.copy()
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    pixels = load_image(save(tmp_path / "x.tif", values), 8)[0]
    assert pixels[0, :3].tolist() == [255, 255, 0]
    assert len(np.unique(pixels)) > 30
    for flat in (0.25, 7e30):
        path = save(tmp_path / "flat.tif", np.full((4, 4), flat, np.float32))
        assert (load_image(path, 4) == 128).all()
    for none in (np.nan, np.inf):
        path = save(tmp_path / "none.tif", np.full((4, 4), none, np.float32))
        assert reason_of(path) == "none of its pixels has a finite value"
    keyed = png(chunk(b"tRNS", b"\0\0"), depth=16, pixels=(RAMP * 65535).astype(">u2"))
    (tmp_path / "keyed.png").write_bytes(keyed)
    assert load_image(tmp_path / "keyed.png", 8)[0, 0, :2].tolist() == [255, 4]


def test_pictures_of_many_frames_give_their_first(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for suffix in ("gif", "webp", "png", "tif", "avif"):
        noun = "pages" if suffix == "tif" else "frames"
        path = tmp_path / f"x.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert load_image(path, 4).mean((1, 2)).tolist() == pytest.approx([255, 0, 0], abs=4)
        assert image_warnings(path) == [f"only the first of 3 {noun} is used"]
        assert image_warnings(save(path, frames[0])) == []
    assert image_warnings(tmp_path / "missing.gif") == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "it is a named pipe, not a file"),
        (os.mkdir, "it is a folder, not a file"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "it is a socket, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (Path.touch, "the file is empty"),
        (lambda path: None, "no such file"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_only_regular_files_are_opened(tmp_path, make, reason):
    make(tmp_path / "x.png")
    assert reason_of(tmp_path / "x.png") == reason
    assert image_warnings(tmp_path / "x.png") == []


def test_refused_paths_leave_no_file_open(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), FIXTURE / "codes.json") * 3:
        reason_of(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_to_a_picture_is_one(tmp_path):
    (tmp_path / "link.png").symlink_to(FIXTURE / "red.png")
    assert (load_image(tmp_path / "link.png", 8) == load_image(FIXTURE / "red.png", 8)).all()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (Path("a\0b.png"), "ValueError: embedded null byte"),
        (Path("x" * 5000), "file name too long"),
        (Path("/".join(["x" * 200] * 30)), "file name too long"),
        (Path("data:image/png;base64," + "A" * 4000), "it is an address of the kind data:"),
        (Path("data:" + "A" * 4000), "it is an address of the kind data:"),
        (Path("https://a.b/c.png"), "it is an address of the kind https:"),
        (Path("missing\udcff.png"), "no such file"),
        (Path("missing\ud800.png"), "UnicodeEncodeError"),
        (None, "TypeError"),
        (3.5, "TypeError"),
    ],
)
def test_paths_that_no_file_has_are_one_failure(path, reason):
    assert reason_of(path).startswith(reason)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("decoder"), MemoryError(), struct.error("cut"), IndexError("i"), KeyError("k"),
     OverflowError("big"), zlib.error("-3"), RecursionError("deep"), UserWarning("strict"),
     AssertionError(), NotImplementedError(), Exception("\udcff"), OSError("no number")],
)  # fmt: skip
def test_whatever_a_decoder_raises_is_one_failure(monkeypatch, frozen, error):
    def decode(file):
        raise error

    monkeypatch.setattr(images, "checked", decode)
    assert reason_of(FIXTURE / "red.png").startswith(type(error).__name__)
    codes, failures = frozen.encode("image", [FIXTURE / "red.png"] * 2)
    assert (len(codes), [position for position, _ in failures]) == (0, [0, 1])


def test_ctrl_c_is_no_failure_of_an_image(monkeypatch):
    def decode(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "checked", decode)
    with pytest.raises(KeyboardInterrupt):
        load_image(FIXTURE / "red.png", 8)


def test_a_picture_that_no_memory_holds_is_one_failure(tmp_path):
    path = save(tmp_path / "x.png", Image.new("1", (9000, 9000)))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20), limits[1]))
    try:
        assert reason_of(path) == "MemoryError"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_the_callers_warning_filters_decide_nothing(tmp_path, monkeypatch):
    """Pillow's bound on pixels warns at the bound and refuses at twice the bound."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for action in ("error", "always", "ignore"):
        for suffix in ("png", "tif"):
            path = save(tmp_path / f"x.{suffix}", Image.new("RGB", (12, 12)))
            with warnings.catch_warnings():
                warnings.simplefilter(action)
                assert load_image(path, 4).shape == (3, 4, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert "144 pixels" in reason_of(path)
    assert "100 pixels" in reason_of(path)


def test_training_leaves_out_what_cannot_be_decoded_and_says_why(world, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    bad = [
        replace(world[0], image=tmp_path / "pipe.png"),
        replace(world[0], image=tmp_path / "cut.jpg"),
        replace(world[0], image=Path("x" * 5000)),
        replace(world[0], text="a surrogate \ud800"),
    ]
    told = []
    spec = TrainSpec(batch_rows=8, image_size=16)
    pairs, _, _ = read_pairs([*bad, *world[:20]], spec, told.append, no_progress)
    assert len(pairs) == 20
    assert "4 of 24 pairs are left out" in told[0]
    assert "named pipe" in told[0]


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    assert "cannot identify its format" in reason_of(path)
