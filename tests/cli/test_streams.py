"""However a caller leaves the standard streams, a command ends with its documented code."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ssah_index.cli.faults import EXIT_CODES
from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.search import warm_up
from ssah_index.store import Store
from tests.cli import forked
from tests.cli.forked import CLOSED, FULL
from tests.conftest import random_codes

CODE = "00" * 8
ODD_IDS = ["a", "é中\u2028x", "b c", "\ufeffmark", "x\x1b[31m"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Five images with odd ids, and columns that JSON has no words for."""
    path = tmp_path_factory.mktemp("streams") / "s.ssah"
    store = Store.create(path, bits=64)
    scores = [1.5, float("nan"), float("inf"), -float("inf"), 0.0]
    store.append(random_codes(1, 5, 64), {"id": ODD_IDS, "score": scores})
    for name in COMMANDS:
        load_command(name)
    warm_up(64)  # once, not in every fork
    return path


def words_of(name, path, tmp_path):
    """A call of a command that works, where that needs no torch, and says something."""
    calls = {
        "train": [tmp_path, tmp_path / "e"],
        "build": [tmp_path, tmp_path / "b.ssah", "--encoder", tmp_path],
        "append": [tmp_path, path],
        "import": [tmp_path / "codes.npy", tmp_path / "i.ssah"],
        "export": [path, tmp_path / "out.parquet"],
        "index": [path],
        "query": [path, "--code", CODE],
        "eval": [tmp_path, path],
        "delete": [path, "a"],
        "demo": [tmp_path / "codes.npy" / "below"],
    }
    return [name, *calls.get(name, [path])]


PRINTING = {"index", "query", "delete", "compact", "gc", "history", "repair", "info"}
FAILING = {"train": 2, "build": 4, "append": 4, "eval": 4, "demo": 5}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_cleanly_whatever_its_streams(name, kept, tmp_path):
    np.save(tmp_path / "codes.npy", random_codes(2, 3, 64))
    works = FAILING.get(name, 0)
    for number, (out, err, expected) in enumerate(
        [
            (None, None, works),
            (FULL, None, 5 if name in PRINTING else works),
            (CLOSED, None, 5 if name in PRINTING else works),
            (None, CLOSED, works),
            (None, FULL, works),
            (CLOSED, CLOSED, 5 if name in PRINTING else works),
        ]
    ):
        own = tmp_path / str(number)
        shutil.copytree(kept, own / "s.ssah")
        shutil.copy(tmp_path / "codes.npy", own)
        ended = forked.run(words_of(name, own / "s.ssah", own), stdout=out, stderr=err)
        assert ended.code == expected, (out, err, ended)
        assert b"Traceback" not in ended.err
        if ended.code and err is None:
            assert ended.err.startswith(b"Error: ") or b"\nError: " in ended.err
        if name in PRINTING and expected == 5 and err is None:
            assert b"standard output cannot be written" in ended.err


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([n, "-h"] for n in ("query",))])
def test_help_and_version_are_data(words):
    assert forked.run(words).code == 0
    assert forked.run(words, stdout=FULL).code == 5
    assert forked.run(words, stdout=CLOSED).code == 5
    assert forked.run(words, stderr=CLOSED).code == 0


@pytest.mark.parametrize("words", [["serch"], ["info"], ["info", "x", "--nope"], []])
def test_usage_errors_are_messages(words):
    for out, err in [(None, None), (FULL, FULL), (CLOSED, CLOSED), (None, CLOSED)]:
        assert forked.run(words, stdout=out, stderr=err).code == 2


def test_a_closed_stream_does_not_become_a_file_of_the_store(kept, tmp_path):
    np.save(tmp_path / "c.npy", random_codes(2, 3, 64))
    ended = forked.run(
        ["import", tmp_path / "c.npy", tmp_path / "i.ssah"],
        stdin=CLOSED, stdout=CLOSED, stderr=CLOSED,
    )  # fmt: skip
    assert ended.code == 0
    assert forked.run(["verify", tmp_path / "i.ssah"]).code == 0


def test_data_is_utf8_whatever_the_locale(kept):
    ask = ["query", kept, "--code", CODE, "--format"]
    wanted = forked.run([*ask, "jsonl"])
    assert forked.run([*ask, "jsonl"], encoding="ascii") == wanted
    assert forked.run([*ask, "table"], encoding="latin-1") == forked.run([*ask, "table"])
    assert "é中" in wanted.out.decode("utf-8")
    command = f"{sys.executable} -m ssah_index query {kept} --code {CODE}"
    told = subprocess.run(
        ["bash", "-c", command], capture_output=True, check=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
    )  # fmt: skip
    assert told.stdout == wanted.out


def test_jsonl_is_json_by_line(kept):
    """NaN and infinity are null, and no string has what some readers take for a line's end."""
    told = forked.run(["query", kept, "--code", CODE]).out.decode("utf-8")

    def refuse(constant):
        raise AssertionError(constant)

    hits = [json.loads(line, parse_constant=refuse) for line in told.splitlines()]
    found = {hit["id"]: hit["score"] for hit in hits}
    assert found == dict(zip(ODD_IDS, [1.5, None, None, None, 0.0], strict=True))


def test_words_of_the_command_line_may_be_no_unicode(kept):
    ended = forked.run(["info", os.fsdecode(b"/nowhere/\xff\xfe.ssah")])
    assert ended.code == 4
    assert rb"\udcff" in ended.err
    ended = forked.run(["query", kept, "--code", os.fsdecode(b"\xff")])
    assert ended.code == 3
    assert json.loads(ended.out)["query"] == "\udcff"
    ended.out.decode("utf-8")
    odd = kept.with_name(os.fsdecode(b"\xff.ssah"))
    shutil.copytree(kept, odd)
    assert json.loads(forked.run(["info", odd]).out)["store"] == str(odd)


def test_lines_end_at_lf_alone(kept):
    """A mark before them is skipped, and one CR behind; NUL and U+2028 are part of a line."""
    stdin = f"\ufeff{CODE}\r\n{CODE}\r\r\n\r\n\u2028{CODE}\n{CODE}\0\n{CODE}".encode()
    ended = forked.run(["query", kept, "--lines", "code", "-k", 1], stdin=stdin)
    answers = [json.loads(line) for line in ended.out.decode().split("\n")[:-1]]
    assert [answer["query"] for answer in answers] == [
        CODE, f"{CODE}\r", "", f"\u2028{CODE}", f"{CODE}\0", CODE
    ]  # fmt: skip
    assert ["error" in answer for answer in answers] == [False, True, True, True, True, False]
    assert ended.code == 3
    for stdin in (b"", b"\xef\xbb\xbf"):
        assert forked.run(["query", kept, "--lines", "code"], stdin=stdin) == forked.Ended(
            0, b"", b""
        )


def test_a_line_that_is_no_utf8_is_its_own_error(kept):
    ended = forked.run(["query", kept, "--lines", "code"], stdin=b"\xff\xfe\n")
    assert ended.code == 3
    assert json.loads(ended.out.decode())["query"] == "\udcff\udcfe"


@pytest.mark.parametrize(
    ("stdin", "code", "message"),
    [(CLOSED, 2, b"there is no query"), ("/proc/self/mem", 2, b"input cannot be read")],
)
def test_a_standard_input_without_lines(kept, stdin, code, message):
    ended = forked.run(["query", kept], stdin=stdin)
    assert ended.code == code
    assert message in ended.err


def test_what_a_command_returns_is_documented():
    assert set(EXIT_CODES) == {0, 1, 2, 3, 4, 5, 70, 130}
