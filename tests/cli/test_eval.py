"""eval on the small trained store: held-out pairs of the same world ask."""

import json
import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from ssah_index.demo import score
from ssah_index.ingest import build, open_reader
from ssah_index.plugins import load_encoder
from ssah_index.store import Store, items_table, stage_segment
from ssah_index.types import no_progress
from tests import naive
from tests.commands import run_cli
from tests.conftest import append, random_codes

KEPT = slice(150, 180)


def write_pairs(folder, items):
    folder.mkdir()
    for item in items:
        shutil.copy(item.image, folder / item.id)
    records = [{"path": i.id, "text": i.text, "labels": i.labels} for i in items]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder


@pytest.fixture(scope="module")
def queries(world, tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("eval") / "queries", world[KEPT])


def mean_precision(encoder, asking, found, asked, items):
    """MAP of items among items, by the definition."""
    sides = [(asking, asked), (found, items)]
    codes = [encoder.encode(side, [getattr(i, side) for i in own])[0] for side, own in sides]
    precisions = []
    for line, item in zip(naive.distances(codes[1], codes[0]), asked, strict=True):
        order = np.argsort(line, kind="stable")
        ranked = [bool({*items[i].labels} & {*item.labels}) for i in order]
        precisions.append(naive.average_precision(ranked))
    return np.mean(precisions)


def test_the_whole_way(world, queries, store, encoder, tmp_path):
    pytest.importorskip("matplotlib")
    report_file, plots = tmp_path / "out" / "report.json", tmp_path / "plots"
    told = run_cli("eval", queries, store, "--json", report_file, "--plots", plots, "-q")
    assert told.stderr == ""
    report = json.loads(report_file.read_text())
    loaded = load_encoder(encoder)
    assert (report["bits"], report["encoder"]) == (32, loaded.fingerprint)
    assert (report["failed"], report["collapsed"]) == ([], False)
    for name, figures in report["directions"].items():
        expected = mean_precision(loaded, *name.split("->"), world[KEPT], world[:120])
        assert figures["map"] == pytest.approx(expected)
        assert (figures["queries"], figures["database"], figures["unmatched"]) == (30, 120, 0)
        assert f"{expected:.3f}" in told.stdout
        assert name in told.stdout
        assert figures["map_asymmetric"] > figures["map_chance"]
        assert figures["map_unseen"] is None
    assert len(report["directions"]) == 4
    images, texts = (
        loaded.encode(m, [getattr(i, m) for i in world[:120]])[0] for m in ("image", "text")
    )
    paired = np.diag(naive.distances(images, texts)).mean()
    assert report["gap"]["paired"] == pytest.approx(paired)
    assert "collapsed: no" in told.stdout
    assert sorted(path.name for path in plots.iterdir()) == [
        "precision-at-n.png", "precision-recall.png",
    ]  # fmt: skip


def test_the_file_is_written_whoever_reads_the_tables(queries, store, call, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    report = tmp_path / "report.json"
    with os.fdopen(writer, "w") as unread:
        for stream, code in ((unread, 0), (None, 5)):
            with monkeypatch.context() as patched:
                patched.setattr(sys, "stdout", stream)
                told = call("eval", queries, store, "--json", report, expect=code)
            assert json.loads(report.read_text())["failed"] == []
            report.unlink()
    for ranking in ("120 images for each of 30 texts", "120 texts for each of 30 texts"):
        assert f"ranking {ranking}\n" in told.err
    assert "text->image: 240 of 240\n" in told.err
    told = call("eval", queries, store, "--json", tmp_path, expect=2)
    assert "is a directory" in told.err


def test_json_on_stdout_is_all_there_is(queries, store, call):
    told = call("eval", queries, store, "--json", "-")
    assert json.loads(told.out)["directions"]["image->text"]["map"] > 0.5


def test_rows_that_training_has_seen_can_be_left_out(
    world, queries, store, encoder, call, tmp_path
):
    seen = [json.dumps({"id": item.id, "text": item.text}) for item in world[:100]]
    (tmp_path / "seen.jsonl").write_text("\n".join(seen))
    told = call("eval", queries, store, "--json", "-", "--trained-on", tmp_path / "seen.jsonl")
    figures = json.loads(told.out)["directions"]["text->image"]
    expected = mean_precision(load_encoder(encoder), "text", "image", world[KEPT], world[100:120])
    assert figures["map_unseen"] == pytest.approx(expected)
    (tmp_path / "seen.jsonl").write_text('{"id": "other", "text": "red"}')
    told = call("eval", queries, store, "--trained-on", tmp_path / "seen.jsonl", expect=2)
    assert "none of the 240 rows" in told.err


def test_queries_that_fail_are_named_and_counted(world, store, call, tmp_path):
    folder = write_pairs(tmp_path / "queries", world[KEPT])
    (folder / "150.png").write_bytes(b"")
    lines = ["{", json.dumps({"path": "151.png", "text": "quixotic", "labels": ["red"]})]
    table = folder / "pairs.jsonl"
    kept = [line for line in table.read_text().splitlines() if "151.png" not in line]
    table.write_text("\n".join([*kept, *lines]))
    told = call("eval", folder, store, "--json", tmp_path / "report.json", expect=3)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(f["modality"], f["source"]) for f in report["failed"]] == [
        ("", "pairs.jsonl:30"), ("image", "150.png"), ("text", "151.png"),
    ]  # fmt: skip
    assert report["directions"]["image->text"]["queries"] == 29
    for word in ("150.png: ", "the file is empty", "(quixotic)", "3 queries failed"):
        assert word in told.err
    assert "Warning" not in told.err


