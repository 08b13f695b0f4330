"""CNN-F and VGG-19, and both layouts of their files."""

import numpy as np
import pytest
import torch
from scipy.io import savemat

from encoders.matconvnet import CNN_F, NETWORKS, network, read_mat_net
from encoders.trunks import open_trunk, outline_trunk
from ssah_index.errors import SourceError
from tests.encoders.mat_nets import SIDE, save_mat_net, small_cnn_f


def shapes_of(kind):
    """The published shapes (out, in, height, width)."""
    if kind == "cnn-f":
        widths, sides = (64, 256, 256, 256, 256, 4096, 4096), (11, 5, 3, 3, 3, 6, 1)
    else:
        blocks = (64, 64, 128, 128, *[256] * 4, *[512] * 8)
        widths, sides = (*blocks, 4096, 4096), (*[3] * 16, 7, 1)
    inputs = (3, *widths)
    return {
        layer.name: (widths[i], inputs[i], sides[i], sides[i])
        for i, layer in enumerate(NETWORKS[kind])
    }


def trace(net, pixels):
    """Shape after each layer, by name."""
    shapes = {}
    for name, layer in net.named_children():
        pixels = layer(pixels)
        shapes[name] = tuple(pixels.shape[1:])
    return shapes


def test_cnn_f_has_the_papers_shapes():
    with torch.device("meta"):  # shapes without 230 MB of weights
        shapes = trace(network(CNN_F, shapes_of("cnn-f")), torch.zeros(1, 3, 224, 224))
    assert shapes["conv1"] == (64, 54, 54)
    assert shapes["conv1_pool"] == (64, 27, 27)
    assert shapes["conv2"] == (256, 27, 27)
    assert shapes["conv2_pool"] == (256, 13, 13)
    assert shapes["conv5_pool"] == (256, 6, 6)
    assert shapes["fc6"] == (4096, 1, 1)
    assert shapes["fc7_relu"] == (4096, 1, 1)


def test_vgg_19_has_the_papers_shapes():
    with torch.device("meta"):
        net = network(NETWORKS["vgg-19"], shapes_of("vgg-19"))
        shapes = trace(net, torch.zeros(1, 3, 224, 224))
    assert len([name for name in shapes if "_" in name and name[-1].isdigit()]) == 16
    assert shapes["conv3_4_pool"] == (256, 28, 28)
    assert shapes["conv5_4_pool"] == (512, 7, 7)
    assert shapes["fc7"] == (4096, 1, 1)


def test_response_norm_equals_a_plain_twin():
    norm = network(CNN_F, dict.fromkeys([layer.name for layer in CNN_F], (1, 1, 1, 1))).conv1_norm
    maps = np.random.default_rng(0).normal(0, 20, (2, 9, 3, 4)).astype(np.float32)
    expected = np.empty_like(maps)
    for channel in range(9):
        near = maps[:, max(channel - 2, 0) : channel + 3]
        expected[:, channel] = maps[:, channel] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
    np.testing.assert_allclose(norm(torch.from_numpy(maps)).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("layout", ["beta16", "today"])
def test_both_layouts_are_read_by_name(tmp_path, layout):
    filters, biases, mean = small_cnn_f(seed=0)
    save_mat_net(tmp_path / "net.mat", layout, filters, biases, mean)
    stored = read_mat_net(tmp_path / "net.mat")
    assert list(stored.filters) == [layer.name for layer in CNN_F]
    for name, array in filters.items():
        # (height, width, in, out) in the file
        assert (stored.filters[name] == array.transpose(3, 2, 0, 1)).all()
        assert (stored.biases[name] == biases[name]).all()
    assert (stored.mean == mean.transpose(2, 0, 1)).all()


def test_a_trunk_of_a_file_equals_the_layers_one_by_one(tmp_path):
    filters, biases, mean = small_cnn_f(seed=0)
    save_mat_net(tmp_path / "net.mat", "today", filters, biases, mean)
    trunk = open_trunk(f"cnn-f:{tmp_path / 'net.mat'}")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, SIDE, SIDE), dtype=np.uint8)
    # In float64, since the sums of eight layers in float32 depend on their order.
    maps = torch.from_numpy(pixels - mean.transpose(2, 0, 1).astype(np.float64))
    for layer in CNN_F:
        weights = torch.from_numpy(filters[layer.name].transpose(3, 2, 0, 1).astype(np.float64))
        maps = torch.conv2d(maps, weights, None, layer.stride, layer.padding)
        maps = (maps + torch.from_numpy(biases[layer.name])[:, None, None]).clamp(min=0)
        if layer.norm:
            near = torch.nn.functional.pad(maps**2, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
            maps = maps / (2 + 1e-4 * near) ** 0.75
        if layer.pool:
            padded = torch.nn.functional.pad(maps, (0, 1, 0, 1), value=-torch.inf)
            side = -(-(maps.shape[-1] - 3) // 2) + 1
            maps = padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2))[:, :, :side, :side]
    features = trunk.double()(torch.from_numpy(pixels))
    torch.testing.assert_close(features, maps.flatten(1))
    assert trunk.width == filters["fc7"].shape[3]
    shapes = {name: part.shape for name, part in trunk.state_dict().items()}
    again = outline_trunk("cnn-f:gone.mat", shapes)
    assert (again.size, again.width) == (SIDE, trunk.width)


def test_a_mean_colour_serves_as_a_mean_image(tmp_path):
    filters, biases, _ = small_cnn_f(seed=0)
    colour = np.float32([120, 110, 100])[:, None]
    save_mat_net(tmp_path / "net.mat", "today", filters, biases, colour)
    assert read_mat_net(tmp_path / "net.mat").mean.shape == (3, 1, 1)


def test_files_that_are_no_such_network_are_refused(tmp_path):
    filters, biases, mean = small_cnn_f(seed=0)
    path = tmp_path / "net.mat"
    save_mat_net(path, "today", filters, biases, mean)
    with pytest.raises(SourceError, match=r"has no layers conv1_1, .* the layers of vgg-19"):
        open_trunk(f"vgg-19:{path}")
    other = filters | {"conv3": filters["conv3"][:, :, :1]}
    save_mat_net(path, "today", other, biases, mean)
    with pytest.raises(SourceError, match="do not fit together"):
        open_trunk(f"cnn-f:{path}")
    savemat(path, {"layers": np.zeros(3)})
    with pytest.raises(SourceError, match="cannot be read as a MatConvNet network"):
        open_trunk(f"cnn-f:{path}")
    with pytest.raises(SourceError, match="No such file"):
        open_trunk(f"cnn-f:{tmp_path / 'gone.mat'}")
