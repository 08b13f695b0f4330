"""An encoder that an earlier release wrote, shared by the tests of what it must still do."""

import lzma
import shutil
from pathlib import Path

import pytest

from encoders.export import SsahEncoder

FIXTURE = Path(__file__).parent.parent / "fixtures/encoder-1"
"""Written before words were split by Unicode's rules: its encoder.json names no rule."""


@pytest.fixture(scope="session")
def frozen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copy(FIXTURE / "encoder.json", folder)
    weights = lzma.decompress((FIXTURE / "weights.pt.xz").read_bytes())
    (folder / "weights.pt").write_bytes(weights)
    return SsahEncoder.load(folder)
