"""Where the reference data lies, and the skip of tests that need it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SSAH_DATA", Path(__file__).parents[3] / "shared" / "data"))
MIRFLICKR = DATA / "mirflickr25k" / "mirflickr25k.npz"
WIKIPEDIA = DATA / "wikipedia" / "wikiData.mat"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip without the file, naming it."""
    return pytest.mark.skipif(not path.is_file(), reason=f"no {path}; set SSAH_DATA")
