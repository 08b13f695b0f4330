"""The benchmark of multi-index hashing: codes, contenders, recall and what is shown."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmarks import mih_codes
from benchmarks.cells import kept
from benchmarks.encoder_data import Pairs
from benchmarks.encoder_rows import options_of, train_nets
from benchmarks.mih import ALONE, GROUPS, Bench, Task, check, joined, recalls, select
from benchmarks.mih_contenders import CONTENDERS, Ask, hits_of
from benchmarks.mih_learned import mixed_features, mixed_words
from benchmarks.mih_norouzi import NAME, hits_from, tables
from benchmarks.mih_report import fastest, mih, plot
from encoders.config import TrainSpec
from encoders.splits import make_split
from ssah_index.types import Hits
from tests import naive

NEAREST = Ask(k=3, radius=None, threads=1)


@pytest.fixture
def small_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(mih_codes, "FOLDER", tmp_path)
    monkeypatch.setattr(mih_codes, "PIECE", 1000)
    return tmp_path


def test_a_file_of_codes_goes_on_where_it_was_cut_off(small_pieces):
    path = small_pieces / "mih-clustered-64.u8"
    mih_codes.write("clustered", 64, 2500)
    whole = path.read_bytes()
    assert len(whole) == 3000 * 8
    path.write_bytes(whole[:13_000])
    mih_codes.write("clustered", 64, 2500)
    assert path.read_bytes() == whole
    few, queries = mih_codes.codes_of("clustered", 64, 1200)
    assert few.tobytes() == whole[: 1200 * 8]
    assert queries.shape == (mih_codes.QUERIES, 8)


def test_a_smaller_uniform_set_is_the_beginning_of_a_larger_one(small_pieces):
    small, large = (mih_codes.codes_of("uniform", 128, n)[0] for n in (1500, 4200))
    np.testing.assert_array_equal(small, large[:1500])
    assert not list(small_pieces.iterdir())


def test_clusters_lie_near_each_other_and_queries_are_not_in_the_set():
    source = mih_codes.Clustered(64)
    codes = source.draw(np.random.default_rng(0), 4000, False)
    queries = source.draw(np.random.default_rng(1), 50, True)
    nearest = naive.search(codes, queries, 1).distances
    assert 0 < np.median(nearest) < 16  # of uniform ones it is about 18
    assert nearest.max() > 0


@pytest.mark.parametrize("bits", [32, 64, 256])
def test_equal_codes_are_counted_once(bits):
    codes = np.random.default_rng(0).integers(0, 256, (300, bits // 8), dtype=np.uint8)
    assert mih_codes.distinct_share(codes) == 1
    assert mih_codes.distinct_share(np.repeat(codes, 4, axis=0)) == 0.25


def test_perturbed_items_are_near_theirs_and_all_differ():
    random = np.random.default_rng(0)
    items = torch.from_numpy(random.standard_normal((200, 30), np.float32))
    mixed = mixed_features(random, items, items.roll(1, 0))
    assert len(np.unique(mixed.numpy(), axis=0)) == 200
    assert (
        (mixed - items).norm(dim=1) < (items - items.roll(1, 0)).norm(dim=1)
    ).float().mean() > 0.9
    bags = (torch.rand(200, 40, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    bags[:, 0] = 1
    bags[0] = 0
    words = mixed_words(random, bags, bags.roll(1, 0))
    own = (words * bags).count_nonzero(dim=1) / bags.count_nonzero(dim=1)
    assert own[1:].mean() == pytest.approx(0.85, abs=0.05)
    assert words.norm(dim=1)[1:].numpy() == pytest.approx(1, abs=1e-5)


def test_networks_are_trained_once(tmp_path):
    random = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[random.integers(0, 4, 400)]
    pairs = Pairs(
        images=random.standard_normal((400, 30)).astype(np.float32),
        texts=(random.random((400, 40)) < 0.2).astype(np.uint8),
        labels=labels,
        note="",
        split=lambda seed: make_split(400, 50, 260, seed),
    )
    spec = TrainSpec.of(options_of("mirflickr", "modern", 16, 0) | {"passes": 1, "hidden": 16})
    path = tmp_path / "nets.pt"
    nets, inputs = train_nets(pairs, pairs.split(0), spec, known=path)
    again, _ = train_nets(pairs, pairs.split(0), spec, known=path)
    with torch.inference_mode():
        first, second = (found["text"](inputs["text"]).code for found in (nets, again))
    assert first.shape == (400, 16)
    assert torch.equal(first, second)


TASKS = [
    Task(data="uniform", n=3000),
    Task(data="uniform", n=3000, bits=32, k=1),
    Task(data="uniform", n=3000, k=None, radius=20),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_is_timed_and_finds_all(name, task, tmp_path):
    file = tmp_path / "cells.json"
    Bench({task: [name]}, 0.5, file).run()
    (cell,) = kept(file)["cells"]
    if "left_out" in cell:
        assert task.radius is not None or task.bits == 32 or "not installed" in cell["left_out"]
        return
    best = fastest(cell, 1.0)
    assert best["recall"] == 1
    assert 0 < best["ms"] <= best["p99_ms"]
    assert best["queries"] >= 10
    assert cell["distinct"] == 1
    assert [built["build_s"] >= 0 for built in cell["builds"]]


@pytest.mark.parametrize("name", CONTENDERS)
def test_answers_are_put_into_one_form(name):
    contender = CONTENDERS[name]
    codes, queries = mih_codes.codes_of("uniform", 64, 2000)
    pytest.importorskip("faiss")
    index = contender.build(codes, contender.shapes(len(codes), 64)[0])
    setting = list(contender.settings(contender.shapes(len(codes), 64)[0], NEAREST))[-1]
    search = contender.asker(index, setting, NEAREST)
    parts = [hits_of(search(contender.queries(query[None]))) for query in queries[:9]]
    expected = naive.search(codes, queries[:9], 3)
    if contender.exact:
        check(joined(iter(parts)), expected, contender.ordered)
    assert recalls(joined(iter(parts)), expected, NEAREST)["recall"] > 0.9


def test_counts_by_distance_say_how_far_rows_lie():
    rows = np.array([[8, 3, 5], [1, 2, 9]], np.uint32)  # from one; ties in any order
    counts = np.array([[0, 1, 7], [2, 0, 1]], np.uint32)  # more lie at a distance than are told
    found = hits_from(rows, counts)
    check(found, hits([(1, 7), (2, 2), (2, 4)], [(0, 0), (0, 1), (2, 8)]), True)


def test_keys_of_norouzi_are_about_as_long_as_the_number_of_codes():
    assert tables(10**7, 64) == [3, 4]
    assert tables(10**6, 32) == [2, 3]
    assert tables(10**6, 256) == [13, 14]


def test_who_is_not_built_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.mih_norouzi.BINARY", None)
    Bench({TASKS[0]: [NAME]}, 0.1, tmp_path / "cells.json").run()
    (cell,) = kept(tmp_path / "cells.json")["cells"]
    assert "is not built here" in cell["left_out"]


def hits(*queries):
    """Of (distance, row) of each query."""
    pairs = [pair for query in queries for pair in query]
    lims = np.cumsum([0, *map(len, queries)])
    distances, rows = np.array(pairs).reshape(-1, 2).T
    return Hits(distances.astype(np.int32), rows.astype(np.int64), lims)


def test_recall_counts_ties_by_distance_and_not_by_row():
    truth = hits([(1, 5), (2, 3), (2, 4)], [(0, 1), (0, 2), (7, 9)], [(1, 1)])
    found = hits([(1, 5), (2, 4), (2, 8)], [(0, 1), (8, 3), (9, 4)])
    assert recalls(found, truth, NEAREST) == {"recall": 0.666667, "recall_rows": 0.5}
    within = Ask(k=None, radius=2, threads=1)
    assert recalls(hits([], [(1, 1)]), hits([], [(1, 1), (2, 2)]), within)["recall"] == 0.75


def test_an_exact_contender_must_answer_as_the_scan_does():
    truth = hits([(1, 5), (2, 3)], [(0, 1)])
    check(hits([(1, 5), (2, 3)]), truth, True)
    check(hits([(1, 5), (2, 9)]), truth, False)
    for wrong, ordered in ((hits([(1, 5), (2, 9)]), True), (hits([(1, 5), (3, 3)]), False)):
        with pytest.raises(RuntimeError, match="does not answer as the scan"):
            check(wrong, truth, ordered)


def test_tasks_of_several_groups_are_run_once_and_those_of_a_set_together():
    chosen = select(list(GROUPS), ["ssah-index", "faiss flat"])
    sets = [(task.data, task.n, task.bits) for task in chosen]
    assert len(set(sets)) == 1 + sum(a != b for a, b in pairwise(sets))
    assert chosen[Task(data="clustered", n=10**7)] == ["ssah-index", "faiss flat"]
    assert all(chosen[task] == ["ssah-index"] for group in ALONE for task in GROUPS[group])


def test_the_tables_show_ratios_settings_and_what_is_not_reached(tmp_path):
    def made(contender, points, **facts):
        task = {"data": "uniform", "n": 10**6, "bits": 64, "k": 10, "radius": None, "threads": 1}
        built = {"build_s": 2.0, "bytes_a_code": 36.0, "m": 3, "b": 20, "compact": False}
        same = {"p99_ms": 0.5, "batch_ms": 0.1}
        return {
            **task, "contender": contender, "commit": f"for {contender}",
            "distinct": 0.5, "limit_ms": 0.25,
            "builds": [built], "points": [{**same, **point} for point in points], **facts,
        }  # fmt: skip

    cells = [
        made("ssah-index", [{"ms": 0.2, "recall": 1.0}]),
        made("faiss flat", [{"ms": 1.0, "recall": 1.0}]),
        made("faiss IVF", [{"nprobe": 2**i, "ms": 0.1 * 2**i, "recall": r}
                           for i, r in enumerate((0.5, 0.95, 0.97))]),
    ]  # fmt: skip
    left = {**cells[0], "contender": "faiss HNSW", "left_out": "takes too long"}
    del left["points"]
    machine = {"cpu": "a CPU", "cores": 2, "versions": {"numpy": "2.0"}, "commit": "c", "date": "d"}
    content = {"machine": machine, "cells": [*cells, left]}
    text = mih(content)
    assert "| 0.2 | 0.5 | 0.1 | - | - | - | 1 (5.0x) | 0.5 | 0.1 (1.0x) | 0.25 |" in text
    assert "| 0.2 | 0.2 (1.0x, nprobe 2) | at most 0.970 | at most 0.970 |" in text
    assert (
        "| uniform | 1,000,000 | 64 | 50.0% | 3 x 20 bits | 36 / 2 | 36 / 2 | - | - | - |" in text
    )
    assert "at commits for ssah-index (ssah-index); for faiss flat (faiss flat); for" in text
    assert "Left out (a dash): faiss HNSW takes too long." in text
    plot(content, tmp_path / "made.png")
    assert (tmp_path / "made.png").stat().st_size > 10_000
