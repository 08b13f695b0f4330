"""What becomes of exceptions: ours, the machine's, and bugs."""

import errno
import os
import sys
from pathlib import Path

import click
import pytest

from ssah_index.cli import main as cli
from ssah_index.cli.faults import EXIT_CODES, exit_code
from ssah_index.cli.streams import OutputClosed
from ssah_index.errors import (
    CollapseError,
    ConflictError,
    CorruptError,
    EncoderError,
    MissingExtraError,
    QueryError,
    SourceError,
    SpecError,
    StoreError,
    StoreMissingError,
    WriteFailedError,
)


@pytest.fixture
def end_with(monkeypatch, capsys):
    """A command that raises what it is given; its exit code and what it said."""

    def run(error):
        @click.command("break")
        def command():
            raise error

        monkeypatch.setitem(cli.COMMANDS, "break", "")
        monkeypatch.setitem(sys.modules, "ssah_index.cli.break_", type(sys)("break_"))
        sys.modules["ssah_index.cli.break_"].command = command
        with pytest.raises(SystemExit) as ended:
            cli.main(["break"])
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (QueryError, 2), (SpecError, 2), (SourceError, 2),
        (StoreError, 4), (StoreMissingError, 4), (CorruptError, 4), (ConflictError, 4),
        (EncoderError, 4), (CollapseError, 4), (MissingExtraError, 4), (WriteFailedError, 5),
    ],
)  # fmt: skip
def test_errors_tell_scripts_their_kind(kind, code, end_with):
    error = kind("a fault", "no fault", "Mend it.")
    assert exit_code(error) == code
    assert end_with(error) == (code, "Error: a fault; expected no fault. Mend it.\n")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError("cannot allocate 9 GB"), 5, "memory is used up"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 5, "Permission denied: '/x'"),
        (OSError(errno.ENOSPC, "No space left on device"), 5, "No space left"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), 2, "too long"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OutputClosed(), 0, ""),
    ],
)
def test_what_is_no_bug_is_not_called_one(error, code, words, end_with):
    ended, told = end_with(error)
    assert ended == code
    assert words in told
    assert "bug" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("odd\nwords \udcff"), RecursionError("deep"), EOFError(), KeyError("k"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), OverflowError("much"),
    ],
)  # fmt: skip
def test_a_bug_is_one_line_and_a_file(error, end_with, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("SSAH_INDEX_DEBUG", raising=False)
    code, told = end_with(error)
    assert code == 70
    (line,) = told.splitlines()
    (file,) = tmp_path.iterdir()
    assert "this is a bug in ssah-index" in line
    assert type(error).__name__ in line
    assert str(file) in line
    assert "report it" in line
    assert file.stat().st_mode & 0o077 == 0
    assert "Traceback (most recent call last)" in file.read_text("utf-8")
    monkeypatch.setenv("SSAH_INDEX_DEBUG", "1")
    assert "Traceback (most recent call last)" in end_with(error)[1]


def test_a_bug_is_told_where_no_file_can_be_written(end_with, monkeypatch):
    def refuse(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    code, told = end_with(ZeroDivisionError("odd"))
    assert code == 70
    assert "could not be saved (No usable temporary directory found)" in told
    assert "SSAH_INDEX_DEBUG=1 shows it" in told


def test_an_interrupt_before_anything_is_loaded(monkeypatch):
    from ssah_index import __main__ as entry

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupt)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_commands_return_documented_codes_alone():
    """Numbers that commands return are in the table of the group's help."""
    folder = Path(cli.__file__).parent
    returned = set()
    for path in folder.glob("*.py"):
        for line in path.read_text("utf-8").splitlines():
            words = line.strip().split()
            if words[:1] == ["return"] and len(words) > 1 and words[1].isdecimal():
                returned |= {int(word) for word in words if word.isdecimal()}
    assert returned <= set(EXIT_CODES)
    assert {0, 3, 4, 5, 70, 130} <= returned
    assert os.EX_SOFTWARE in EXIT_CODES
