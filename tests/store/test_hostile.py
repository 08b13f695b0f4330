"""A store from a stranger: whatever its files say, and with seals that hold, nothing outside it is
touched, no process ends, and every fault is told in words.

SSAH_FUZZ says how many altered stores are tried; `make torture` tries thousands.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import ssah_index
from ssah_index.errors import CorruptError, FormatError, SpecError, SsahError, WriteFailedError
from ssah_index.index.building import build_index
from ssah_index.index.stored import verify_indexes
from ssah_index.store import Store, collect, compact, repair, verify
from ssah_index.store.arrow import check_batch, check_values
from ssah_index.store.files import Seal
from ssah_index.store.manifest import manifest_name
from ssah_index.store.names import plain_name, plain_path
from tests.commands import run_cli
from tests.conftest import random_codes, staged
from tests.store import hostile
from tests.store.test_bucket import server, url  # noqa: F401 (fixtures)

CASES = int(os.environ.get("SSAH_FUZZ", "160"))
SEED = int(os.environ.get("SSAH_FUZZ_SEED", "1"))
WORKERS = 2


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return hostile.make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def store(template, tmp_path):
    """A copy of the template, beside a folder that it must not touch."""
    victim = tmp_path / "victim"
    segment = hostile.load_manifest(newest(template))["segments"][0]["folder"]
    shutil.copytree(template / "segments" / segment, victim)
    return Path(shutil.copytree(template, tmp_path / "store.ssah"))


def newest(store):
    return min((store / "manifests").iterdir())


def change(store, make):
    """Change the newest manifest and seal it."""
    body = hostile.load_manifest(newest(store))
    make(body)
    hostile.write_manifest(newest(store), body)


def use_all(store):
    """Every way to use a store; those that end in something else than words."""
    (store.parent / "out").mkdir(exist_ok=True)
    ways = {name: (read, store, store.parent / "out") for name, read in hostile.READS.items()}
    ways |= {name: (write, store) for name, write in hostile.WRITES.items()}
    ways |= {f"mend: {name}": (mend, store) for name, mend in hostile.MENDS.items()}
    faults = [hostile.attempt(name, lambda way=way: way[0](*way[1:])) for name, way in ways.items()]
    return [fault for fault in faults if fault]


NAMES = [
    "../../victim", "..", ".", "", "/etc", "a/b", "a\0b", ".hidden", "x" * 300, "\ud800", None, 7,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_with_another_name_than_a_plain_one_is_refused(store, name):
    before = hostile.listing(store.parent / "victim")
    change(store, lambda body: body["segments"][0].update(folder=name))
    with pytest.raises(CorruptError, match=r"'folder'.*expected a plain name"):
        Store.open(store).snapshot()
    assert [damage.file for damage in verify(Store.open(store))] == [
        newest(store).relative_to(store).as_posix()
    ]
    assert use_all(store) == []
    assert hostile.listing(store.parent / "victim") == before


def test_the_commands_tell_it_in_words(store):
    change(store, lambda body: body["segments"][0].update(folder="../../victim"))
    told = run_cli("info", store, expect=4).stderr
    assert "has '../../victim' for 'folder'; expected a plain name" in told
    assert json.loads(run_cli("repair", store).stdout)["damages"]
    assert run_cli("verify", store).returncode == 0


@pytest.mark.parametrize("missing", ["segment.json", "rows.arrow", "idhash.u64", "failed.parquet"])
def test_sizes_that_lack_a_file_are_refused_and_repaired(store, missing):
    change(store, lambda body: body["segments"][0]["sizes"].pop(missing))
    with pytest.raises(CorruptError, match="'sizes'"):
        Store.open(store).snapshot()
    assert len(verify(Store.open(store))) == 1
    report = repair(Store.open(store))
    assert len(report.generations_lost) == 1
    assert verify(Store.open(store)) == []
    assert Store.open(store).snapshot().live > 200


@pytest.mark.parametrize(
    "make",
    [
        lambda body: body["segments"].append(body["segments"][0]),
        lambda body: body["segments"][0].update(rows=2**40),
        lambda body: body["segments"][0].update(modality="sound"),
        lambda body: body["deletions"].update({"none": {}}),
        lambda body: next(iter(body["deletions"].values())).update(rows=10**6),
        lambda body: next(iter(body["deletions"].values())).update(file="../format.json"),
        lambda body: body.update(tags={"a": "b"}),
        lambda body: body.update(committed_s=1e18),
        lambda body: body.update(columns="AAAA"),
        lambda body: body.update(generation=1),
        lambda body: body.update(segments={}),
        lambda body: body.update(operation="nested 100000"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(store, make):
    change(store, make)
    with pytest.raises(CorruptError):
        Store.open(store).snapshot()
    assert use_all(store) == []


def test_fields_that_cannot_be_printed_are_told_all_the_same(store):
    change(store, lambda body: body["segments"][0].update({"\ud800": 1, "\x1b[2J": 2}))
    with pytest.raises(FormatError, match=r"has .*ud800") as caught:
        Store.open(store).snapshot()
    assert str(caught.value).isprintable()
    assert use_all(store) == []


@pytest.mark.parametrize(
    "name",
    ["../victim/file", "encoder/../../victim/file", "/etc/passwd", "format.json", "encoder/"],
)
def test_files_of_an_encoder_lie_below_its_folder(store, name):
    path = store / "format.json"
    body = json.loads(path.read_bytes())
    del body["xxh3"]
    body["files"][name] = {"size": 1, "xxh3": "0" * 16}
    own = hostile.seal(json.dumps(body, sort_keys=True).encode())
    path.write_bytes(hostile.dump({**body, "xxh3": own}))
    with pytest.raises(CorruptError, match=r"format\.json"):
        Store.open(store)


def test_an_encoder_has_no_links(store):
    (store / "encoder" / "words.json").symlink_to(store.parent / "victim" / "rows.arrow")
    with pytest.raises(CorruptError, match=r"words\.json is a symbolic link"):
        Store.open(store).load_encoder()


def test_more_generations_than_there_are_is_no_way_to_lose_a_commit(store):
    body = hostile.load_manifest(newest(store))
    body |= {"generation": 2**63 - 1, "parent": 2**63 - 2}
    hostile.write_manifest(store / "manifests" / f"{2**64 - 2**63:020d}.json", body)
    with pytest.raises(CorruptError, match="generation 9223372036854775807"):
        Store.open(store).delete(["s0-5"])


PLACES = [
    "segments", "manifests", "indexes", "deletions", "encoder", "format.json", "quarantine",
    "segments/*0", "segments/*/codes", "segments/*/codes/c", "segments/*/rows.arrow",
    "segments/*/segment.json", "manifests/*", "deletions/*", "indexes/*", "indexes/*/refs",
    "indexes/*/index.json", "encoder/encoder.json", "segments/new", "deletions/new",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_or_folder_of_its_own_is_not_used(store, place, kind):
    """Neither followed nor waited for nor removed behind its back."""
    path = min(store.glob(place), default=store / place)
    victim = store.parent / "victim"
    inside = path.is_dir()
    if inside:  # it would do
        shutil.rmtree(victim)
        shutil.copytree(path, victim)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(victim if inside else victim / "rows.arrow")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = hostile.listing(victim)
    signal.alarm(60)
    try:
        assert use_all(store) == []
    finally:
        signal.alarm(0)
    assert hostile.listing(victim) == before


def test_a_link_to_a_whole_store_is_followed(store):
    link = store.parent / "link"
    link.symlink_to(store)
    assert verify(Store.open(link)) == []
    assert len(ssah_index.open(link).search(np.zeros(8, np.uint8), k=3).rows) == 3


@pytest.mark.parametrize("folder", ["../../victim", "a/../../../victim", "/victim", "none"])
def test_the_mirror_of_a_bucket_is_not_escaped(template, url, tmp_path, folder):  # noqa: F811
    made = Store.create(url, bits=64)
    made.append(random_codes(1, 20, 64), {"id": [f"a{i}" for i in range(20)]})
    name = manifest_name(1)
    path = tmp_path / "manifest.json"
    path.write_bytes(made.place.read(name))
    body = hostile.load_manifest(path)
    body["segments"][0]["folder"] = folder
    hostile.write_manifest(path, body)
    made.place.remove([name])
    made.place.publish(name, path.read_bytes())
    shutil.rmtree(made.path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CorruptError):
        ssah_index.open(url).search(np.zeros(8, np.uint8), k=1)
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} <= set(before)
    for name in ("../x", "/x", "a/../../x", ""):
        with pytest.raises(CorruptError, match="a plain name"):
            made.place.remove([name])
        with pytest.raises(CorruptError, match="a plain name"):
            made.place.remove_folder(name)
        with pytest.raises(CorruptError, match="a plain name"):
            made.place.bring({name: Seal(1, "")})
    assert repair(Store.open(url)).damages
    assert verify(Store.open(url)) == []


def test_a_draft_of_an_index_may_be_a_trap(store):
    """A build writes into a folder whose name follows from what it indexes."""
    entry = hostile.load_manifest(newest(store))["indexes"][0]
    victim = store.parent / "victim" / "rows.arrow"
    draft = store / "indexes" / f"{entry['folder'].split('.')[0]}.draft"
    (draft / "offsets/codes/c/0").mkdir(parents=True)
    (draft / "offsets/codes/c/0/0").symlink_to(victim)
    before = victim.read_bytes()
    with pytest.raises(CorruptError, match="symbolic link"):
        build_index(Store.open(store), "image", kind="mih", rebuild=True)
    assert victim.read_bytes() == before
    shutil.rmtree(draft)
    draft.symlink_to(victim.parent)
    with pytest.raises(CorruptError, match="symbolic link"):
        build_index(Store.open(store), "image", kind="mih", rebuild=True)
    draft.unlink()
    os.mkfifo(draft)
    with pytest.raises(WriteFailedError):
        build_index(Store.open(store), "image", kind="mih", rebuild=True)
    draft.unlink()
    draft.mkdir()
    for mark in ({"table": 3}, {"table": -1}, {"other": 1}, [], {"table": 1, "distinct": 9}):
        names = ("offsets", "body", "tails", "refs", "lists", "list_rows")
        seals = {name: {"size": 0, "xxh3": hostile.seal(b"")} for name in names}
        (draft / "draft.json").write_text(json.dumps({"mark": mark, "seals": seals}))
        fault = hostile.attempt(
            "index", lambda: build_index(Store.open(store), "image", kind="mih", rebuild=True)
        )
        assert fault is None
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
    shutil.rmtree(draft)
    hostile.same_as_scan(store)


@pytest.mark.parametrize(
    "make",
    [
        lambda entry: entry.update(kind="ivf"),
        lambda entry: entry.update(folder="../../victim"),
        lambda entry: entry.update(newer="field"),
        lambda entry: entry["segments"].reverse(),
        lambda entry: entry["sizes"].clear(),
        lambda entry: entry.update(modality="text"),
    ],
)
def test_an_index_that_cannot_be_used_is_left_aside(store, make, caplog):
    change(store, lambda body: make(body["indexes"][0]))
    with caplog.at_level(logging.WARNING):
        hostile.same_as_scan(store)
    assert "an index is left aside" in " ".join(caplog.messages)
    hostile.command("info", store)
    assert use_all(store) == []


def test_an_index_of_other_codes_is_left_aside(store, caplog):
    """Its hashes hold, its offsets and references are in range: and it would hide a row."""
    for path in sorted(store.glob("indexes/*/refs/codes/c/0/0")):
        content = bytearray(path.read_bytes())
        content[:4], content[4:8] = content[4:8], content[:4]
        path.write_bytes(content)
        hostile.reseal(store, path)
    with caplog.at_level(logging.WARNING):
        hostile.same_as_scan(store)
    assert "made of other codes" in " ".join(caplog.messages)
    assert verify(Store.open(store)) == []
    assert len(list(verify_indexes(Store.open(store)))) == 2


def test_offsets_are_checked_for_few_rows_as_for_all():
    """Of one row in thousands, only its own offsets are read."""
    n = 4000
    offsets = np.arange(n + 1, dtype=np.int32)
    texts = pa.py_buffer(b"x" * n)

    def batch(offsets):
        text = pa.StringArray.from_buffers(n, pa.py_buffer(offsets), texts)
        lists = pa.ListArray.from_buffers(
            pa.list_(pa.string()), n, [None, pa.py_buffer(offsets)], children=[text]
        )
        structs = pa.StructArray.from_arrays([text], ["inner"])
        return pa.record_batch([text, lists, structs], ["text", "lists", "structs"])

    rows = np.array([5, 3999])
    check_batch(batch(offsets), full=True)
    check_values(batch(offsets), rows)
    for at, value in ((6, 2**31 - 1), (6, -1), (5, 2000), (4000, 4001), (3999, 4001)):
        wrong = offsets.copy()
        wrong[at] = value
        with pytest.raises(pa.ArrowInvalid):
            check_batch(batch(wrong), full=True)
        for name in ("text", "lists", "structs"):
            with pytest.raises(pa.ArrowInvalid):
                check_values(batch(wrong).select([name]), rows)
    indices = pa.array(np.full(n, 9, np.int8))
    wrong = pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    with pytest.raises(pa.ArrowInvalid):
        check_values(pa.record_batch([wrong], ["kind"]), rows)


@pytest.mark.parametrize("name", ["a/b", "..", ".", ".x", "a\0", "x" * 300])
def test_a_segment_cannot_be_called_what_could_not_be_read(make_store, name):
    store = make_store()
    codes = random_codes(1, 1, 64)
    with pytest.raises(SpecError, match="the name of a batch is"):
        store.append(codes, {"id": ["a"]}, name=name)
    with pytest.raises(SpecError, match="a segment is to be called"):
        staged(store, name, codes)
    assert store.newest().segments == ()


def test_plain_names_lead_one_step_down():
    assert all(map(plain_name, ["a", "a.b", "ä b", "x" * 255]))
    assert not any(map(plain_name, ["", ".", "..", ".a", "a/b", "/a", "a\0", "ä" * 128, "\ud800"]))
    assert all(map(plain_path, ["a", "a/b/c", "a/.b"]))
    assert not any(map(plain_path, ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b"]))


def test_gc_and_compact_of_a_whole_template_are_as_ever(store):
    compact(Store.open(store))
    collect(Store.open(store), grace_s=0)
    assert verify(Store.open(store)) == []


@pytest.mark.slow
def test_altered_stores_are_refused_or_right(tmp_path_factory, record_property):
    """One field or byte of one file, and seals made anew up to the manifest."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile.make_template(folder)
    share = 1.0 if "SSAH_FUZZ" in os.environ else 0.3
    borders = np.linspace(0, CASES, WORKERS + 1).astype(int).tolist()
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [
            pool.submit(run_cases, folder, SEED + i, borders[i], borders[i + 1], share)
            for i in range(WORKERS)
        ]
        findings = [finding for job in jobs for finding in job.result()]
    assert findings == []
    record_property("altered", CASES)


def run_cases(folder, seed, first, last, share):
    """Cases in processes of their own: one that dies is a finding, and the next goes on."""
    findings = []
    while first < last:
        command = [sys.executable, "-W", "error", "-m", "tests.store.hostile", folder, seed, first]
        process = subprocess.run(
            [*map(str, command), str(last), str(share)], capture_output=True, text=True, check=False
        )
        told = [json.loads(line) for line in process.stdout.splitlines()]
        findings += [case for case in told if case.get("faults")]
        begun = max((case["begun"] for case in told if "begun" in case), default=first)
        done = max((case["case"] for case in told if "case" in case), default=first - 1)
        if process.returncode or done < last - 1:
            findings.append((seed, begun, process.returncode, process.stderr[-3000:]))
        first = max(begun, done) + 1
    return findings


def test_every_error_of_a_hostile_store_has_three_parts(store):
    change(store, lambda body: body["segments"][0].update(rows="many"))
    with pytest.raises(SsahError) as caught:
        Store.open(store).snapshot()
    assert (caught.value.expected, "repair STORE" in caught.value.remedy) == (
        f"a whole number from 0 to {2**32}",
        True,
    )
