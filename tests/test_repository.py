"""The repository keeps its own promises: README, sizes, layers, start-up."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import render
from ssah_index.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_KERNEL_LINES = 60
"""Loops that must stay in one function, or LLVM does not vectorise them or Numba not cache them."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def sources() -> list[Path]:
    return sorted(p for folder in ("ssah_index", "encoders") for p in (ROOT / folder).rglob("*.py"))


def test_no_file_is_too_long():
    assert [p for p in sources() if len(p.read_text().splitlines()) > MAX_FILE_LINES] == []


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's statements, without its docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_too_long():
    offenders = [
        f"{path.relative_to(ROOT)}: {node.name} has {code_lines(node)} lines"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and code_lines(node)
        > (MAX_KERNEL_LINES if path.parent.name == "kernels" else MAX_FUNCTION_LINES)
    ]
    assert offenders == []


def test_the_readmes_figures_are_the_kept_ones():
    assert render(README) == README


def test_the_readme_names_every_command():
    for name in COMMANDS:
        assert f"ssah-index {name}" in README


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory):
    """A folder named photos/ with 300 pairs, as the README supposes one."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("readme")
    (folder / "photos").mkdir()
    names = ["red", "green", "blue", "orange", "purple"]
    for number in range(300):
        colour = names[number % 5]
        Image.new("RGB", (40, 40), colour).save(folder / f"photos/{number}.png")
        (folder / f"photos/{number}.txt").write_text(f"a {colour} square, number {number % 7}")
    return folder


def test_the_readmes_shell_blocks_run(quick_start):
    """Every command of the blocks marked `sh`, in order, in one folder."""
    commands = [
        line for block in blocks("sh") for line in block.splitlines() if line and line[0] != "#"
    ]
    assert len(commands) >= 5
    for command in commands:
        ours = command.replace("ssah-index ", f"{shlex.quote(sys.executable)} -m ssah_index ")
        if shutil.which("jq") is None:  # the reader's tool, not ours to install
            ours = ours.replace(" | jq .id", "")
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", ours],
            cwd=quick_start, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert run.returncode == 0, (command, run.stderr)


def test_the_readmes_python_blocks_run(quick_start):
    """Every block marked `python`, after the shell blocks."""
    assert blocks("python")
    for block in blocks("python"):
        run = subprocess.run(
            [sys.executable, "-c", block],
            cwd=quick_start, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert run.returncode == 0, (block, run.stderr)
