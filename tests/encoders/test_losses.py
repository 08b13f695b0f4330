"""Terms against the formulas, the released code's values, and closed-form optima."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from encoders import losses


def numbers(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


SIMILAR = (numbers(5, 5, seed=9) > 0).double()


class Parity:
    """Inputs of section 7.2 of the method page: sines, so that every language agrees."""

    @staticmethod
    def sines(shape, a, b, scale):
        places = np.arange(np.prod(shape)).reshape(shape)
        return torch.from_numpy((scale * np.sin(a * places + b)).astype(np.float32))

    labels = torch.tensor([[float((7 * i + 3 * j) % 5 < 2) for j in range(5)] for i in range(40)])
    feature_bank = torch.relu(sines((40, 512), 0.37, 0.1, 0.2))
    code_bank = torch.tanh(sines((40, 16), 0.53, 0.2, 1.5))
    features = torch.relu(sines((8, 512), 0.41, 0.3, 0.2))
    codes = torch.tanh(sines((8, 16), 0.61, 0.4, 1.5))
    scores = torch.sigmoid(sines((8, 5), 0.71, 0.5, 2.0))


@pytest.mark.parametrize(
    ("pair", "positive", "j1", "j2"),
    [
        (losses.pairwise_squared, 0.999, 124.401516, 609.378279),
        (losses.pairwise_nll, 0.999, 230.265136, 432.875536),
        (losses.pairwise_nll, 1.0, 230.065668, 432.874951),
        (losses.pairwise_squared, 1.0, 124.341124, 610.065697),
    ],
)
def test_pair_terms_equal_the_released_codes(pair, positive, j1, j2):
    p = Parity
    similar = losses.similarity(p.labels, p.labels[:8], positive)
    assert pair(p.feature_bank, p.features, similar).item() == pytest.approx(j1, rel=1e-6)
    assert pair(p.code_bank, p.codes, similar).item() == pytest.approx(j2, rel=1e-6)


def test_the_other_terms_equal_the_released_codes():
    p = Parity
    quantised = losses.quantisation(p.codes)
    classified = losses.classification(p.scores, p.labels[:8])
    assert quantised.item() == pytest.approx(21.817560, rel=1e-6)
    assert classified.item() == pytest.approx(15.336492, rel=1e-6)
    similar = losses.similarity(p.labels, p.labels[:8], 0.999)
    total = losses.pairwise_squared(p.feature_bank, p.features, similar)
    total = total + losses.pairwise_squared(p.code_bank, p.codes, similar)
    assert (total + quantised / 2 + classified / 2).item() == pytest.approx(752.356812, rel=1e-6)
    assert similar.mean().item() == pytest.approx(0.6 * 0.999)


def test_the_generators_cross_entropy_of_the_released_code():
    logits = Parity.sines((8,), 0.83, 0.6, 1.0)
    value = functional.binary_cross_entropy_with_logits(logits, torch.ones(8))
    assert value.item() == pytest.approx(0.741358, rel=1e-5)


def test_similarity_is_a_shared_label():
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert losses.similarity(labels, labels).tolist() == expected


def test_pairwise_nll_is_binary_cross_entropy():
    left, right = numbers(5, 8), numbers(5, 8, seed=1)
    expected = functional.binary_cross_entropy_with_logits(
        0.5 * left @ right.T, SIMILAR, reduction="sum"
    )
    torch.testing.assert_close(losses.pairwise_nll(left, right, SIMILAR), expected)


def test_the_gradient_of_j2_is_the_closed_form():
    """dJ2/dH_j = 1/2 sum_i (sigmoid(Gamma_ij) - S_ij) H_i."""
    left, right = numbers(5, 8), numbers(5, 8, seed=1).requires_grad_()
    losses.pairwise_nll(left, right, SIMILAR).backward()
    gamma = 0.5 * left @ right.detach().T
    expected = 0.5 * (torch.sigmoid(gamma) - SIMILAR).T @ left
    torch.testing.assert_close(right.grad, expected)


def test_balanced_nll_weighs_both_kinds_one_half():
    left, right = numbers(5, 8), numbers(5, 8, seed=1)
    logits = 0.5 * left @ right.T
    nll = functional.softplus(logits) - SIMILAR * logits
    expected = (nll[SIMILAR == 1].mean() + nll[SIMILAR == 0].mean()) / 2
    torch.testing.assert_close(losses.balanced_nll(left, right, SIMILAR, 0.5), expected)


@pytest.mark.parametrize("pair", [losses.pairwise_nll, losses.pairwise_squared])
@pytest.mark.parametrize("theta", [200.0, -200.0])
def test_pair_terms_stay_finite_where_the_released_ones_overflow(pair, theta):
    left = torch.full((1, 1), 2 * theta)
    assert torch.isfinite(pair(left, torch.ones(1, 1), torch.ones(1, 1)))


def test_pair_terms_do_not_mind_flips_and_permutations_of_bits():
    left, right = numbers(5, 8), numbers(5, 8, seed=1)
    flips = torch.sign(numbers(8, seed=2))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    expected = losses.pairwise_nll(left, right, SIMILAR)
    turned = losses.pairwise_nll((left * flips)[:, order], (right * flips)[:, order], SIMILAR)
    torch.testing.assert_close(turned, expected)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: losses.pairwise_nll(x, numbers(5, 8, seed=1), SIMILAR),
        lambda x: losses.pairwise_squared(x, numbers(5, 8, seed=1), SIMILAR),
        lambda x: losses.balanced_nll(x, numbers(5, 8, seed=1), SIMILAR, 0.5),
        losses.quantisation,
        lambda x: losses.classification(torch.sigmoid(x), (numbers(5, 8, seed=2) > 0).double()),
        lambda x: losses.cross_entropy(x, (numbers(5, 8, seed=2) > 0).double()),
        losses.adversary,
        lambda x: losses.discriminator(x, x * 0.3),
        lambda x: losses.contrast(x, numbers(5, 8, seed=1), torch.eye(5).double(), 0.25),
    ],
)
def test_gradients_are_those_of_the_values(term):
    assert torch.autograd.gradcheck(term, numbers(5, 8).requires_grad_())


def simplex(classes):
    """Rows of signs whose distinct pairs have the least equal inner product."""
    full = np.array([[1]])
    while len(full) < classes:
        full = np.block([[full, full], [full, -full]])
    return torch.from_numpy(full[:, 1:]).double()


@pytest.mark.parametrize(
    ("classes", "bits", "optimum"), [(2, 16, 0.0335), (4, 12, 38.3260), (8, 14, 438.7487)]
)
def test_simplex_codes_attain_the_bound_and_training_comes_near_it(classes, bits, optimum):
    """m^2 [c softplus(-K/2) + c (c-1) softplus(-K / (2 (c-1)))], by Jensen; m = 5 points each."""
    labels = torch.eye(classes, dtype=torch.float64).repeat_interleave(5, 0)
    similar = losses.similarity(labels, labels)
    apart = bits / (2 * (classes - 1))
    bound = 25 * (
        classes * np.log1p(np.exp(-bits / 2)) + classes * (classes - 1) * np.log1p(np.exp(-apart))
    )
    assert bound == pytest.approx(optimum, abs=1e-4)
    best = simplex(classes).repeat(1, bits // (classes - 1)).repeat_interleave(5, 0)
    assert losses.pairwise_nll(best, best, similar).item() == pytest.approx(bound, rel=1e-9)
    free = numbers(5 * classes, bits).requires_grad_()
    optimiser = torch.optim.Adam([free], 0.05)
    for _ in range(1500):
        codes = torch.tanh(free)
        loss = losses.pairwise_nll(codes, codes, similar)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # tanh nears its ends slowly: a thousandth a pair is allowed for that.
    assert bound <= loss.item() <= 1.01 * bound + 0.001 * similar.numel()
    signs = torch.sign(free.detach())
    assert losses.pairwise_nll(signs, signs, similar).item() == pytest.approx(bound, rel=0.02)


def test_features_behind_a_relu_cannot_fall_below_log_2():
    left, right = numbers(5, 8).relu(), numbers(5, 8, seed=1).relu()
    value = losses.pairwise_nll(left, right, torch.zeros(5, 5).double())
    assert value >= 25 * np.log(2)


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
    assert losses.discriminator(ones / 2, ones / 2) == 0.5  # a quarter a sample, undecided
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
