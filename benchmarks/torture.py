"""The torture of the store, and what it took: ``python -m benchmarks.torture`` (`make torture`).

Runs the tests that kill, fail, flip, forge and race, in their full form, and keeps what they record
of themselves in results/torture.json. Nothing is kept if one of them fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, describe

FILE = RESULTS / "torture.json"
FULL = {"SSAH_KILLS": "300", "SSAH_TOGETHER_S": "180", "SSAH_FLIPS": "4000", "SSAH_LIVES": "300",
        "SSAH_FUZZ": "4000"}  # fmt: skip
TESTS = ("kills", "together", "faults", "verify", "life", "hostile")


def recorded(report: Path) -> dict[str, Any]:
    """What the tests of a JUnit report recorded, and the seconds of each file of them."""
    figures: dict[str, Any] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (our own pytest wrote it)
        name = case.attrib["classname"].split(".test_")[1].split(".")[0]
        seconds = f"{name}_s"
        figures[seconds] = round(figures.get(seconds, 0) + float(case.attrib["time"]), 1)
        for held in case.iter("property"):
            figures[held.attrib["name"]] = figures.get(held.attrib["name"], 0) + int(
                held.attrib["value"]
            )
    return figures


def torture(figures: dict[str, Any]) -> str:
    """The table of the results page."""
    count = {name: f"{value:,.0f}" for name, value in figures.items() if name != "machine"}
    rows = [
        ("a writer killed with -9 at a random moment, then reopened, verified and compared",
         "{kills} times, {kill_acts} acknowledged acts", "kills_s"),
        ("three processes that append, delete and compact at once, and a pinned reader",
         "{together_acts} acknowledged acts, {looks} answers", "together_s"),
        ("a write, fsync, link, mkdir or unlink that fails (ENOSPC, EIO)",
         "{faults} calls, once each", "faults_s"),
        ("a flipped bit, a cut or a missing file", "{flips} bits, {cuts} files", "verify_s"),
        ("a life that hypothesis thinks up, against a dictionary",
         "{lives} lives, {life_acts} acts", "life_s"),
        ("a store or index of a stranger: one field or byte altered, seals made anew, used in "
         "all ways", "{altered} stores", "hostile_s"),
    ]  # fmt: skip
    rows = [row for row in rows if row[2] in figures]
    about = figures["machine"]
    lines = [
        "What was done to the store, without a row lost, half visible or wrong, and without damage "
        f"that `verify` did not find (`make torture`; commit {about['commit']}, {about['date']}, "
        f"{about['cpu']}):",
        "",
        "| what | how often | seconds |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | {often.format(**count)} | {count[s]} |" for what, often, s in rows]
    return "\n".join(lines)


def main() -> int:
    """Run the tests in full and keep their figures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1"]
        tests = [f"tests/store/test_{name}.py" for name in TESTS]
        environment = {**FULL, **os.environ}
        failed = subprocess.run(
            [*command, f"--junitxml={report}", *tests], env=environment, check=False
        ).returncode
        if failed:
            return failed
        figures = {**recorded(report), "machine": describe("zarr", "pyarrow")}
    FILE.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
