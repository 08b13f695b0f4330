import numpy as np
import pytest
import torch
from torch.nn import functional

from encoders import dcmh
from encoders.baselines import BASELINES
from encoders.dcmh import DcmhCodes, gradient
from encoders.ranking import map_of
from encoders.retrieval import Retrieval
from ssah_index import pack


def objective(images, texts, target, similar):
    """The paper's objective, term by term."""
    theta = 0.5 * images @ texts.T
    pairs = -(similar * theta - functional.softplus(theta)).sum()
    quantised = (target - images).square().sum() + (target - texts).square().sum()
    balance = images.sum(dim=0).square().sum() + texts.sum(dim=0).square().sum()
    return pairs + dcmh.QUANTISATION * quantised + dcmh.BALANCE * balance


@pytest.mark.parametrize("own", [0, 1])
def test_the_gradient_is_that_of_the_paper(own):
    torch.manual_seed(0)
    outputs = [torch.randn(20, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    similar = (torch.rand(20, 20) < 0.4).double()
    target = torch.where(torch.randn(20, 8) > 0, 1.0, -1.0).double()
    objective(*outputs, target, similar).backward()
    rows = torch.tensor([3, 0, 11])
    with torch.no_grad():
        relevant = (similar if own == 0 else similar.T)[rows]
        found = gradient(outputs[own], outputs[1 - own], target, relevant, rows)
    torch.testing.assert_close(found, outputs[own].grad[rows])


@pytest.fixture(scope="module")
def world():
    """Labels that no linear map of the images tells: products of two hidden signs."""
    random = np.random.default_rng(0)
    signs = np.where(random.random((1200, 6)) < 0.5, -1.0, 1.0)
    classes = (signs[:, 0] * signs[:, 1] > 0) + 2 * (signs[:, 2] * signs[:, 3] > 0)
    labels = np.eye(4, dtype=np.uint8)[classes]
    images = signs @ random.standard_normal((6, 20)) + 0.3 * random.standard_normal((1200, 20))
    texts = labels @ random.standard_normal((4, 50)) + random.standard_normal((1200, 50)) > 0.8
    return images.astype(np.float32), texts.astype(np.uint8), labels


def score(model, world):
    images, texts, labels = world
    return map_of(
        Retrieval(
            queries=model.encode("image", images[1000:]),
            query_labels=labels[1000:],
            database=model.encode("text", texts[1000:]),
            database_labels=labels[1000:],
        )
    )


def test_it_learns_what_ridge_cannot(world, monkeypatch):
    monkeypatch.setattr(dcmh, "HIDDEN", 64)
    monkeypatch.setattr(dcmh, "PASSES", 20)
    monkeypatch.setattr(dcmh, "RATE", 0.01)
    train = [part[:1000] for part in world]
    deep, linear = (BASELINES[name].fit(*train, 16, 0) for name in ("dcmh", "ridge"))
    assert score(deep, world) > score(linear, world) + 0.2


def test_codes_are_the_signs_of_activations_and_follow_the_seed(world, monkeypatch):
    monkeypatch.setattr(dcmh, "HIDDEN", 32)
    monkeypatch.setattr(dcmh, "PASSES", 2)
    train = [part[:300] for part in world]
    before = torch.random.get_rng_state()
    model, again, other = (DcmhCodes.fit(*train, 16, seed) for seed in (0, 0, 1))
    assert (torch.random.get_rng_state() == before).all()
    for modality, part in zip(("image", "text"), world[:2], strict=True):
        found = model.activations(modality, part)
        assert (found.dtype, found.shape) == (np.float32, (1200, 16))
        assert (model.encode(modality, part) == pack(found)).all()
        assert (found == again.activations(modality, part)).all()
        assert (found != other.activations(modality, part)).any()
