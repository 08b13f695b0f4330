import numpy as np
import pytest
import torch
from PIL import Image

from encoders.data import Vocabulary, label_matrix, load_image, words_of


def test_words_are_runs_of_letters_and_digits():
    assert words_of("Arrow-Left_2, für  élan!") == ["arrow", "left", "2", "für", "élan"]


def test_the_vocabulary_ranks_by_texts_then_by_name():
    texts = ["b b b a", "a c", "d"]
    assert Vocabulary.of(texts, 1, 9).words == ("a", "b", "c", "d")
    assert Vocabulary.of(texts, 2, 9).words == ("a",)
    assert Vocabulary.of(texts, 1, 2).words == ("a", "b")


def test_bags_have_unit_length_and_ignore_unknown_words():
    bag = Vocabulary(["a", "b", "c"]).bag("c a a unknown")
    np.testing.assert_allclose(bag, np.array([1, 0, 1]) / np.sqrt(2), rtol=1e-6)


def test_labels_that_are_not_named_count_nothing():
    matrix = label_matrix([("a",), (), ("z", "b")], ["a", "b"])
    assert torch.equal(matrix, torch.tensor([[1.0, 0], [0, 0], [0, 1]]))


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
