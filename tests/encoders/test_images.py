import numpy as np
import pytest
from PIL import Image

from encoders.images import load_image


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(8, 8), (50, 20)])
def test_every_kind_of_image_becomes_a_square_of_rgb(tmp_path, mode, size):
    suffix = "jpg" if mode == "CMYK" else "png"
    path = tmp_path / f"image.{suffix}"
    Image.new(mode, size).save(path)
    pixels = load_image(path, 16)
    assert (pixels.shape, pixels.dtype) == ((3, 16, 16), np.uint8)


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (load_image(tmp_path / "clear.png", 4) == 255).all()
