"""The command line's outside: help, codes, speed of start."""

import subprocess
import sys
import time

import pytest

from ssah_index.cli.faults import exit_code
from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.errors import EncoderError, QueryError, StoreMissingError, WriteFailedError
from tests.conftest import run_cli


def test_help_names_every_command_and_exit_code():
    text = run_cli("--help").stdout
    for name, short in COMMANDS.items():
        assert name in text
        assert short in text
    for code in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"\n    {code} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_short_helps_do_not_drift_from_the_modules(name):
    assert load_command(name).name == name
    assert f"Usage: ssah-index {name}" in run_cli(name, "--help").stdout


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "numba", "faiss", "numpy", "pyarrow", "zarr", "click", "rich"}
    assert not loaded_by("import ssah_index") & heavy


def test_help_loads_nothing_heavy():
    heavy = {"torch", "numba", "faiss", "numpy", "pyarrow", "zarr", "rich"}
    statement = "from ssah_index.cli.main import group; group.main(['-h'], standalone_mode=False)"
    assert not loaded_by(statement) & heavy


def test_unknown_commands_and_options_are_usage_errors():
    assert "No such command" in run_cli("serch", expect=2).stderr
    assert "No such option" in run_cli("info", "x", "--nope", expect=2).stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(QueryError, 2), (StoreMissingError, 4), (EncoderError, 4), (WriteFailedError, 5)],
)
def test_errors_tell_scripts_their_kind(error, code):
    assert exit_code(error("a", "b", "c")) == code


def test_an_interrupt_ends_with_130(tmp_path):
    store = tmp_path / "s.ssah"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(store)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(2)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors


INTERRUPTED = """
import sys, time
import click
from ssah_index.cli import main

@click.command()
def command():
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)

main.COMMANDS["wait"] = ""
sys.modules["ssah_index.cli.wait"] = type(sys)("wait")
sys.modules["ssah_index.cli.wait"].command = command
main.main(["wait"])
"""
