"""Encoders written by earlier releases load, and give the codes that they gave then."""

import json

from tests.encoders.conftest import FIXTURE

CODES = json.loads((FIXTURE / "codes.json").read_text("utf-8"))


def test_a_frozen_encoder_keeps_its_fingerprint(frozen):
    stated = json.loads((FIXTURE / "encoder.json").read_text("utf-8"))["fingerprint"]
    assert frozen.fingerprint == stated


def test_a_frozen_encoder_gives_the_codes_of_its_time(frozen):
    texts = CODES["texts"]
    codes, failures = frozen.encode("text", list(texts))
    assert (failures, [code.tobytes().hex() for code in codes]) == ([], list(texts.values()))
    images = CODES["images"]
    codes, failures = frozen.encode("image", [FIXTURE / name for name in images])
    assert (failures, [code.tobytes().hex() for code in codes]) == ([], list(images.values()))
