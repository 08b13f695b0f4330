import pytest
import torch

from encoders import losses
from encoders.multiscale import OFFICIAL_WINDOWS, PAPER_WINDOWS, MultiScale, stretch
from encoders.networks import (
    ResponseNorm,
    paper_discriminator,
    paper_img_net,
    paper_lab_net,
    paper_tex_net,
)


def test_response_norm_equals_tensorflows():
    features = 3 * torch.sin(0.9 * torch.arange(8.0) + 0.1)[None]
    expected = [
        0.177987, 1.500151, 1.686878, 0.596954, -0.944244, -1.771426, -1.257795, 0.207797,
    ]  # fmt: skip
    assert ResponseNorm()(features)[0].tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("window", "first", "last"),
    [
        (50, [24.5, 25.5, 26.5], [74.5, 74.5, 74.5]),
        (30, [14.5, 15.4, 16.3], [74.5]),
        (15, [7.0, 7.9, 8.8], [82.0]),
        (10, [4.5, 5.5], [94.5]),
        (5, [2.0, 3.0, 4.0], [97.0]),
    ],
)
def test_stretching_has_the_released_codes_corners(window, first, last):
    ramp = torch.arange(100.0)[None, None]
    pooled = torch.nn.functional.avg_pool1d(ramp, window)[:, 0]
    stretched = stretch(pooled, 100)[0].tolist()
    assert stretched[: len(first)] == pytest.approx(first, abs=1e-5)
    assert stretched[-len(last) :] == pytest.approx(last, abs=1e-5)


@pytest.mark.parametrize("windows", [PAPER_WINDOWS, OFFICIAL_WINDOWS])
def test_no_level_of_the_text_block_is_dead(windows):
    bags = (torch.rand(4, 120, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    for seed in range(100):
        torch.manual_seed(seed)
        block = MultiScale(windows)
        out = block(bags)
        assert out.shape == (4, 6, 120)
        torch.testing.assert_close(out[:, 0], bags)
        out.sum().backward()
        assert (block.weights.grad != 0).all()


NETS = [
    (paper_lab_net(5, 32, 16), 5),
    (paper_img_net(40, 32, 16, 5), 40),
    (paper_tex_net(60, 32, 16, 5, PAPER_WINDOWS), 60),
    (paper_tex_net(60, 32, 16, 5, ()), 60),
]


@pytest.mark.parametrize(("net", "inputs"), NETS)
def test_networks_give_features_codes_and_logits(net, inputs):
    out = net(torch.rand(3, inputs))
    assert out.feature.shape == (3, 512)
    assert (out.feature >= 0).all()
    assert out.code.shape == (3, 16)
    assert (out.code.abs() < 1).all()
    assert out.logits.shape == (3, 5)


@pytest.mark.parametrize(("shift", "least", "most"), [(2.0, 0.9, 1.0), (0.0, 0.3, 0.7)])
def test_a_discriminator_tells_apart_what_differs_and_no_more(shift, least, most):
    torch.manual_seed(0)
    judge = paper_discriminator(64)
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3)
    for _ in range(150):
        loss = losses.discriminator(
            judge(torch.randn(64, 512) + shift), judge(torch.randn(64, 512))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, fake = judge(torch.randn(500, 512) + shift) > 0.5, judge(torch.randn(500, 512)) <= 0.5
    accuracy = torch.cat([real, fake]).float().mean().item()
    assert least <= accuracy <= most
