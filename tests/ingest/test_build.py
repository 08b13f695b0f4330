import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from ssah_index.errors import (
    EncoderError,
    SourceError,
    SpecError,
    StoreExistsError,
    WriteFailedError,
)
from ssah_index.ingest import BuildSpec, build, open_reader
from ssah_index.store import Store, stage
from tests.conftest import HashEncoder

SPEC = BuildSpec(share_rows=10, batch_rows=4)


@pytest.fixture
def source(tmp_path):
    """35 pairs, of which image 7 and text 20 are empty, and three broken table lines."""
    folder = tmp_path / "source"
    folder.mkdir()
    lines = []
    for number in range(35):
        (folder / f"{number}.png").write_bytes(b"" if number == 7 else b"image %d" % number)
        text = "" if number == 20 else f"text {number}"
        lines.append(json.dumps({"path": f"{number}.png", "text": text}))
    lines[12:12] = ["{", "[]", '{"text": "no path"}']
    (folder / "table.jsonl").write_text("\n".join(lines))
    return folder


def contents(path):
    """(modality, id, code) of every row."""
    snapshot = Store.open(path).snapshot()
    out = set()
    for segment in snapshot.segments:
        rows = segment.first_row + np.arange(len(segment))
        ids = snapshot.take(rows, ["id"]).column("id").to_pylist() if len(rows) else []
        out |= {
            (segment.entry.modality, i, c.tobytes())
            for i, c in zip(ids, segment.codes, strict=True)
        }
    return out


def test_every_row_is_written_or_in_the_ledger(source, tmp_path):
    report = build(open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    assert (report.written, report.skipped, report.failed) == (68, 0, 5)
    snapshot = Store.open(tmp_path / "s.ssah").snapshot()
    assert (snapshot.count("image"), snapshot.count("text")) == (34, 34)
    failures = {(f.modality, f.source): f.reason for f in snapshot.failures()}
    assert failures[("image", "7.png")] == "nothing in it"
    assert failures[("text", "20.png")] == "nothing in it"
    assert {source for modality, source in failures if not modality} == {
        "table.jsonl:13", "table.jsonl:14", "table.jsonl:15",
    }  # fmt: skip
    encoder = HashEncoder()
    for modality, name, code in contents(tmp_path / "s.ssah"):
        item = source / name if modality == "image" else f"text {name.removesuffix('.png')}"
        assert encoder.encode(modality, [item])[0].tobytes() == code


def test_a_second_build_changes_nothing(source, tmp_path):
    build(open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    before = Store.open(tmp_path / "s.ssah").newest()
    report = build(open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    assert (report.written, report.skipped, report.failed) == (0, 68, 5)
    assert Store.open(tmp_path / "s.ssah").newest() == before


SLOW_BUILD = """
import sys, time
from ssah_index.ingest import BuildSpec, build, open_reader
from tests.conftest import HashEncoder

class Slow(HashEncoder):
    def encode(self, modality, batch):
        time.sleep(60 if "text 34" in batch else 0.02)  # the end is never reached
        return super().encode(modality, batch)

build(open_reader(sys.argv[1]), sys.argv[2], Slow(), spec=BuildSpec(share_rows=10, batch_rows=4))
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3])
def test_a_killed_build_leaves_a_store_that_opens_and_goes_on(source, tmp_path, delay):
    whole, killed = tmp_path / "whole.ssah", tmp_path / "killed.ssah"
    build(open_reader(source), whole, HashEncoder(), spec=SPEC)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW_BUILD), str(source), str(killed)]
    )
    while not killed.exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    present = len(Store.open(killed).snapshot())
    report = build(open_reader(source), killed, HashEncoder(), spec=SPEC)
    assert report.skipped == present
    assert report.written == 68 - present
    assert contents(killed) == contents(whole)


def test_another_source_or_encoder_is_refused(source, tmp_path):
    path = tmp_path / "s.ssah"
    build(open_reader(source), path, HashEncoder(), spec=SPEC)
    with pytest.raises(
        EncoderError, match="begun with encoder hash-64-, this one is hash-64-other"
    ):
        build(open_reader(source), path, HashEncoder(salt="other"), spec=SPEC)
    (tmp_path / "other.jsonl").write_text('{"text": "one"}')
    with pytest.raises(StoreExistsError, match="68 that are not in this one, the first the image"):
        build(open_reader(tmp_path / "other.jsonl"), path, HashEncoder(), spec=SPEC)
    (source / "3.png").unlink()
    (source / "table.jsonl").write_text('{"path": "0.png", "text": "text 0"}')
    with pytest.raises(StoreExistsError, match="66 that are not in this one, the first the image"):
        build(open_reader(source), path, HashEncoder(), spec=SPEC)
    assert len(Store.open(path).snapshot()) == 68


def test_a_source_without_one_good_row_is_an_error(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": ""}\n{\n')
    with pytest.raises(SourceError, match="none of the 2 rows"):
        build(open_reader(tmp_path / "t.jsonl"), tmp_path / "s.ssah", HashEncoder())
    assert len(Store.open(tmp_path / "s.ssah").snapshot().failures()) == 2


def test_texts_alone_make_a_store(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    report = build(open_reader(tmp_path / "t.jsonl"), tmp_path / "s.ssah", HashEncoder())
    assert (report.written, report.failed) == (2, 0)


def test_progress_is_told(source, tmp_path):
    told = []
    build(
        open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC,
        progress=lambda done, total, label: told.append((label, done, total)),
    )  # fmt: skip
    assert told[-1] == ("texts", 38, 38)
    assert ("images", 38, 38) in told


def test_faulty_specs_name_all_their_faults():
    with pytest.raises(SpecError, match="share_rows is 0; batch_rows is -1"):
        BuildSpec(share_rows=0, batch_rows=-1)
    with pytest.raises(SpecError, match="share_s is nan"):
        BuildSpec(share_s=float("nan"))


def test_a_failed_share_leaves_nothing_staged(source, tmp_path):
    class Failing(HashEncoder):
        def encode(self, modality, batch):
            if modality == "text":
                raise EncoderError("a weight is missing", "all of them", "Get it.")
            return super().encode(modality, batch)

    with pytest.raises(EncoderError, match="a weight is missing"):
        build(open_reader(source), tmp_path / "s.ssah", Failing(), spec=SPEC)
    assert not (tmp_path / "s.ssah").exists()


def test_a_full_disk_leaves_nothing_staged(source, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage, "write_rows", full)
    with pytest.raises(WriteFailedError, match="the disk is full"):
        build(open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    assert list((tmp_path / "s.ssah/segments").iterdir()) == []
    monkeypatch.undo()
    report = build(open_reader(source), tmp_path / "s.ssah", HashEncoder(), spec=SPEC)
    assert (report.written, report.failed) == (68, 5)
