import subprocess
import sys
from dataclasses import replace

import pytest

from encoders.train import train
from ssah_index.types import no_progress
from tests.encoders.test_train import SPEC, quiet

ENCODE = """
import sys
from pathlib import Path
from encoders.export import SsahEncoder

encoder = SsahEncoder.load(Path(sys.argv[1]))
batch = sys.argv[3:] if sys.argv[2] == "text" else [Path(word) for word in sys.argv[3:]]
codes, failures = encoder.encode(sys.argv[2], batch)
print(encoder.fingerprint, len(failures), codes.tobytes().hex())
"""


@pytest.mark.slow
def test_another_process_encodes_the_same_bytes(world, tmp_path):
    encoder = train(world[:64], replace(SPEC, passes=2), report=quiet, progress=no_progress)
    encoder.save(tmp_path)
    for modality in ("image", "text"):
        batch = [getattr(item, modality) for item in world[60:90]]
        codes, _ = encoder.encode(modality, batch)
        words = [sys.executable, "-c", ENCODE, str(tmp_path), modality, *map(str, batch)]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert told == [encoder.fingerprint, "0", codes.tobytes().hex()]
        assert len(set(codes.tobytes())) > 10
