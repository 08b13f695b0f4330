"""Encoders written by earlier releases load, and give the codes that they gave then."""

import json
import lzma
import shutil
from pathlib import Path

import pytest

from encoders.export import SsahEncoder

FROZEN = Path(__file__).parent.parent / "fixtures/encoder-1"
"""Written before words were split by Unicode's rules: its encoder.json names no rule."""
CODES = json.loads((FROZEN / "codes.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copy(FROZEN / "encoder.json", folder)
    weights = lzma.decompress((FROZEN / "weights.pt.xz").read_bytes())
    (folder / "weights.pt").write_bytes(weights)
    return SsahEncoder.load(folder)


def test_a_frozen_encoder_keeps_its_fingerprint(frozen):
    stated = json.loads((FROZEN / "encoder.json").read_text("utf-8"))["fingerprint"]
    assert frozen.fingerprint == stated


def test_a_frozen_encoder_gives_the_codes_of_its_time(frozen):
    texts = CODES["texts"]
    codes, failures = frozen.encode("text", list(texts))
    assert (failures, [code.tobytes().hex() for code in codes]) == ([], list(texts.values()))
    images = CODES["images"]
    codes, failures = frozen.encode("image", [FROZEN / name for name in images])
    assert (failures, [code.tobytes().hex() for code in codes]) == ([], list(images.values()))
