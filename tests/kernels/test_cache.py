"""Kernels work, and are kept if they can be, wherever the package and the user may write."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ssah_index
from ssah_index.kernels import cache
from ssah_index.store import Store

PACKAGE = Path(ssah_index.__file__).parent


@pytest.fixture
def homeless(tmp_path):
    """An installation that cannot be written, for a user without a home: its environment."""
    copy = tmp_path / "installed" / "ssah_index"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "kernels" / "__pycache__").write_bytes(b"")  # root may write into any folder
    (tmp_path / "temporary").mkdir()
    return {
        **os.environ,
        "PYTHONPATH": str(copy.parent),
        "TMPDIR": str(tmp_path / "temporary"),
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": "/dev/null",
    }


@pytest.mark.slow
def test_a_package_that_cannot_be_written(homeless, tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    store.append(np.zeros((1, 8), np.uint8), {"id": ["a"]})
    words = ["query", str(store.path), "--code", "00" * 8, "--format", "ids"]
    told = subprocess.run(
        [sys.executable, "-m", "ssah_index", *words], cwd=tmp_path, env=homeless,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stdout, told.stderr) == (0, "a\n", "")
    (folder,) = Path(homeless["TMPDIR"]).iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*.nbi"))


def kernel_of(path):
    """A function whose source seems to lie at a path."""
    names = {}
    exec(compile("def double(x):\n    return 2 * x", path, "exec"), names)
    return names["double"]


@pytest.fixture
def nowhere(monkeypatch):
    """No place for a cache but the temporary folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")


def test_without_any_place_kernels_are_compiled_anew(nowhere):
    double = kernel_of("/dev/null/kernel.py")
    assert cache.njit("int64(int64)", cache=True)(double)(4) == 8
    assert cache.njit(cache=True)(double)(4) == 8


def test_a_full_disk_costs_the_cache_alone(monkeypatch):
    from numba.core.caching import FunctionCache

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", refuse)
    kernel = cache.njit("int64(int64)", cache=True)(kept_kernel)
    assert kernel(4) == 8


def test_a_kernels_own_fault_is_told():
    with pytest.raises(Exception, match="never_defined"):
        cache.njit("int64(int64)", cache=True)(broken)


def broken(x):
    return x + never_defined  # noqa: F821


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_folder_of_others_is_no_place(nowhere, kind, monkeypatch, tmp_path):
    """What is in it would be loaded as code."""
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cache, "_finds_a_place", lambda: False)
    folder = tmp_path / f"ssah-index-numba-{os.getuid()}"
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_bytes(b"")
    cache.choose_folder()
    assert cache.config.CACHE_DIR == ""


def kept_kernel(x):
    return 2 * x
