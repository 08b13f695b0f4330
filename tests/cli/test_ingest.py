"""Build and append from the command line: what they tell, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ssah_index.cli.main import main
from ssah_index.store import Store, verify
from tests.conftest import HashEncoder
from tests.ingest.test_build import contents

SLOW = """
import sys, time
import ssah_index.cli.build
from ssah_index.cli.main import main
from tests.conftest import HashEncoder

class Slow(HashEncoder):
    left = 3  # batches; then it waits to be ended

    def encode(self, modality, batch):
        time.sleep(0.03 if self.left else 60)
        self.left -= 1
        return super().encode(modality, batch)

ssah_index.cli.build.load_encoder = lambda folder: Slow()
main(["build", *sys.argv[1:], "--encoder", "e"])
"""


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line here, with a stand-in for trained encoders; its code and messages."""
    monkeypatch.setattr("ssah_index.cli.build.load_encoder", lambda folder: HashEncoder())
    monkeypatch.setattr(Store, "load_encoder", lambda store: HashEncoder())

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code, capsys.readouterr().err

    return run


def write(folder, name, texts):
    path = folder / name
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in texts.items()))
    return path


def test_what_is_told_of_rows_that_failed_and_were_mended(tmp_path, command):
    store = tmp_path / "s.ssah"
    source = write(tmp_path, "t.jsonl", {"a": "x", "b": "", "c": ""})
    code, told = command("build", source, store, "--encoder", "e")
    assert code == 3
    assert "1 rows written" in told
    assert "2 rows failed; see them with: ssah-index info" in told
    assert "The same command tries them again." in told
    write(tmp_path, "t.jsonl", {"a": "x", "b": "y", "c": "", "d": "z"})
    code, told = command("build", source, store, "--encoder", "e", "--share-s", "0")
    assert code == 3
    assert "2 rows written" in told
    assert ", 1 were there already, 1 no longer failing" in told
    write(tmp_path, "t.jsonl", {"a": "x", "b": "y", "c": "w", "d": "z"})
    assert command("build", source, store, "--encoder", "e", "-q") == (0, "")


def test_append_brings_deleted_rows_back_under_every_policy(tmp_path, command):
    store = tmp_path / "s.ssah"
    source = write(tmp_path, "t.jsonl", {f"t{n}": f"text {n}" for n in range(5)})
    command("build", source, store, "--encoder", "e")
    for policy in ("skip", "error", "replace"):
        Store.open(store).delete(["t1", "t3"])
        code, told = command("append", source, store, "--on-duplicate", policy)
        assert code == 0
        assert "2 rows written" in told
        assert ", 3 were there already" in told
        assert Store.open(store).snapshot().live == 5


def test_changed_items_end_both_commands_with_words(tmp_path, command):
    store = tmp_path / "s.ssah"
    source = write(tmp_path, "t.jsonl", {"a": "x", "b": "y"})
    command("build", source, store, "--encoder", "e")
    write(tmp_path, "t.jsonl", {"a": "x", "b": "other"})
    code, told = command("build", source, store, "--encoder", "e")
    assert code == 4
    assert "1 items have changed since they were built" in told
    assert "ssah-index append with --on-duplicate replace" in told
    code, told = command("append", source, store)
    assert code == 2
    assert "1 ids are in the store already: 'b'" in told
    code, told = command("append", source, store, "--on-duplicate", "replace")
    assert (code, ", 1 were there already, 1 replaced" in told) == (0, True)


def test_what_does_not_fit_is_told_before_the_source_is_read(tmp_path, command):
    missing = tmp_path / "missing"
    (tmp_path / "file").write_text("x")
    code, told = command("build", missing, tmp_path / "file/s.ssah", "--encoder", "e")
    assert code == 5
    assert "a folder on its way is a file" in told
    code, told = command("build", missing, tmp_path / "file", "--encoder", "e")
    assert (code, "it is no store" in told) == (4, True)
    Store.create(tmp_path / "other.ssah", bits=64, fingerprint="other")
    for words in (["build", missing, tmp_path / "other.ssah", "--encoder", "e"],
                  ["append", missing, tmp_path / "other.ssah"]):  # fmt: skip
        code, told = command(*words)
        assert (code, "was begun with encoder other" in told) == (4, True)
    code, told = command("build", missing, tmp_path / "new.ssah", "--encoder", "e")
    assert (code, "missing does not exist" in told) == (2, True)
    assert sorted(os.listdir(tmp_path)) == ["file", "other.ssah"]


def slow_build(*words):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, words)], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_what_was_kept_and_the_same_command_goes_on(tmp_path, command, number):
    store = tmp_path / "s.ssah"
    texts = {f"t{n}": f"text {n}" for n in range(3000)}
    source = write(tmp_path, "t.jsonl", texts)
    with slow_build(source, store, "--share-s", "0") as process:
        while count(store) < 768 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        told = process.stderr.read()
    assert process.returncode == 130, told
    kept = Store.open(store).snapshot().live
    assert kept == 768
    ended = f"Interrupted: {kept:,} rows are in {store}; run the same command again to go on.\n"
    assert told.endswith(ended)
    assert told.count("Interrupted") == 1
    assert "Traceback" not in told
    code, told = command("build", source, store, "--encoder", "e")
    assert (code, f"{3000 - kept:,} rows written" in told) == (0, True)
    command("build", source, tmp_path / "whole.ssah", "--encoder", "e")
    assert contents(store) == contents(tmp_path / "whole.ssah")


def test_an_append_and_an_early_interrupt_say_it_too(tmp_path, command, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    source = write(tmp_path, "t.jsonl", {"a": "x"})
    monkeypatch.setattr(HashEncoder, "encode", interrupted)
    store = tmp_path / "s.ssah"
    ended = "Interrupted: {}; run the same command again to go on.\n"
    told = ended.format("nothing was written yet")
    assert command("build", source, store, "--encoder", "e", "-q") == (130, told)
    assert not store.exists()
    Store.create(store, bits=64, fingerprint=HashEncoder().fingerprint)
    told = ended.format(f"0 rows are in {store}")
    assert command("append", source, store, "-q") == (130, told)


def test_kills_at_any_moment_lose_no_committed_row(tmp_path, command):
    store = tmp_path / "s.ssah"
    source = write(tmp_path, "t.jsonl", {f"t{n}": f"text {n}" * (n != 7) for n in range(3000)})
    before = -1
    for delay in (0.0, 0.03, 0.08):
        with slow_build(source, store, "--share-s", "0.0001") as process:
            while count(store) <= before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(delay)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert count(store) > before
        before = count(store)
        assert verify(Store.open(store)) == []
    code, told = command("build", source, store, "--encoder", "e")
    assert (code, f"{before:,} were there already" in told) == (3, True)
    command("build", source, tmp_path / "whole.ssah", "--encoder", "e")
    assert contents(store) == contents(tmp_path / "whole.ssah")
    assert len(Store.open(store).snapshot().failures()) == 1


def count(path):
    return Store.open(path).snapshot().live if path.exists() else -1
