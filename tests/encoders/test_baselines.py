import numpy as np
import pytest

from encoders.baselines import BASELINES
from encoders.datasets import load_mirflickr_npz
from encoders.ranking import map_of
from encoders.retrieval import Retrieval
from encoders.splits import split_for
from ssah_index import unpack
from ssah_index.errors import CodeError, InputError
from tests.encoders.data_sets import MIRFLICKR, needs

BITS = 32


@pytest.fixture(scope="module")
def world():
    """Six hidden causes seen through noise as images and texts; labels name some of them."""
    random = np.random.default_rng(0)
    labels = (random.random((800, 6)) < 0.25).astype(np.uint8)
    labels[np.arange(800), random.integers(0, 6, 800)] = 1
    images = labels @ random.standard_normal((6, 40)) + random.standard_normal((800, 40))
    texts = labels @ random.standard_normal((6, 50)) + random.standard_normal((800, 50)) > 0.8
    return images.astype(np.float32), texts.astype(np.uint8), labels


def fit(name, world, bits=BITS, seed=0):
    return BASELINES[name].fit(*(part[:500] for part in world), bits, seed)


def score(model, world, asked="image", found="text"):
    arrays = dict(zip(("image", "text"), world, strict=False))
    return map_of(
        Retrieval(
            queries=model.encode(asked, arrays[asked][500:600]),
            query_labels=world[2][500:600],
            database=model.encode(found, arrays[found][600:]),
            database_labels=world[2][600:],
        ),
        ties="expected",
    )


@pytest.mark.parametrize("name", BASELINES)
def test_codes_have_their_width_and_follow_the_seed(name, world):
    model, again, other = (fit(name, world, seed=seed) for seed in (0, 0, 1))
    assert model.bits == BITS
    for modality, part in (("image", world[0]), ("text", world[1])):
        codes = model.encode(modality, part)
        assert (codes.dtype, codes.shape) == (np.uint8, (800, BITS // 8))
        assert (codes == again.encode(modality, part)).all()
        assert (codes != other.encode(modality, part)).any()
        assert model.encode(modality, part[:0]).shape == (0, BITS // 8)


@pytest.mark.parametrize("directions", [("image", "text"), ("text", "image")])
def test_the_order_of_the_baselines_is_that_of_what_they_know(world, directions):
    chance, alone, labelled = (
        score(fit(name, world), world, *directions) for name in ("random", "cca-itq", "ridge")
    )
    assert chance + 0.05 < alone < labelled


@pytest.mark.parametrize("bits", [8, 40, 128])
def test_cca_serves_fewer_and_more_bits_than_directions(world, bits):
    model = fit("cca-itq", world, bits)
    assert model.bits == bits
    assert score(model, world) > 0.55


def test_the_turn_brings_views_nearer_to_their_signs(world, monkeypatch):
    """ITQ's loss |B - VR|^2 falls; compared by bits that noise flips between modalities."""
    turned = fit("cca-itq", world, 8)
    monkeypatch.setattr("encoders.baselines.ITQ_ROUNDS", 0)
    unturned = fit("cca-itq", world, 8)

    def loss(model):
        mean, matrix = model.maps["image"]
        values = (world[0][:500] - mean) @ matrix
        signs = unpack(model.encode("image", world[0][:500]), "signs")
        return ((signs - values) ** 2).mean()

    assert loss(turned) < loss(unturned)


@pytest.mark.parametrize("name", ["ridge", "cca-itq", "dcmh"])
def test_what_does_not_fit_is_refused(name, world):
    images, texts, labels = world
    model = fit(name, world)
    with pytest.raises(InputError, match=r"text features of shape \(800, 40\)"):
        model.encode("text", images)
    with pytest.raises(InputError, match=r"images \(9, 40\), texts \(800, 50\)"):
        BASELINES[name].fit(images[:9], texts, labels, BITS, 0)
    with pytest.raises(CodeError, match="12 bits"):
        BASELINES[name].fit(images, texts, labels, 12, 0)


@pytest.mark.data
@needs(MIRFLICKR)
def test_ridge_reaches_its_reference_on_mirflickr():
    data = load_mirflickr_npz(MIRFLICKR)
    split = split_for("mirflickr", len(data), 0)
    train = split.train
    model = BASELINES["ridge"].fit(data.images[train], data.texts[train], data.labels[train], 64, 0)
    codes = {"image": model.encode("image", data.images), "text": model.encode("text", data.texts)}
    for asked, found, reference in (("image", "text", 0.718), ("text", "image", 0.711)):
        task = Retrieval(
            queries=codes[asked][split.query],
            query_labels=data.labels[split.query],
            database=codes[found][split.retrieval],
            database_labels=data.labels[split.retrieval],
        )
        assert reference - 0.01 < map_of(task) < reference + 0.05
