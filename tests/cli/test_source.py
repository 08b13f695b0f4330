"""The options and the summary that the commands which read a source have in common."""

import json
import shutil

import pytest

from ssah_index.cli.main import load_command, main
from ssah_index.cli.source import OPTIONS
from ssah_index.store import Store

READING = ("build", "append", "train", "eval")
TABLES = {"train": slice(0, 4), "store": slice(4, 9), "queries": slice(9, 12)}


@pytest.fixture
def call(capsys):
    """Run a command in this process; gives its exit code and what it said."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def photos(world, tmp_path_factory):
    """One folder of 14 photos, and tables of four, five and three of them."""
    folder = tmp_path_factory.mktemp("source") / "photos"
    folder.mkdir()
    for item in world[:14]:
        shutil.copy(item.image, folder / item.id)
    for name, part in TABLES.items():
        records = [{"path": i.id, "text": i.text, "kind": ",".join(i.labels)} for i in world[part]]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
    (folder / "x.heic").write_bytes(b"")
    return folder


LABELS = ("--label-column", "kind", "--label-separator", ",")


@pytest.mark.parametrize("name", READING)
def test_they_have_the_same_options(name):
    own = {option.name: option for option in load_command(name).params}
    for decorate in OPTIONS:
        (shared,) = decorate(lambda: None).__click_params__
        assert own[shared.name].help == shared.help
        assert own[shared.name].default == shared.default


def test_a_named_table_means_its_rows_in_every_command(photos, encoder, tmp_path, call):
    store = tmp_path / "s.ssah"
    code, err = call(
        "build", photos, store, "--encoder", encoder, "--table", "store.jsonl", *LABELS
    )
    assert code == 0
    for line in (
        "5 images, 5 texts, 5 labelled, 5 labels",
        "9 images are not in store.jsonl and are left out; --unlisted takes them in",
        "skipped: 2 .jsonl, 1 .heic",
    ):
        assert f"{photos}: {line}\n" in err
    snapshot = Store.open(store).snapshot()
    assert (snapshot.count("image"), snapshot.count("text")) == (5, 5)
    report, seen = tmp_path / "report.json", tmp_path / "seen.jsonl"
    seen.write_text("".join((photos / "store.jsonl").read_text().splitlines(keepends=True)[:2]))
    code, err = call(
        "eval", photos, store, "--table", "queries.jsonl", *LABELS, "--json", report,
        "--trained-on", photos, "--trained-on-table", seen,
    )  # fmt: skip
    assert code in (0, 3), err
    assert "11 images are not in queries.jsonl" in err
    assert json.loads(report.read_text())["directions"]["image->text"]["queries"] == 3
    code, err = call("append", photos, store, "--table", "train.jsonl", *LABELS)
    assert code == 0
    assert "10 images are not in train.jsonl" in err
    assert Store.open(store).snapshot().count("image") == 9
    code, err = call("train", photos, tmp_path / "e", "--table", "train.jsonl", *LABELS)
    assert "4 images, 4 texts, 4 labelled, " in err
    assert "10 images are not in train.jsonl" in err


def test_unlisted_images_are_taken_in_by_a_flag(photos, encoder, tmp_path, call):
    store = tmp_path / "s.ssah"
    code, err = call(
        "build", photos, store, "--encoder", encoder, "--table", "store.jsonl", "--unlisted"
    )
    assert code == 0
    assert "14 images, 5 texts, 0 labelled" in err
    assert "left out" not in err
    assert Store.open(store).snapshot().count("image") == 14
    code, err = call("append", photos, store, "--table", "train.jsonl", "-q")
    assert code == 4 or "are in the store already" in err
    assert "images" not in err


def test_quiet_is_quiet(photos, encoder, tmp_path, call):
    words = ("--encoder", encoder, "--table", "store.jsonl", "-q")
    assert call("build", photos, tmp_path / "s.ssah", *words) == (0, "")


def test_several_tables_and_faulty_columns_are_told_before_the_work(
    photos, encoder, tmp_path, call
):
    words = ("--encoder", encoder)
    code, err = call("build", photos, tmp_path / "s.ssah", *words)
    assert code == 2
    assert "has 3 tables: queries.jsonl, store.jsonl, train.jsonl" in err
    table = tmp_path / "t.jsonl"
    for record, fault in (
        ({"text": "a", "source": "x"}, "column 'source'"),
        ({"text": "a", "modality": "x"}, "column 'modality'"),
        ({"text": "a", "n": {"x": [1, "y"]}}, "several types"),
    ):
        table.write_text(json.dumps(record))
        code, err = call("build", table, tmp_path / "s.ssah", *words)
        assert code == 2
        assert fault in err
        assert not (tmp_path / "s.ssah").exists()
