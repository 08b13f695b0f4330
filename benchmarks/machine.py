"""What a figure must say of where it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGES = Path(__file__).parent.parent / "docs" / "results"
"""Where tables and plots of the figures are shown."""
_CODE = "--", ":/", ":!/benchmarks/results", ":!/docs/results"
"""All files but the figures, which change while they are measured."""


def describe(*packages: str) -> dict[str, Any]:
    """Commit, date, machine and the versions of the packages that count."""
    return {
        "commit": head() + "-dirty" * bool(_git("status", "--porcelain", "-uno", *_CODE)),
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def head() -> str:
    """Short hash of the commit that is checked out."""
    return _git("rev-parse", "--short", "HEAD")


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    flags = facts.get("flags\t\t", "")
    note = ", AVX-512 VPOPCNTDQ" if "avx512_vpopcntdq" in flags else ""
    return facts.get("model name\t", platform.machine()).strip() + note
