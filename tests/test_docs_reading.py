"""The page on reading says what the code does."""

import re
from pathlib import Path

import pytest

from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.ingest import columns, records
from ssah_index.ingest.listing import HIDDEN, IMAGE_SUFFIXES
from ssah_index.ingest.tables import TABLE_SUFFIXES
from ssah_index.store.columns import RESERVED, base_schema
from tests.ingest.sources import jsonl, photos, told

PAGE = (Path(__file__).parent.parent / "docs/reading.md").read_text("utf-8")
FLAT = " ".join(PAGE.split())


def suffixes(start, end):
    return set(re.findall(r"\.\w+", FLAT.partition(start)[2].partition(end)[0]))


def test_suffixes_are_those_that_are_read():
    assert suffixes("Images end in", ", in upper") == IMAGE_SUFFIXES
    assert suffixes("Tables end in", ". As SOURCE") == set(TABLE_SUFFIXES)


def test_hidden_names_are_those_that_are_left_out():
    line = FLAT.partition("names that begin with a dot, and ")[2].partition(" | ")[0]
    assert {name.lower() for name in re.findall("`([^`]+)`", line)} == HIDDEN


def test_names_that_a_store_uses_are_all_there():
    line = FLAT.partition("the names ")[2].partition(", which a store uses")[0]
    base = set(base_schema("string").names) - {"id", "text", "labels"}
    assert set(re.findall("`([^`]+)`", line)) == {*RESERVED, *base}


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z][a-z-]*", PAGE))))
def test_options_are_those_of_a_command(option):
    known = {word for name in COMMANDS for own in load_command(name).params for word in own.opts}
    assert option in known


def test_limits_are_those_of_the_code():
    for limit in (records.MAX_TEXT, records.MAX_RECORD, columns.MAX_COLUMNS):
        assert f"{limit:,}" in PAGE
    assert f"more than {records.MAX_DEPTH} levels" in FLAT


def test_the_summary_of_the_page_is_what_is_said(tmp_path):
    """The page's lines, from a source that has what they tell of."""
    photos(tmp_path / "photos", *(f"{n}.jpg" for n in range(157)), "a.heic", "b.heic", "c.heic")
    photos(tmp_path / "photos", ".x", ".y")
    (tmp_path / "photos/more").symlink_to(tmp_path)
    jsonl(
        tmp_path / "photos/pairs.jsonl",
        *(
            {
                "path": f"{n}.jpg",
                "text": f"text {n}" if n < 118 else None,
                "labels": [f"label {n % 4}"] if n < 100 else [],
                "image": {"bytes": None, "path": "x"},
            }
            for n in range(120)
        ),
    )
    block = PAGE.partition("```\n")[2].partition("```")[0]
    assert block == "".join(f"photos: {line}\n" for line in told(tmp_path / "photos").splitlines())
