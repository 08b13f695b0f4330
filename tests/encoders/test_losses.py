import pytest
import torch
from torch.nn import functional

from encoders import losses


def numbers(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


SIMILAR = (numbers(5, 5, seed=9) > 0).double()


def test_similarity_is_a_shared_label_or_the_item_itself():
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert losses.similarity(labels).tolist() == expected


def test_pairwise_nll_is_the_formula_with_classes_balanced():
    left, right = numbers(5, 8), numbers(5, 8, seed=1)
    logits = 0.5 * left @ right.T
    nll = functional.softplus(logits) - SIMILAR * logits
    expected = (nll[SIMILAR == 1].mean() + nll[SIMILAR == 0].mean()) / 2
    actual = losses.pairwise_nll(left, right, SIMILAR, 0.5)
    torch.testing.assert_close(actual, expected)


def test_pairwise_nll_stays_finite_where_softplus_would_overflow():
    value = losses.pairwise_nll(numbers(5, 8, scale=1e3), numbers(5, 8, scale=1e3), SIMILAR, 0.5)
    assert torch.isfinite(value)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: losses.pairwise_nll(x, numbers(5, 8, seed=1), SIMILAR, 0.5),
        losses.quantisation,
        lambda x: losses.classification(x, (numbers(5, 8, seed=2) > 0).double()),
        losses.adversary,
        lambda x: losses.discriminator(x, x * 0.3),
        lambda x: losses.contrast(x, numbers(5, 8, seed=1), torch.eye(5).double(), 0.25),
    ],
)
def test_gradients_are_those_of_the_values(term):
    assert torch.autograd.gradcheck(term, numbers(5, 8).requires_grad_())


def test_quantisation_vanishes_at_signs_and_takes_zero_as_plus_one():
    signs = torch.sign(numbers(5, 8))
    assert losses.quantisation(signs) == 0
    zero = torch.zeros(1, 1, requires_grad=True)
    losses.quantisation(zero).backward()
    assert zero.grad is not None
    assert zero.grad.item() == -2  # drawn upwards, to +1


def test_the_discriminator_wants_labels_at_one_and_modalities_at_zero():
    ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    assert losses.discriminator(ones, zeros) == 0
    assert losses.discriminator(zeros, ones) == 2
    assert losses.adversary(ones) == 0


def test_likeness_lies_on_equal_texts():
    bags = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    expected = torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    torch.testing.assert_close(losses.likeness(bags), expected)


def test_contrast_is_least_when_partners_agree():
    codes = torch.sign(numbers(5, 64))
    own = torch.eye(5).double()
    agreeing = losses.contrast(codes, codes, own, 0.25)
    assert agreeing < 0.01 < losses.contrast(codes, codes.roll(1, 0), own, 0.25)
