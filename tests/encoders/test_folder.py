"""Encoder folders of strangers: the right encoder or a clear error, and no file elsewhere."""

import dataclasses
import io
import json
import pickle
import random
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from encoders.checkpoint import fingerprint
from encoders.config import TrainSpec
from encoders.export import SsahEncoder
from encoders.train import train
from encoders.trunks import TRUNKS_VARIABLE, find_trunk, outline_trunk, refuse_unlisted
from encoders.weights import open_weights
from ssah_index.errors import EncoderError, SsahError
from ssah_index.plugins import load_encoder
from ssah_index.types import no_progress

OLD, NEW = "weights.pt", "weights.safetensors"
NASTY = [None, True, 0, -1, 64.5, 1e308, 2**31, 2**62, "", "x", "a" * 5000, "\ud800", [], [1]]
NASTY += [["a", "a"], {}, {"a": 1}, [["a"]], ["\ud800"], float("nan"), "../../x", "timm:hf-hub:a/b"]


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """An encoder folder; what it was trained to does not matter here."""
    spec = TrainSpec(bits=16, hidden=16, image_size=16, passes=0)
    folder = tmp_path_factory.mktemp("whole")
    train(world[:6], spec, report=lambda _: None, progress=no_progress).save(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "encoder")


def weights_of(folder):
    return open_weights(folder).read()


def seal(folder, content, weights):
    """Write encoder.json with a fingerprint made anew."""
    try:
        mark = fingerprint(content, weights)
    except TypeError:
        mark = "ssah-0"
    document = {"kind": "ssah", **content, "fingerprint": mark}
    (folder / "encoder.json").write_text(json.dumps(document))


def content_of(folder):
    document = json.loads((folder / "encoder.json").read_text())
    return {name: document[name] for name in ("spec", "vocabulary", "labels")}


def as_old(folder):
    """Turn a folder into what earlier releases wrote."""
    buffer = io.BytesIO()
    torch.save(weights_of(folder), buffer)
    (folder / OLD).write_bytes(buffer.getbuffer())
    (folder / NEW).unlink()


def outcome(folder):
    """The fingerprint of what loads, or the error."""
    try:
        return load_encoder(folder).fingerprint
    except SsahError as error:
        return error


def test_weights_are_safetensors_and_older_ones_load(folder, world):
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", NEW]
    encoder = SsahEncoder.load(folder)
    images = [item.image for item in world[:4]]
    as_old(folder)
    old = SsahEncoder.load(folder)
    assert old.fingerprint == encoder.fingerprint
    assert (old.encode("image", images)[0] == encoder.encode("image", images)[0]).all()
    old.save(folder)
    assert (folder / NEW).exists()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainSpec)])
def test_a_field_of_the_specification_is_checked(whole, folder, name):
    weights, content = weights_of(whole), content_of(whole)
    for value in NASTY:
        seal(folder, {**content, "spec": {**content["spec"], name: value}}, weights)
        found = outcome(folder)
        assert len(str(found)) < 4000
        if isinstance(value, (list, dict)) or value is None:
            assert isinstance(found, EncoderError), (name, value, found)


@pytest.mark.parametrize("name", ["spec", "vocabulary", "labels", "frozen", "fingerprint", "kind"])
def test_a_field_of_the_document_is_checked(whole, folder, name):
    weights, content = weights_of(whole), content_of(whole)
    for value in [*NASTY, [str(number) for number in range(50)], {"bits": 8}]:
        seal(folder, {**content, name: value}, weights)
        if name in ("fingerprint", "kind"):
            document = json.loads((folder / "encoder.json").read_text()) | {name: value}
            (folder / "encoder.json").write_text(json.dumps(document))
        if name != "frozen" or not isinstance(value, dict):
            assert isinstance(outcome(folder), EncoderError), value
        without = {key: content[key] for key in content if key != name}
        seal(folder, without, weights)
        if name in content:
            assert isinstance(outcome(folder), EncoderError)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe{}", b'{"kind": "\\ud800"}', b'{"kind": "nobody"}',
     b"[" * 100_000, b'{"kind":' * 100_000, b'{"kind": "ssah", "spec": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(folder, text):
    (folder / "encoder.json").write_bytes(text)
    assert isinstance(outcome(folder), EncoderError)


