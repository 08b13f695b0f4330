"""Cells of tables are kept, replaced, scored and shown; contenders do what is timed."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import store_peers, store_rows, store_steps
from benchmarks.cells import is_done, keep, kept
from benchmarks.child import in_child
from benchmarks.contenders import CONTENDERS, ORDERED
from benchmarks.encoder_data import Pairs
from benchmarks.encoder_report import encoders
from benchmarks.encoder_rows import TRAINED, options_of, row_names
from benchmarks.encoders import run_cell
from benchmarks.search import GROUPS, KEY, Task, codes_of, measure, queries_of
from benchmarks.search_report import limit_ms, search
from benchmarks.store import keep as keep_store
from benchmarks.store_report import store
from encoders.splits import make_split
from tests import naive

MACHINE = {"cpu": "a CPU", "cores": 2, "versions": {"torch": "2.0"}}


def cell(row="modern", bits=64, seed=0, **figures):
    return {"row": row, "bits": bits, "seed": seed, "options": {"passes": 1}, **figures}


def test_a_cell_is_done_until_its_options_change(tmp_path):
    path = tmp_path / "cells.json"
    assert not is_done(path, "modern", 64, 0, {"passes": 1}, {})
    keep(path, cell(image_to_text=0.5), note="a note")
    assert is_done(path, "modern", 64, 0, {"passes": 1}, {})
    assert not is_done(path, "modern", 64, 1, {"passes": 1}, {})
    assert not is_done(path, "modern", 64, 0, {"passes": 2}, {"passes": 2})
    later = {"passes": 1, "added_since": 7}
    assert is_done(path, "modern", 64, 0, later, {"added_since": 7})
    assert not is_done(path, "modern", 64, 0, later, {"added_since": 8})


def test_a_stale_cell_is_replaced_and_others_stay(tmp_path):
    path = tmp_path / "cells.json"
    for made in (cell(seed=1), cell(image_to_text=0.5), cell(image_to_text=0.6)):
        keep(path, made, note="a note")
    assert kept(path) == {"note": "a note", "cells": [cell(seed=1), cell(image_to_text=0.6)]}


WRITER = """
import sys
from pathlib import Path
from benchmarks.cells import keep
for seed in range(60):
    keep(Path(sys.argv[1]), {"row": sys.argv[2], "bits": 64, "seed": seed})
