"""A store of which the user may not read, or not write, a part."""

import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.index.building import build_index
from ssah_index.search import open_store
from ssah_index.store import Store
from tests.cli import forked
from tests.conftest import random_codes

ASK = ["--code", "00" * 8]


@pytest.fixture(scope="module")
def whole():
    """A store where anybody may go: pytest's own folder is its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="ssah-test-"))
    folder.chmod(0o755)
    store = Store.create(folder / "s.ssah", bits=64)
    store.append(random_codes(1, 20, 64), {"id": [f"row{i}" for i in range(20)]})
    store.delete(["row3"])
    build_index(store, "image", kind="mih")
    for name in COMMANDS:
        load_command(name)
    open_store(store.path).warm_up()  # nobody may write where kernels are kept
    for path in store.path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    store.path.chmod(0o755)
    assert forked.run(["query", store.path, *ASK], root=False).code == 0
    yield store.path
    shutil.rmtree(folder)


def parts():
    return [
        "format.json", "manifests", "manifests/*.json", "segments", "segments/*",
        "segments/*/segment.json", "segments/*/rows.arrow", "segments/*/codes/c/0/0",
        "deletions", "deletions/*.roaring", "indexes", "indexes/*/index.json",
        "indexes/*/lists/codes/c/0/0", "segments/*/idhash.u64",
    ]  # fmt: skip


@pytest.mark.parametrize("part", parts())
def test_what_may_not_be_read(whole, part):
    paths = sorted(whole.glob(part))
    assert paths
    kept = [(path, stat.S_IMODE(path.stat().st_mode)) for path in paths]
    try:
        for path in paths:
            path.chmod(0)
        for words in (["info"], ["query", *ASK], ["history"], ["verify"]):
            ended = forked.run([words[0], whole, *words[1:]], root=False)
            told = ended.err.decode()
            assert ended.code in (0, 4), (words, told)
            if part.startswith("indexes") and words[0] != "verify":
                assert ended.code == 0, "an index is derived: without it, searches scan"
            assert "Traceback" not in told
            if ended.code:
                assert "ermission" in told or "damages found" in told
        assert forked.run(["verify", whole], root=False).code == 4
    finally:
        for path, mode in kept:
            path.chmod(mode)


@pytest.mark.parametrize(
    "words",
    [
        ["delete", "row1"], ["compact"], ["index", "--rebuild", "--kind", "mih"], ["repair"],
        ["gc", "--grace-hours", "0"], ["index", "--drop"],
    ],
)  # fmt: skip
def test_what_may_not_be_written(whole, words):
    ended = forked.run([words[0], whole, *words[1:]], root=False)
    assert ended.code in (0, 5), ended.err
    if ended.code:
        assert b"permission is denied" in ended.err