def test_queries_that_the_store_holds_are_warned_of(folder, store, call):
    told = call("eval", folder, store, "--json", "-", expect=3)
    assert "Warning: 120 of 121 queries seem to be in the store, the first 0.png" in told.err


def test_texts_alone_are_judged_in_the_directions_they_allow(world, store, call, tmp_path):
    lines = [json.dumps({"text": i.text, "labels": i.labels}) for i in world[KEPT]]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    told = call("eval", tmp_path / "texts.jsonl", store, "--json", "-")
    assert set(json.loads(told.out)["directions"]) == {"text->image", "text->text"}


def test_collapsed_codes_end_with_3(world, queries, encoder, call, tmp_path):
    loaded = load_encoder(encoder)
    dead = Store.create(
        tmp_path / "dead.ssah",
        bits=32, fingerprint=loaded.fingerprint, save_encoder=loaded.save,
    )  # fmt: skip
    for modality in ("image", "text"):
        codes = np.full((120, 4), 85, np.uint8)
        table = items_table(world[:120], modality)
        entry = stage_segment(dead.place, modality, modality, codes, table)
        dead.commit([entry])
    told = call("eval", queries, dead.path, expect=3)
    assert "have collapsed" in told.err
    assert "collapsed: yes" in told.out


def test_what_cannot_be_judged_is_refused(queries, folder, store, encoder, call, tmp_path):
    told = call("eval", queries, tmp_path / "no.ssah", expect=4)
    assert "does not exist" in told.err
    bare = Store.create(tmp_path / "bare.ssah", bits=64)
    append(bare, "s", random_codes(1, 3, 64))
    assert "carries no encoder" in call("eval", queries, bare.path, expect=4).err

    (tmp_path / "texts.jsonl").write_text('{"text": "red square"}')
    told = call("eval", tmp_path / "texts.jsonl", store, expect=2)
    assert "none of the 1 items of" in told.err
    assert "column 'labels'" in told.err
    build(open_reader(tmp_path / "texts.jsonl"), tmp_path / "t.ssah", load_encoder(encoder))
    told = call("eval", queries, tmp_path / "t.ssah", expect=2)
    assert "none of the 1 rows of" in told.err

    (tmp_path / "odd.jsonl").write_text('{"text": "quixotic", "labels": ["red"]}')
    told = call("eval", tmp_path / "odd.jsonl", store, expect=2)
    assert "could be encoded; the first: odd.jsonl:1" in told.err
    (tmp_path / "odd.jsonl").write_text('{"text": "red", "labels": ["crimson"]}')
    told = call("eval", tmp_path / "odd.jsonl", store, expect=2)
    assert "none of the 1 queries of text->image shares a label" in told.err


def test_the_demos_scores_are_the_same_figures(world, queries, store, encoder, tmp_path):
    many = [replace(world[n % 120], id=f"{n}.png") for n in range(260)]  # a batch is 256
    database = write_pairs(tmp_path / "database", many)
    trained, untrained, random = score(database, queries, store, encoder, no_progress)
    loaded = load_encoder(encoder)
    for asking, found in (("text", "image"), ("image", "text")):
        expected = mean_precision(loaded, asking, found, world[KEPT], world[:120])
        assert getattr(trained, f"{asking}_to_{found}") == pytest.approx(expected)
    assert trained.text_to_image > max(untrained.text_to_image, random.text_to_image)
