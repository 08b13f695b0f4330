"""Commands called with all sorts of odd words end in words, never in a traceback."""

import random
import shutil
from pathlib import Path

import click
import numpy as np
import pytest

from ssah_index.cli.faults import EXIT_CODES
from ssah_index.cli.history import _time
from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.errors import SpecError
from ssah_index.search import warm_up
from ssah_index.store import Store, collect
from tests.cli import forked
from tests.conftest import random_codes

CALLS = 12
"""For each command; a quarter for the demo, which first lists its icons."""
NUMBERS = [
    "0", "-1", "1", "2", "64", "1e3", "1.5", "nan", "inf", "-inf", "1e400", "", " ", "x", "0x10",
    str(2**31), str(2**63), str(2**70), "9" * 30, "\u0663", "1_000", "+1", "--", "1\n",
]  # fmt: skip
PATHS = [
    "", ".", "/", "/dev/null", "/dev/full", "no", "no/such/place", "file", "file/below", "empty",
    "a" * 300, "a" * 5000, "foo://x", "file:///no", "\u202ex", "{}", "%s", "-",
    "link", "x\n", "~", "*", "codes.npy", "nothing.npy", "://", "\udcff", "s3:/bucket/x",
]  # fmt: skip
TEXTS = ["\udcff", "", " ", "x", "\u2028", "\x1b[31m", "0" * 16, "f" * 9999, "0x00", "[/red]", "-k"]
NEEDS_TORCH = {"train", "build", "append", "eval", "demo"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store, and with much that is none."""
    folder = tmp_path_factory.mktemp("odd")
    store = Store.create(folder / "good.ssah", bits=64)
    store.append(random_codes(1, 20, 64), {"id": [f"row{i}" for i in range(20)]})
    store.delete(["row3"])
    store.tag("tagged")
    Store.create(folder / "bare.ssah", bits=8)
    (folder / "file").write_bytes(b"\xff\xfe text")
    np.save(folder / "codes.npy", random_codes(2, 3, 64))
    (folder / "nothing.npy").touch()
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("link")
    for name in COMMANDS:
        load_command(name)
    warm_up(64)
    return folder


def odd_word(choose, name, parameter):
    """A value for a parameter, of a kind that it may or may not expect."""
    if isinstance(parameter.type, click.Choice):
        return choose.choice([*parameter.type.choices, "zzz", ""])
    if parameter.type.name in ("integer", "float", "float range"):
        return choose.choice(NUMBERS)
    if name not in NEEDS_TORCH and parameter.name in ("store", "source", "target"):
        return choose.choice([*PATHS, *["good.ssah", "bare.ssah"] * 10])
    if isinstance(parameter.type, click.Path) or parameter.name in ("store", "table"):
        return choose.choice(PATHS)
    return choose.choice([*TEXTS, *NUMBERS])


def odd_call(choose, name):
    """A whole call: every argument, and some of the options."""
    words = [name]
    for parameter in load_command(name).params:
        if isinstance(parameter, click.Argument):
            words.append(odd_word(choose, name, parameter))
        elif parameter.required or choose.random() < 0.4:
            words.append(choose.choice(parameter.opts))
            if not parameter.is_flag:
                words.append(odd_word(choose, name, parameter))
    if name == "demo":  # with any other folder it would run for minutes
        words[1:] = choose.choice([["file"], ["file/below"], ["link"], ["a" * 5000], ["a", "b"]])
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_odd_words_end_in_words(name, place, tmp_path, monkeypatch):
    choose = random.Random(name)
    for number in range(CALLS // 4 if name == "demo" else CALLS):
        here = tmp_path / str(number)
        shutil.copytree(place, here, symlinks=True)
        monkeypatch.chdir(here)
        words = odd_call(choose, name)
        stdin = choose.choice([b"", b"\0\n", b"row1\nrow2\n", b"\xff\n", b"00" * 8, b"\n\n"])
        ended = forked.run(words, stdin=stdin)
        told = ended.err.decode()
        assert ended.code in {*EXIT_CODES} - {1, 70, 130}, (words, stdin, told)
        assert "Traceback" not in told, words
        if ended.code in (2, 4, 5):
            assert told.startswith(("Error: ", "Usage: ")) or "\nError: " in told, (words, told)
        shutil.rmtree(here)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["info", "file"], 4), (["info", "no"], 4), (["info", "empty"], 4), (["info", ""], 4),
        (["info", "foo://x"], 4), (["info", "a" * 5000], 4),
        (["gc", "good.ssah", "--keep", "0"], 2),
        (["gc", "good.ssah", "--grace-hours", "nan"], 2), (["demo", "file"], 5),
        (["gc", "good.ssah", "--grace-hours", "inf"], 2), (["history", "file/below"], 4),
        (["gc", "good.ssah", "--grace-hours", "-1"], 2), (["serch"], 2), (["verify"], 2),
        (["query", "good.ssah", "--code", "00" * 8, "-k", "0"], 2),
        (["query", "good.ssah", "--code", "00", "-k", "1"], 3),
        (["query", "good.ssah", "--text", "x"], 4), (["index", "bare.ssah"], 2),
    ],
)  # fmt: skip
def test_mistakes_have_their_documented_codes(words, code, place, monkeypatch):
    monkeypatch.chdir(place)
    ended = forked.run(words)
    assert ended.code == code, ended.err


def test_a_clock_that_no_calendar_has():
    assert [_time(s) for s in (1e18, -1e18, float("nan"), float("inf"))] == [None] * 4
    assert _time(0) == "1970-01-01T00:00:00.000+00:00"


def test_a_grace_that_is_no_number(place):
    with pytest.raises(SpecError, match="grace_s is nan"):
        collect(Store.open(place / "good.ssah"), grace_s=float("nan"))


def test_the_program_starts_where_its_folder_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["info", "x"], ["query", "x"], ["import", "a.npy", "b"]):
        ended = forked.run(words)
        assert ended.code in (2, 4), ended
    assert Path("/").exists()
