"""Tables for a terminal: what a person copies is whole, and nothing steers the terminal."""

import fcntl
import os
import pty
import struct
import termios

import pytest

from ssah_index.cli.console import print_table
from ssah_index.cli.plain import visible
from ssah_index.store import Store
from tests.cli import forked
from tests.conftest import random_codes

LONG = "photos/" + "x" * 106 + " y/1.jpg"
assert len(LONG) > 120


@pytest.fixture
def terminal():
    """A terminal of 40 columns: its name, and what was written to it."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    os.set_blocking(leader, False)
    yield os.ttyname(follower), lambda: os.read(leader, 1 << 16).decode()
    os.close(leader)
    os.close(follower)


@pytest.fixture
def path(tmp_path):
    store = Store.create(tmp_path / f"{'s' * 60}.ssah", bits=64)
    rows = {"id": [LONG, "b"], "source": [LONG, "b"], "text": ["a long text " * 4, "b"]}
    store.append(random_codes(1, 2, 64), rows)
    return store.path


def test_ids_and_paths_are_in_one_piece(path, terminal, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name, read = terminal
    assert forked.run(["query", path, "--code", "00" * 8], stdout=name).code == 0
    shown = read()
    assert shown.count(LONG) == 2
    assert "…" not in shown
    assert forked.run(["info", path], stdout=name).code == 0
    assert str(path) in read()
    assert forked.run(["history", path], stdout=name).code == 0
    assert str(path) in read()


def test_a_table_that_fits_has_a_frame(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    print_table("title", ["rank", "text", "id"], [[0, "words " * 30, "a"]])
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "┃" in told
    monkeypatch.setenv("COLUMNS", "20")
    print_table("title", ["rank", "text", "id"], [[0, "words " * 30, "a" * 40]])
    told = capsys.readouterr().out
    assert "┃" not in told
    assert "a" * 40 in told


def test_what_steers_a_terminal_is_shown_or_left_out():
    family = "\U0001f468\u200d\U0001f469"
    assert visible(f"{family} \x1b[31m\udcff\u202e", False) == f"{family}  [31m  "
    assert visible("a\n\x1b\u3000\u2028", True) == "a\\n\\x1b\u3000\\u2028"
