"""train as a user runs it: checks before the work, and what is told at the end."""

import ast
import csv
import json
import re
import shutil
from pathlib import Path

import click
import pytest

from encoders.config import TrainSpec
from ssah_index.cli.main import COMMANDS, load_command
from ssah_index.plugins import load_encoder

ROOT = Path(__file__).parent.parent.parent
SMALL = ("--bits", "16", "--set", "hidden=32", "--set", "image_size=16")


@pytest.fixture
def call(call):
    """Run a command that prints no data; returns what it said."""

    def run(*words, expect=0):
        ended = call(*words, expect=expect)
        assert ended.out == ""
        return ended.err

    return run


@pytest.fixture
def pairs(world, tmp_path):
    """Six pairs with texts beside them, and a table of labels."""
    folder = tmp_path / "pairs"
    write(folder, world[:6])
    return folder


def write(folder, items, **changes):
    folder.mkdir()
    records = []
    for item in items:
        shutil.copy(item.image, folder / item.id)
        records.append({"path": item.id, "text": item.text, "labels": item.labels} | changes)
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))


@pytest.fixture
def unread(monkeypatch):
    """A source that must not be read."""

    def fail(*_):
        raise AssertionError("the source was read")

    monkeypatch.setattr("ssah_index.cli.train.read_source", fail)


def test_three_pairs_are_trained_on(world, tmp_path, call):
    write(tmp_path / "three", world[:3])
    told = call("train", tmp_path / "three", tmp_path / "made" / "here" / "e")
    assert "batch_rows is 3: there are only 3 pairs" in told
    assert load_encoder(tmp_path / "made/here/e").bits == 64
    assert [path.name for path in (tmp_path / "made/here").iterdir()] == ["e"]


def test_every_field_can_be_given(pairs, tmp_path, call):
    call(
        "train", pairs, tmp_path / "e", *SMALL, "--batch-rows", "4", "--learning-rate", "0.01",
        "--min-word-texts", "2", "--max-words", "5", "--min-label-texts", "2", "--preset", "modern",
        "--passes", "1", "--set", "learn-scale=true", "--set", "dropout=0.5", "--seed", "9",
    )  # fmt: skip
    spec = json.loads((tmp_path / "e/encoder.json").read_text())["spec"]
    given = {"bits": 16, "hidden": 32, "image_size": 16, "batch_rows": 4, "learning_rate": 0.01}
    given |= {"min_word_texts": 2, "max_words": 5, "min_label_texts": 2, "learn_scale": True}
    assert {**spec, **given, "dropout": 0.5, "seed": 9} == spec


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bits", "12"), "bits is 12, not a multiple of 8"),
        (("--set", "hidden=0"), "hidden is 0, below 1"),
        (("--set", "hidden=many"), "hidden is 'many', not a whole number"),
        (("--set", "lab_net=1"), "lab_net is 1, not true or false"),
        (("--set", "dropout=nan"), "dropout is nan, not a finite number"),
        (("--set", "colour=3"), "unknown options colour; expected some of adversary_rate"),
        (("--set", "hidden"), "--set 'hidden'; expected NAME=VALUE"),
        (("--bits", "16", "--set", "bits=16"), "bits is given twice"),
        (("--preset", "best"), "preset is 'best', not one of modern, paper, official"),
        (("--preset", "paper"), "preset 'paper' on pixels"),
        (("--batch-rows", "1"), "batch_rows is 1, below 2"),
        (("--image-trunk", "resnet"), "image_trunk is 'resnet', not one of"),
        (("--image-trunk", "cnn-f:gone.mat"), "there is no file gone.mat"),
        (("--text-encoder", "bert"), "text_encoder is 'bert'"),
        (("--fine-tune",), "'pixels' always trains"),
        (("--log", "none/log.csv"), "no folder none for the log"),
    ],
)
def test_options_are_refused_before_the_source_is_read(unread, tmp_path, call, words, told):
    assert told in call("train", tmp_path / "none", tmp_path / "e", *words, expect=2)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_refused_before_the_source_is_read(unread, tmp_path, call):
    taken, dangling = tmp_path / "taken", tmp_path / "dangling"
    taken.write_text("x")
    dangling.symlink_to("nowhere")
    for path in (taken, dangling, tmp_path):
        assert "already; expected a path that is free" in call("train", "s", path, expect=4)
    assert "a folder on its way is a file" in call("train", "s", taken / "e", expect=5)
    assert "File name too long" in call("train", "s", tmp_path / ("e" * 300), expect=5)
    assert "failed" in call("train", "s", "/proc/nothing/e", expect=5)
    (tmp_path / "e.checkpoint").write_bytes(b"PK")
    assert "Remove it and train from" in call("train", "s", tmp_path / "e", expect=4)


