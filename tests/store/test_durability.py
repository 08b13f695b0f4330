"""The system calls of a commit, in the order that power loss demands."""

import re
import shutil
import subprocess
import sys

import pytest

from ssah_index.store import Store
from tests.conftest import append, random_codes

SCRIPT = """
import sys
from ssah_index.store import Store
from tests.conftest import append, random_codes
store = Store.open(sys.argv[1])
append(store, "new", random_codes(1, 300, 64))
store.delete(["new-3"])
print("acknowledged", flush=True)
"""
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += +(-?\d+)")
BEGUN = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")


def whole_lines(lines):
    """Calls at the moment they end; strace cuts those in two that others cross."""
    begun = {}
    for line in lines:
        if start := BEGUN.match(line):
            begun[start[1]] = start[2]
        elif end := ENDED.match(line):
            yield f"{end[1]} {begun.pop(end[1])}{end[2]}"
        else:
            yield line


def calls_of(path, log):
    """(name, path) of every call on the store that succeeded, in order; and what is printed."""
    command = ["strace", "-f", "-y", "-s", "40", "-o", str(log)]
    traced = [
        "-e",
        "trace=openat,open,creat,mkdir,mkdirat,fsync,fdatasync,link,linkat,rename,write",
    ]
    run = [*command, *traced, sys.executable, "-c", SCRIPT, str(path)]
    subprocess.run(run, check=True, capture_output=True, timeout=120)
    for line in whole_lines(log.read_text().splitlines()):
        found = CALL.match(line)
        if not found or int(found[3]) < 0:
            continue
        name, arguments = found[1], found[2]
        if name == "write" and "acknowledged" in arguments:
            yield "acknowledged", ""
        elif name.startswith("mkdir") or "O_CREAT" in arguments:
            yield "create", re.search(r'"([^"]+)"', arguments)[1]
        elif name in ("fsync", "fdatasync"):
            yield "fsync", re.search(r"<([^>]+)>", arguments)[1]
        elif name in ("link", "linkat"):
            yield "link", re.findall(r'"([^"]+)"', arguments)[-1]
        elif name == "rename":
            yield "rename", re.findall(r'"([^"]+)"', arguments)[-1]


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_all_is_on_the_disk_before_it_is_named(tmp_path):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    append(store, "old", random_codes(2, 5, 64))
    log = tmp_path / "strace.log"
    calls = [
        (name, path)
        for name, path in calls_of(store.path, log)
        if name == "acknowledged" or path.startswith(str(store.path))
    ]
    assert not [path for name, path in calls if name == "rename"]
    assert [name for name, _ in calls].count("link") == 2
    links = [place for place, (name, _) in enumerate(calls) if name == "link"]
    for place, (name, path) in enumerate(calls):
        if name != "create" or path.endswith(".tmp"):
            continue
        published = min(link for link in links if link > place)
        between = calls[place:published]
        assert ("fsync", path) in between, f"{path} is named before it is on the disk"
        parent = path.rsplit("/", 1)[0]
        last = max(i for i, call in enumerate(between) if call == ("fsync", parent))
        assert last > 0, f"the name of {path} is used before it is on the disk"
    acknowledged = calls.index(("acknowledged", ""))
    for link in links:
        path = calls[link][1]
        manifest = [call for call in calls[:link] if call[0] == "fsync" and ".tmp" in call[1]]
        assert manifest, f"{path} is published before it is on the disk"
        folder = ("fsync", path.rsplit("/", 1)[0])
        assert folder in calls[link:acknowledged], f"{path} is acknowledged too early"
