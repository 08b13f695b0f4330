"""The command line's outside: help, codes, speed of start."""

import subprocess
import sys
import time

import pytest

from ssah_index.cli.faults import EXIT_CODES
from ssah_index.cli.main import COMMANDS, group, load_command, main
from tests.commands import run_cli


@pytest.fixture
def help_of(capsys):
    """What --help prints, in this process."""

    def read(*words):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        return capsys.readouterr().out

    return read


def test_help_names_every_command_and_exit_code():
    text = run_cli("--help").stdout
    for name, short in COMMANDS.items():
        assert name in text
        assert short in text
    for code, meaning in EXIT_CODES.items():
        assert f"\n    {code} " in text
        for line in meaning.split("\n"):
            assert f" {line}\n" in f"{text}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_short_helps_do_not_drift_from_the_modules(name, help_of):
    assert load_command(name).name == name
    assert f"Usage: ssah-index {name}" in help_of(name)


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_helps_keep_the_lines_of_examples(words, help_of):
    text = help_of(*words)
    assert "\\b" not in text
    assert "\b" not in text
    own = group if not words else load_command(words[0])
    examples = [line.strip() for line in own.help.splitlines() if " ssah-index " in f" {line}"]
    shown = [line.strip() for line in text.splitlines()]
    assert [line for line in examples if line not in shown] == []


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