def test_what_is_no_file_of_the_folder_is_not_opened(folder, tmp_path):
    for name in ("encoder.json", NEW):
        elsewhere = tmp_path / name
        shutil.move(folder / name, elsewhere)
        (folder / name).symlink_to(elsewhere)
        assert "a link to a file outside its folder" in str(outcome(folder))
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
        assert isinstance(outcome(folder), EncoderError)
        (folder / name).unlink()
        (folder / name).mkdir()
        assert "is no regular file" in str(outcome(folder))
        (folder / name).rmdir()
        assert "No such file" in str(outcome(folder))
        shutil.move(elsewhere, folder / name)
    assert isinstance(outcome(folder), str)
    assert isinstance(outcome(folder / "encoder.json"), EncoderError)


def test_tensors_that_the_document_does_not_call_for_are_refused(whole, folder):
    weights, content = weights_of(whole), content_of(whole)
    name = "text.head.code.0.weight"
    for changed, told in (
        (
            {**weights, name: torch.zeros(16, 511)},
            r"text.head.code.0.weight of torch.float32 \(16,",
        ),
        ({**weights, name: weights[name].double()}, "of torch.float64"),
        ({**weights, "other": torch.zeros(2)}, "other, which is unknown"),
        ({k: v for k, v in weights.items() if k != name}, f"no {name}"),
        ({**weights, name: torch.full((16, 512), torch.nan)}, "8192 values that are no finite"),
        ({**weights, name: torch.full((16, 512), torch.inf)}, "8192 values that are no finite"),
    ):
        for file in (NEW, OLD):
            (folder / NEW).unlink(missing_ok=True)
            save_file(changed, folder / NEW) if file == NEW else torch.save(changed, folder / OLD)
            seal(folder, content, changed)
            with pytest.raises(EncoderError, match=told):
                load_encoder(folder)


def test_widths_beyond_the_weights_take_no_memory(whole, folder):
    """Networks of 65,536 hidden units over a million words would be 256 GB."""
    content, weights = content_of(whole), weights_of(whole)
    words = [str(number) for number in range(1 << 17)]
    spec = {**content["spec"], "hidden": 1 << 16, "bits": 4096}
    seal(folder, {**content, "spec": spec, "vocabulary": words}, weights)
    assert "do not fit its encoder.json" in str(outcome(folder))
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
    (folder / NEW).write_bytes(struct.pack("<Q", len(header)) + header.encode())
    assert isinstance(outcome(folder), EncoderError)
    (folder / NEW).write_bytes(struct.pack("<Q", 1 << 62) + header.encode())
    assert isinstance(outcome(folder), EncoderError)


def flips(content, places, count, seed):
    """Copies of bytes with one bit of one of the places flipped."""
    chosen = random.Random(seed)
    for _ in range(count):
        altered = bytearray(content)
        altered[chosen.choice(places)] ^= 1 << chosen.randrange(8)
        yield altered


@pytest.mark.parametrize("file", [NEW, OLD])
def test_any_bit_flipped_is_found_or_does_not_matter(folder, file):
    whole = load_encoder(folder).fingerprint
    if file == OLD:
        as_old(folder)
    content = (folder / file).read_bytes()
    # Names and shapes stand at the beginning, and an archive's directory at the end.
    ends = [*range(6000), *range(len(content) - 6000, len(content))]
    for places, count in ((ends, 50), (range(len(content)), 5)):
        for altered in flips(content, places, count, seed=len(places)):
            (folder / file).write_bytes(altered)
            found = outcome(folder)
            assert isinstance(found, EncoderError) or found == whole
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        (folder / file).write_bytes(content[:size])
        assert isinstance(outcome(folder), EncoderError)


class Bomb:
    def __reduce__(self):
        import os

        return os.mkdir, ("made",)


def archive(path, pickled, method=zipfile.ZIP_STORED, **files):
    with zipfile.ZipFile(path, "w", method) as out:
        out.writestr("archive/data.pkl", pickled)
        for name, content in files.items():
            out.writestr(f"archive/data/{name}", content)


