"""delete, history and verify as a user runs them."""

import json

import numpy as np
import pytest

from ssah_index.store import Store
from tests.commands import run_cli
from tests.conftest import random_codes


@pytest.fixture
def path(make_store):
    """Images s0-0 to s0-9 and texts s1-0 to s1-4."""
    segments = random_codes(1, 10, 64), random_codes(2, 5, 64)
    return make_store(*segments, modalities=["image", "text"]).path


def test_ids_come_as_arguments_or_lines(path):
    told = run_cli("delete", path, "s0-1", "s0-2", "absent")
    assert json.loads(told.stdout) == {"deleted": 2, "generation": 3}
    told = run_cli("delete", path, stdin="s0-1\ns1-3\n\n")
    assert json.loads(told.stdout) == {"deleted": 1, "generation": 4}
    facts = json.loads(run_cli("info", path).stdout)
    assert (facts["rows"], facts["images"], facts["texts"], facts["deleted"]) == (12, 8, 4, 3)
    code = np.zeros(8, np.uint8).tobytes().hex()
    found = run_cli("query", path, "--code", code, "-k", 99, "--format", "ids").stdout.split()
    assert len(found) == 12
    assert not {"s0-1", "s0-2", "s1-3"} & set(found)


def test_a_modality_is_deleted_alone(path):
    told = run_cli("delete", path, "s0-1", "s1-1", "--modality", "text")
    assert json.loads(told.stdout)["deleted"] == 1


def test_compact_and_gc_leave_the_answers(path):
    run_cli("delete", path, "s0-1")
    code = np.zeros(8, np.uint8).tobytes().hex()
    ask = ("query", path, "--code", code, "-k", 99, "--format", "ids")
    before = run_cli(*ask).stdout
    report = json.loads(run_cli("compact", path).stdout)
    assert report == {
        "generation": 4, "segments_before": 2, "segments_after": 2, "dropped": 1
    }  # fmt: skip
    planned = json.loads(run_cli("gc", path, "--grace-hours", 0, "--dry-run").stdout)
    done = json.loads(run_cli("gc", path, "--grace-hours", 0).stdout)
    assert done == {**planned, "dry_run": False}
    assert (done["generations"], done["segments"], done["files"]) == (3, 1, 1)
    assert run_cli(*ask).stdout == before
    assert "keep is 0" in run_cli("gc", path, "--keep", 0, expect=2).stderr


def test_history_lists_what_was_done(path):
    Store.open(path).delete(["s0-1"])
    Store.open(path).tag("before", 2)
    lines = [json.loads(line) for line in run_cli("history", path).stdout.splitlines()]
    assert [(r["generation"], r["operation"], r["rows"], r["deleted"]) for r in lines] == [
        (4, "tag", 15, 1),
        (3, "delete", 15, 1),
        (2, "append", 15, 0),
        (1, "append", 10, 0),
    ]
    assert [line["tags"] for line in lines] == [[], [], ["before"], []]
    assert all(line["committed"].startswith("20") for line in lines)


def test_verify_prints_damage_and_exits_with_4(path):
    assert "all is as it was written" in run_cli("verify", path).stderr
    file = next(path.rglob("rows.arrow"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    told = run_cli("verify", path, "--quiet", expect=4)
    (damage,) = [json.loads(line) for line in told.stdout.splitlines()]
    assert damage["file"] == file.relative_to(path).as_posix()
    assert "is altered" in damage["fault"]
    assert "1 damages found" in told.stderr
