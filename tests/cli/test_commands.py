"""Train, build, query and info as a user runs them, on a small real world."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from ssah_index.plugins import load_encoder
from ssah_index.store import Store
from tests.commands import run_cli
from tests.conftest import append, random_codes


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def test_train_writes_an_encoder(folder, tmp_path):
    told = run_cli("train", folder, tmp_path / "e", "--passes", "0", "--bits", "16")
    assert "1 of 121 items are left out: 1 have no text" in told.stderr
    assert "batch_rows is 120: there are only 120 pairs" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


@pytest.fixture(scope="module")
def source(world, tmp_path_factory):
    """A folder of 260 pairs: one batch."""
    source = tmp_path_factory.mktemp("many")
    for number in range(260):
        item = world[number % len(world)]
        shutil.copy(item.image, source / f"{number}.png")
        (source / f"{number}.txt").write_text(item.text)
    return source


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_encoder(source, tmp_path):
    options = ("--passes", "8", "--bits", "16", "--validation", "0.01", "--log")
    command = [sys.executable, "-m", "ssah_index", "train", str(source)]
    interrupted = [*command, str(tmp_path / "e"), *options, str(tmp_path / "e.csv")]
    with subprocess.Popen(interrupted, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("pass 2 of 8"):
                process.send_signal(signal.SIGINT)
                break
        told = process.stderr.read()
    assert re.search(r"Interrupted: [2-7] of 8 passes are kept in .*/e\.checkpoint; run the", told)
    assert process.returncode == 130
    assert {path.name for path in tmp_path.iterdir()} == {"e.checkpoint", "e.csv"}
    told = run_cli("train", source, tmp_path / "e", *options, tmp_path / "e.csv")
    assert "pass 1 of 8" not in told.stderr
    run_cli("train", source, tmp_path / "whole", *options, tmp_path / "whole.csv")
    both = [load_encoder(tmp_path / name).fingerprint for name in ("e", "whole")]
    assert both[0] == both[1]
    numbers = [line.split(",")[0] for line in (tmp_path / "e.csv").read_text().splitlines()]
    assert numbers == ["pass", *map(str, range(1, 9))]


def test_train_then_load(source, tmp_path):
    told = run_cli("train", source, tmp_path / "e", "--passes", "1", "--bits", "16")
    assert told.stdout == ""
    assert "260 pairs" in told.stderr
    trained = load_encoder(tmp_path / "e")
    assert trained.bits == 16
    assert trained.fingerprint in told.stderr
    again = run_cli("train", source, tmp_path / "e", expect=4)
    assert "already" in again.stderr


def test_train_refuses_a_folder_without_pairs(folder, tmp_path):
    shutil.copy(folder / "0.png", tmp_path / "0.png")
    told = run_cli("train", tmp_path, tmp_path / "e", expect=2)
    assert "0 of 1 items are pairs: 1 have no text" in told.stderr


def test_build_again_skips(folder, encoder, store):
    told = run_cli("build", folder, store, "--encoder", encoder, expect=3)
    assert "0 rows written" in told.stderr
    assert "240 were there already" in told.stderr


def test_info_counts_and_names_failures(store):
    facts = json.loads(run_cli("info", store).stdout)
    assert (facts["images"], facts["texts"], facts["failed"], facts["bits"]) == (120, 120, 2, 32)
    failures = records(run_cli("info", store, "--failures").stdout)
    assert {(f["modality"], f["id"]) for f in failures} == {
        ("image", "cut.png"),
        ("text", "cut.png"),
    }
    assert any("truncated" in f["reason"] for f in failures)


def test_texts_find_images_and_images_find_texts(store, folder):
    hits = records(run_cli("query", store, "--text", "red square left", "-k", 4).stdout)
    assert [hit["rank"] for hit in hits] == [0, 1, 2, 3]
    assert {hit["modality"] for hit in hits} == {"image"}
    assert all("red square left" in hit["text"] for hit in hits)
    hits = records(run_cli("query", store, "--image", folder / "0.png", "-k", 4).stdout)
    assert {hit["modality"] for hit in hits} == {"text"}
    assert all("red" in hit["text"] or "left" in hit["text"] for hit in hits)


def test_lines_of_stdin_are_answered_in_order(store, folder):
    stdin = "red left\nblue top\ngreen"
    hits = records(run_cli("query", store, "-k", 2, stdin=stdin).stdout)
    assert [hit["query"] for hit in hits] == ["red left"] * 2 + ["blue top"] * 2 + ["green"] * 2
    images = f"{folder / '0.png'}\n{folder / '1.png'}\n"
    told = run_cli("query", store, "--lines", "image", "-k", 1, "--format", "ids", stdin=images)
    assert len(told.stdout.splitlines()) == 2


def test_queries_that_fail_are_answered_with_their_error(store, folder):
    stdin = "red\n\nquixotic\nblue\n"
    told = run_cli("query", store, "-k", 1, stdin=stdin, expect=3)
    answers = records(told.stdout)
    assert [answer["query"] for answer in answers] == ["red", "", "quixotic", "blue"]
    assert ["error" in answer for answer in answers] == [False, True, True, False]
    assert "2 of 4 queries failed" in told.stderr
    told = run_cli("query", store, "--image", folder / "cut.png", expect=3)
    assert "truncated" in told.stderr


def test_codes_are_hexadecimal(store):
    code = Store.open(store).snapshot().segments[0].codes[5].tobytes().hex()
    hits = records(run_cli("query", store, "--code", code, "--find", "image", "--radius", 0).stdout)
    assert "5.png" in {hit["id"] for hit in hits}
    assert {hit["distance"] for hit in hits} == {0}
    told = run_cli("query", store, "--code", "00" * 8, "--code", "xyz", expect=3)
    assert "8 bytes (64 bits) wide; expected 4 bytes (32 bits)" in told.stderr
    assert "'xyz' is not hexadecimal; expected 8 digits" in told.stderr


def test_exit_status_tells_of_no_hit(store):
    far = ["query", store, "--code", "5a" * 4, "--radius", 0]
    assert run_cli(*far).stdout == ""
    assert run_cli(*far, "--exit-status", expect=1).stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-k", "0", "--text", "red"], 2, "k is 0; expected 1 or more"),
        (["--radius", "-1", "--text", "red"], 2, "radius is -1"),
    ],
)
def test_senseless_searches_are_usage_errors(store, words, code, message):
    assert message in run_cli("query", store, *words, expect=code).stderr


def test_missing_stores_and_encoders_are_told_apart(tmp_path, folder):
    assert "does not exist" in run_cli("query", tmp_path / "no", stdin="x", expect=4).stderr
    told = run_cli("build", folder, tmp_path / "s", "--encoder", tmp_path, expect=4)
    assert "expected an encoder folder" in told.stderr
    bare = Store.create(tmp_path / "bare.ssah", bits=64)
    append(bare, "s", random_codes(1, 3, 64))
    told = run_cli("query", bare.path, "--text", "red", expect=4)
    assert "carries no encoder" in told.stderr


def test_an_encoder_that_is_not_the_stores_is_refused(store, encoder, tmp_path):
    copy = tmp_path / "copy.ssah"
    shutil.copytree(store, copy)
    other = replace(Store.open(copy).format, encoder="ssah-other")
    (copy / "format.json").write_bytes(other.to_bytes())
    told = run_cli("query", copy, "--text", "red", expect=4)
    found = load_encoder(encoder).fingerprint
    assert f"has fingerprint {found}; expected ssah-other" in told.stderr


@pytest.mark.slow
def test_the_reader_of_a_pipe_may_leave_early(store):
    query = f"{sys.executable} -m ssah_index query {store} -k 9"
    command = f"yes red | {query} | head -1; echo ${{PIPESTATUS[*]}}"
    run = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
    )
    first, statuses = run.stdout.splitlines()
    assert json.loads(first)["query"] == "red"
    assert statuses.split()[1:] == ["0", "0"]
    assert run.stderr == ""


@pytest.mark.slow
def test_a_line_is_answered_before_the_next_is_written(store):
    with subprocess.Popen(
        [sys.executable, "-m", "ssah_index", "query", str(store), "-k", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for colour in ("red", "green", "blue"):
            process.stdin.write(colour + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == colour


@pytest.mark.slow
def test_a_terminal_gets_a_table(store):
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ssah_index", "query", str(store), "--text", "red", "-k", "2"],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux ends a terminal with EIO
                break
            if not part:
                break
            shown += part
    os.close(leader)
    assert process.returncode == 0
    assert b"distance" in shown
    assert b"red" in shown
    assert b'{"query"' not in shown


def test_without_a_query_on_a_terminal_it_does_not_hang(store):
    leader, follower = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-m", "ssah_index", "query", str(store)],
        stdin=follower, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert run.returncode == 2
    assert "there is no query" in run.stderr


@pytest.mark.slow
def test_a_pipe_closed_on_messages_does_not_stop_a_build(folder, encoder, tmp_path):
    path = tmp_path / "s.ssah"
    command = f"{sys.executable} -m ssah_index build {folder} {path} --encoder {encoder}"
    subprocess.run(["bash", "-c", f"({command}) 2>&1 >/dev/null | head -c0"], check=True)
    assert Store.open(path).snapshot().count("image") == 120


@pytest.mark.slow
def test_tables_take_words_as_they_are_and_end_quietly(store):
    words = ["query", store, "--format", "table", "--text", "[/x] red \x1b[31m"]
    assert "[/x] red" in run_cli(*words).stdout
    query = f"{sys.executable} -m ssah_index query {store} --format table --text red"
    command = f"{query} | head -1; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0"


def test_a_closed_stdin_is_no_query(store):
    command = f"{sys.executable} -m ssah_index query {store} <&-"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "there is no query" in run.stderr


def test_a_modality_that_is_not_there_is_named(store, tmp_path, folder, encoder):
    (tmp_path / "t.jsonl").write_text('{"text": "red"}')
    path = tmp_path / "texts.ssah"
    run_cli("build", tmp_path / "t.jsonl", path, "--encoder", encoder)
    told = run_cli("query", path, "--text", "red", "--find", "image", expect=2)
    assert "holds no images" in told.stderr