def test_codes_that_collapsed_are_told_by_words_and_exit_code(world, tmp_path, call):
    write(tmp_path / "one", world[:12], labels=["one"])
    words = ("train", tmp_path / "one", tmp_path / "e", *SMALL, "--passes", "2")
    told = call(*words, "--quiet", expect=3)
    assert told.startswith("The codes have collapsed: within a modality they find no better than")
    assert told.count("\n") == 1
    assert load_encoder(tmp_path / "e").bits == 16
    call("train", tmp_path / "one", tmp_path / "f", *SMALL, "--passes", "0")


def test_rows_that_failed_are_counted_and_told_by_the_exit_code(world, tmp_path, call):
    write(tmp_path / "some", world[:8])
    (tmp_path / "some" / world[0].id).write_bytes(b"no image")
    with (tmp_path / "some/pairs.jsonl").open("a") as table:
        table.write("\n" + json.dumps({"path": "", "text": "red"}) + "\n")
    words = ("train", tmp_path / "some", tmp_path / "e", *SMALL, "--passes", "1")
    told = call(*words, expect=3)
    assert "1 of 9 rows cannot be read and are left out; the first: pairs.jsonl:9" in told
    assert "1 of 8 pairs are left out; the first: image" in told
    assert "2 rows failed" in told
    assert load_encoder(tmp_path / "e").bits == 16


def interrupt_at(monkeypatch, label, done):
    """Have the progress of that label end in Ctrl-C."""
    from contextlib import contextmanager

    def show(number, _, what):
        if (number, what) == (done, label):
            raise KeyboardInterrupt

    @contextmanager
    def progress(_):
        yield show

    monkeypatch.setattr("ssah_index.cli.train.progress", progress)


def test_an_interruption_says_what_is_kept_and_how_to_go_on(pairs, tmp_path, call, monkeypatch):
    words = ("train", pairs, tmp_path / "e", *SMALL, "--passes", "5")
    again = "run the same command again to"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "reading pairs", 3)
        assert f"Interrupted: nothing was trained yet; {again} begin anew." in call(
            *words, expect=130
        )
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training steps", 1)
        assert f"Interrupted: no pass is kept; {again}" in call(*words, expect=130)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training steps", 3)
        kept = f"2 of 5 passes are kept in {tmp_path / 'e.checkpoint'}; {again} go on."
        assert f"Interrupted: {kept}" in call(*words, expect=130)
        interrupt_at(patch, "reading pairs", 3)
        assert "what was trained before is in" in call(*words, expect=130)
    told = call(*words, "--set", "dropout=0.1", expect=4)
    assert "of another run: dropout was 0.0 and is 0.1; expected the options" in told
    told = call(*words)
    assert "pass 2 of 5" not in told
    assert "pass 3 of 5" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "pairs"]


def test_a_checkpoint_stays_until_the_encoder_is_saved(pairs, tmp_path, call, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    words = ("train", pairs, tmp_path / "e", *SMALL, "--passes", "2", "--log", tmp_path / "l.csv")
    with monkeypatch.context() as patch:
        patch.setattr("encoders.folder.write_weights", full)
        assert "the disk is full" in call(*words, expect=5)
    assert (tmp_path / "e.checkpoint").exists()
    assert "pass 1 of 2" not in call(*words)
    assert not (tmp_path / "e.checkpoint").exists()
    with (tmp_path / "l.csv").open() as log:
        assert [row["pass"] for row in csv.DictReader(log)] == ["1", "2"]


def texts_of(path):
    """All string literals of a module, those of f-strings included."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_every_option_that_a_text_names_exists():
    context = click.Context(click.Command("any"))
    options = {
        option
        for name in COMMANDS
        for parameter in load_command(name).get_params(context)
        for option in parameter.opts + parameter.secondary_opts
    }
    options |= {"--help", "--version"}
    sources = [*(ROOT / "ssah_index").rglob("*.py"), *(ROOT / "encoders").rglob("*.py")]
    named = {
        (path.name, option)
        for path in sources
        for text in texts_of(path)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
    }
    assert {pair for pair in named if pair[1] not in options} == set()
    fields = set(TrainSpec.__dataclass_fields__)
    set_names = {n for p in sources for t in texts_of(p) for n in re.findall(r"--set (\w+)=", t)}
    assert set_names - {"NAME"} <= fields
