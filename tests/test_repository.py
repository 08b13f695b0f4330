"""The repository keeps its own promises: sizes of files and functions."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_KERNEL_LINES = 60
"""Loops that must stay in one function, or LLVM does not vectorise them or Numba not cache them."""


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