"""


def test_two_writers_lose_no_cell(tmp_path):
    path = tmp_path / "cells.json"
    commands = [[sys.executable, "-c", WRITER, str(path), row] for row in ("one", "other")]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    found = {(c["row"], c["seed"]) for c in kept(path)["cells"]}
    assert found == {(row, seed) for row in ("one", "other") for seed in range(60)}


@pytest.mark.parametrize("data", TRAINED)
def test_every_row_has_options(data):
    for row in row_names(data):
        options = options_of(data, row, 32, 1)
        assert (options["bits"], options["seed"]) == (32, 1) if row in TRAINED[data] else True


@pytest.fixture(scope="module")
def pairs():
    random = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[random.integers(0, 4, 400)]
    images = labels @ random.standard_normal((4, 30)) + 0.5 * random.standard_normal((400, 30))
    texts = labels @ random.standard_normal((4, 40)) + random.standard_normal((400, 40)) > 0.8
    return Pairs(
        images=images.astype(np.float32),
        texts=texts.astype(np.uint8),
        labels=labels,
        note="",
        split=lambda seed: make_split(400, 50, 260, seed),
    )


def test_a_trained_cell_has_every_figure(pairs):
    options = options_of("mirflickr", "modern", 16, 0) | {"passes": 8, "hidden": 32}
    found = run_cell(pairs, "modern", 16, 0, options)
    across = {
        f"{way}{kind}"
        for way in ("image_to_text", "text_to_image")
        for kind in ("", "_asymmetric", "_unseen", "_expected")
    }
    assert across | {"image_to_image", "text_to_text", "train_s", "threads"} <= set(found)
    assert found["image_to_text"] > found["prevalence"] + 0.2
    assert found["options"] == options
    assert not found["collapsed"]


def test_random_codes_are_seen_as_collapsed(pairs):
    found = run_cell(pairs, "random", 64, 0, {})
    assert found["prevalence"] == pytest.approx(0.25, abs=0.02)
    assert found["collapsed"]
    assert "image_to_text_asymmetric" not in found


def test_the_tables_show_means_spreads_and_what_is_missing():
    both = {"train_s": 2.0, "threads": 1, "collapsed": False, "options": {"passes": 1}}
    cells = [
        cell("ridge", seed=s, image_to_text=0.7 + s / 10, text_to_image=0.6, **both)
        for s in range(3)
    ]
    cells.append(cell("paper", image_to_text=0.8, text_to_image=0.79, **{**both, "collapsed": 1}))
    text = encoders({"mirflickr": {"note": "reconstructed", "machine": MACHINE, "cells": cells}})
    assert "(reconstructed)" in text
    assert "| ridge | 0.800 ± 0.100 / 0.600 ± 0.000 | 2.0 s, 1 thread |" in text
    assert "| paper (1 of 1 runs collapsed) | 0.800 / 0.790 (1) | 2.0 s, 1 thread |" in text
    assert "| ridge | - | - | - | - | - |" in text
    assert "| SSAH, CNN-F | SSAH paper, Table 2 | 0.782 / 0.791 |" in text


def test_cells_of_two_recipes_are_told_apart():
    cells = [cell(train_s=1.0), cell(seed=1, train_s=1.0) | {"options": {"passes": 2}}]
    text = encoders({"wikipedia": {"machine": MACHINE, "cells": cells}})
    assert "modern (options changed between cells)" in text


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("task", [Task(task="t", n=3000, nq=5), Task(task="t", n=5000, bits=256)])
def test_every_contender_answers_what_is_timed(contender, task):
    """Distances of all, and rows of those that promise an order of ties."""
    codes = codes_of(task)
    queries = queries_of(task, codes)
    try:
        answer = CONTENDERS[contender](codes)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed")
    distances, rows = answer(queries, 10, 1)
    expected = naive.search(codes, queries, 10)
    np.testing.assert_array_equal(distances.ravel(), expected.distances)
    if contender in ORDERED:
        np.testing.assert_array_equal(rows.ravel(), expected.rows)


def test_clustered_codes_lie_near_each_other():
    task = Task(task="t", data="clustered", n=5000)
    codes = codes_of(task)
    nearest = naive.search(codes, codes[:50], 2).distances[1::2]
    assert np.median(nearest) < 16  # of uniform ones it is about 18


def test_a_measurement_counts_its_runs():
    figures = measure(lambda: sum(range(1000)), enough_s=0.001)
    assert 3 <= figures["runs"] <= 50
    assert figures["least_ms"] <= figures["ms"] <= figures["most_ms"]


def test_limits_are_the_slower_of_reading_and_comparing():
    task = {"n": 10**8, "bits": 64, "share": 0.5, "read_gb_s": 20.0, "compare_gwords_s": 10.0}
    assert limit_ms({**task, "nq": 1}) == pytest.approx(40)  # every code is read
    assert limit_ms({**task, "nq": 100}) == pytest.approx(500)  # half of them are compared


def test_a_table_of_searches_shows_ratios_and_what_is_left_out():
    def made(contender, **figures):
        facts = {name: getattr(GROUPS["clustered"][0], name) for name in KEY[2:]}
        limits = {"read_gb_s": 40.0, "compare_gwords_s": 30.0}
        return {"task": "clustered", **facts, "contender": contender, **limits, **figures}

    cells = [
        made("ssah-index", ms=4.0),
        made("faiss heap", ms=10.0),
        made("usearch exact", left_out="would take about 99 s"),
    ]
    machine = {**MACHINE, "versions": {"numpy": "2.0"}, "commit": "c", "date": "d"}
    text = search({"cells": cells, "machine": machine})
    assert "| ours | of the limit | faiss heap |" in text
    assert "| 4 | 50% | 10 (2.5x) |" in text
    assert "usearch" not in text


def test_stored_rows_are_a_function_of_their_number():
    (whole,) = store_rows.batches(300, 300)
    parts = list(store_rows.batches(200, 64, first=100))
    assert pa.concat_batches(parts).equals(whole.slice(100))
    assert len(set(whole.column("id").to_pylist())) == 300
    assert {len(text) for text in whole.column("text").to_pylist()} == {store_rows.TEXT_BYTES}
    assert (store_rows.codes_of(whole)[7].tobytes()) == whole.column("code")[7].as_py()
    numbers = np.array([5, 250, 7])
    found = pa.Table.from_batches([whole]).take(numbers)
    assert store_rows.same_rows(found, numbers)
    assert not store_rows.same_rows(found, numbers + 1)


@pytest.mark.parametrize("name", store_peers.CONTENDERS)
def test_every_keeper_of_rows_does_what_is_timed(name, tmp_path):
    for package in store_peers.CONTENDERS[name].packages:
        pytest.importorskip({"pylance": "lance"}.get(package, package))
    table = tmp_path / "table"
    made = store_steps.written(name, table, 5000)
    assert made["bytes_a_row"] > 30
    store_steps.indexed(name, table, 5000)
    warm = store_steps.looked_up(name, table, 5000)
    assert set(warm["find"]) == {"10", "100", "1000"}
    assert ("take" in warm) == (name != "delta")
    assert store_steps.committed(name, tmp_path / "few", 20)["count"] == 20
    few = tmp_path / "few" / "0"
    assert store_steps.looked_up_cold(name, table, few, 5000, "find", 10, 0)["ms"] > 0
    assert store_steps.grown(name, tmp_path / "grown", 12)["open_ms"] > 0


def test_our_ways_of_writing_rows_keep_the_same(tmp_path):
    store_steps.written("ours", tmp_path / "staged", 3000, "stage")
    assert store_steps.looked_up("ours", tmp_path / "staged", 3000)["take"]["10"] > 0
    assert store_steps.parts(tmp_path / "parts", 10)["publish"]["count"] == 10


def test_a_step_that_ends_its_process_is_left_out_and_one_that_fails_is_an_error():
    assert "left_out" in in_child(os._exit, 1, 3)
    with pytest.raises(RuntimeError, match="a step failed"):
        in_child(int, 1, "no number")


def test_the_stores_tables_say_who_is_durable_and_what_is_missing(tmp_path):
    commit = {"p50_ms": 2.0, "p99_ms": 9.0, "count": 300}
    written = {"s": 2.0, "bytes_a_row": 90.0, "peak_mb": 100.0, "files_mb": 1.0}
    own = {
        "durable": True, "unique": True, "commit": commit, "append": written, "index": written,
        "opened": {"10": {"open_ms": 0.25, "commit": commit}},
        "warm": {"take": {"10": 1.5}, "peak_mb": 5.0, "files_mb": 4.0},
        "cold": {"take": {"10": {"ms": 30.0, "open_ms": 1.0}}},
    }  # fmt: skip
    late = {**own, "durable": False, "unique": False, "append": {"left_out": "too slow"}}
    figures = {
        "machine": {**MACHINE, "commit": "c", "date": "d"},
        "rows": 10**6,
        "cores": 2,
        "conditions": {"generator": {"s": 1.0}, "flush": commit},
        "contenders": {"ours": own, "delta": late},
    }
    keep_store(figures, tmp_path / "made" / "store.json")
    text = store(json.loads((tmp_path / "made" / "store.json").read_text()))
    assert "| ours | 500,000 | 0.033 | yes | yes | within | 90 | 100 |" in text
    assert "| delta | too slow |" in text
    assert "| position | 10 | 1.5 / 30 | 1.5 / 30 |" in text
    assert "| position | 100 | - | - |" in text