def test_a_pickle_is_not_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / NEW).unlink()
    for pickled, told in (
        (pickle.dumps({"a": Bomb()}, 2), "mkdir is no part of weights"),
        (pickle.dumps({"a": Bomb()}, 4), "a pickle with FRAME"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "a pickle with LONG_BINPUT"),
        (b"\x80\x02ccollections\nOrderedDict\n)R}b.", "a pickle with BUILD"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "TypeError"),
        (pickle.dumps({"a": 1}, 2), "something other than tensors"),
        (pickle.dumps([1], 2), "a pickle with EMPTY_LIST"),
        (b"", "cannot be read"),
    ):
        archive(folder / OLD, pickled)
        with pytest.raises(EncoderError, match=told):
            load_encoder(folder)
    assert not (tmp_path / "made").exists()
    archive(folder / OLD, bytes(1 << 24), zipfile.ZIP_DEFLATED)
    with pytest.raises(EncoderError, match="an archive that is compressed"):
        load_encoder(folder)


def test_a_trunks_file_is_looked_for_in_the_folder_and_where_the_user_says(tmp_path, monkeypatch):
    folder, other = tmp_path / "encoder", tmp_path / "trunks"
    folder.mkdir()
    other.mkdir()
    outside = tmp_path / "net.mat"
    outside.write_bytes(b"x")
    name = f"cnn-f:{outside}"
    for hostile in (name, "vgg-19:/etc/passwd", "cnn-f:..", "cnn-f:/", "cnn-f:a/../../net.mat"):
        with pytest.raises(EncoderError, match=r"needs the file .* which is not in that folder"):
            find_trunk(hostile, folder, trusted=False)
    assert find_trunk(name, folder, trusted=True) == outside
    shutil.copy(outside, other)
    monkeypatch.setenv(TRUNKS_VARIABLE, f"/nowhere:{other}")
    assert find_trunk(name, folder, trusted=False) == other / "net.mat"
    (folder / "net.mat").symlink_to(outside)
    with pytest.raises(EncoderError, match="a link to a file outside its folder"):
        find_trunk(name, folder, trusted=False)
    (folder / "net.mat").unlink()
    shutil.copy(outside, folder)
    assert find_trunk(name, folder, trusted=False) == folder / "net.mat"


@pytest.mark.parametrize(
    "name",
    ["timm:hf-hub:a/b", "timm:local-dir:/tmp", "open_clip:hf-hub:a/b", "open_clip:RN50//etc/passwd",
     "timm:../x", "open_clip:RN50"],
)  # fmt: skip
@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_hubs_network_has_a_name_of_its_library(whole, folder, name, fine_tune):
    content = content_of(whole)
    spec = {**content["spec"], "image_trunk": name, "fine_tune": fine_tune}
    seal(folder, {**content, "spec": spec}, weights_of(whole))
    with pytest.raises(EncoderError, match=r"names the image trunk .*trusted=True"):
        load_encoder(folder)
    for listed in ("timm:resnet18.a1_in1k", "open_clip:ViT-B-32/laion2b_s34b_b79k", "pixels"):
        refuse_unlisted(listed, folder)


def test_a_trunk_beyond_what_is_published_is_not_laid_out():
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    shapes = {f"body.{name}.weight": (8, 8, 3, 3) for name in layers} | {"mean": (3, 1, 1)}
    for name, shape in (
        ("mean", (3, 5000, 5000)),
        ("mean", (3, 2, 3)),
        ("body.conv3.weight", (1 << 20, 8, 3, 3)),
        ("body.conv3.weight", (8, 8, 3, 99)),
        ("body.conv3.weight", (8, 8)),
    ):
        with pytest.raises(ValueError):
            outline_trunk("cnn-f:x.mat", {**shapes, name: shape})


def test_what_the_networks_make_no_numbers_of_costs_one_row(folder, world):
    encoder = SsahEncoder.load(folder)

    def without_second(values):
        codes = torch.ones(len(values), 16)
        codes[1] = torch.nan
        return type("Output", (), {"code": codes})

    encoder._nets["text"].forward = without_second
    codes, failures = encoder.encode("text", ["?!", "red", "green", "blue"])
    assert codes.tolist() == np.full((2, 2), 255).tolist()
    assert [position for position, _ in failures] == [0, 2]
    assert "make no numbers of it" in failures[1][1]
