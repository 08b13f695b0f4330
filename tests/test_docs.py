"""What the README and the guides show is what happens."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import REPORTED, blocks, render
from ssah_index.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs/guides").glob("*.md"))]
"""In the order in which their blocks are run, all in one folder."""
BLOCK = re.compile(r"```(sh|python)\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
MOST_WORDS, MOST_BYTES = 900, 12 << 10
COLOURS = ("red", "green", "blue", "orange", "purple")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with photos/ of 300 pairs, as the README supposes one."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("docs")
    (folder / "photos").mkdir()
    for number in range(300):
        colour = COLOURS[number % 5]
        Image.new("RGB", (40, 40), colour).save(folder / f"photos/{number}.png")
        (folder / f"photos/{number}.txt").write_text(f"a {colour} square, number {number % 7}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_the_page_shows(page, folder):
    found = BLOCK.findall(page.read_text("utf-8"))
    assert found
    for language, content, shown in found:
        run = subprocess.run(
            command(language, content),
            cwd=folder, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert run.returncode == 0, (content, run.stderr)
        if shown:
            assert run.stdout == shown


def command(language: str, content: str) -> list[str]:
    """What runs a block."""
    if language == "python":
        return [sys.executable, "-c", content]
    ours = re.sub(r"\bssah-index ", f"{shlex.quote(sys.executable)} -m ssah_index ", content)
    ours = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", ours, flags=re.MULTILINE)
    if shutil.which("jq") is None:  # the reader's tool, not ours to install
        ours = ours.replace(" | jq .id", "")
    return ["bash", "-e", "-o", "pipefail", "-c", ours]


def test_the_figures_shown_are_the_kept_ones():
    found = blocks()
    for page in REPORTED:
        text = page.read_text("utf-8")
        assert render(text, found) == text


def test_the_readme_is_short():
    text = README.read_text("utf-8")
    assert len(text.split()) <= MOST_WORDS
    assert len(text.encode()) <= MOST_BYTES


def test_the_page_of_commands_is_their_help():
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    command = [sys.executable, "-m", "ssah_index.cli.helps"]
    page = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert text == page, "run: python -m ssah_index.cli.helps > docs/cli.md"
    for name in COMMANDS:
        assert f"\n## {name}\n" in text


def test_links_lead_to_files():
    for page in [README, *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
