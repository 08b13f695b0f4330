import json
from dataclasses import replace

import numpy as np
import pytest

from encoders.evaluate import evaluate
from encoders.report import Side, make_report, plot
from encoders.retrieval import Retrieval
from ssah_index import pack, unpack
from ssah_index.errors import InputError
from ssah_index.types import Labelled
from tests import naive
from tests.conftest import random_codes
from tests.encoders.test_evaluate import random_matrix, rankings, tie_orders

CUTS = (1, 3, 50)
RANKS = (1, 5, 50)


def small_world(seed):
    """Queries and database of both modalities, small enough to go through every tie order."""
    queries = {
        modality: Side(
            codes=random_codes(seed + i, 8, 8, 6),
            labels=random_matrix(seed + i + 10, 8, 4, 0.3),
            activations=np.random.default_rng(seed + i).standard_normal((8, 8)),
        )
        for i, modality in enumerate(("image", "text"))
    }
    database = {
        modality: Side(
            codes=random_codes(seed + n + 20, n, 8, 6),
            labels=random_matrix(seed + n + 30, n, 4, 0.3),
            seen=np.arange(n) % 3 == 0,
        )
        for n, modality in ((7, "image"), (6, "text"))
    }
    return queries, database


def task_of(query, found, rows=slice(None)):
    return Retrieval(
        queries=query.codes,
        query_labels=query.labels,
        database=found.codes[rows],
        database_labels=found.labels[rows],
    )


def precision(ranking):
    return naive.average_precision(ranking) if any(ranking) else 0.0


def mean_precision(found):
    return np.mean([naive.average_precision(ranking) for ranking in found if any(ranking)])


def asymmetric_rankings(query, found):
    relevant = query.labels.astype(int) @ found.labels.T > 0
    scores = query.activations @ unpack(found.codes, "signs").T
    for line, own in zip(scores, relevant, strict=True):
        yield [bool(own[i]) for i in sorted(range(len(line)), key=lambda i, s=line: (-s[i], i))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "name", ["image->text", "text->image", "image->image", "text->text"]
)  # fmt: skip
def test_every_figure_equals_its_obvious_twin(seed, name):
    queries, database = small_world(seed)
    report = make_report(queries, database, cuts=CUTS, ranks=RANKS)
    asking, found = name.split("->")
    query, offered = queries[asking], database[found]
    task, figures = task_of(query, offered), report.directions[name]
    matched = [r for r in rankings(task) if any(r)]
    whole = [list(tie_orders(task, q)) for q in range(8)]
    orders = [own for own in whole if any(own[0])]
    n = len(offered.codes)

    assert list(report.directions)[2:] == ["image->image", "text->text"]
    assert (figures.queries, figures.database) == (8, n)
    assert figures.unmatched == 8 - len(matched)
    assert figures.unlabelled == sum(not any(row) for row in offered.labels)
    assert figures.prevalence == pytest.approx(np.mean(matched))
    assert figures.map == pytest.approx(mean_precision(matched))
    expected = np.mean([np.mean([naive.average_precision(o) for o in own]) for own in orders])
    assert figures.map_expected == pytest.approx(expected)
    assert figures.map_at == pytest.approx(
        {cut: np.mean([precision(r[:cut]) for r in matched]) for cut in (1, 3, 6)}
    )
    assert figures.precision_at == pytest.approx(
        {rank: np.mean([r[:rank] for r in matched]) for rank in (1, 5)}
    )
    assert figures.map_asymmetric == pytest.approx(
        mean_precision(asymmetric_rankings(query, offered))
    )
    assert figures.map_unseen == pytest.approx(
        mean_precision(rankings(task_of(query, offered, ~offered.seen)))
    )
    radius = 2
    kept = [i for i, own in enumerate(whole) if any(own[0])]
    inside = naive.distances(offered.codes, query.codes)[kept] <= radius
    relevant = (query.labels.astype(int) @ offered.labels.T > 0)[kept]
    assert figures.by_radius.recall[radius] == pytest.approx(
        (inside & relevant).sum() / relevant.sum()
    )
    assert figures.by_radius.precision[radius] == pytest.approx(
        (inside & relevant).sum() / inside.sum()
    )


def test_chance_is_the_mean_over_random_orders():
    labels = np.array([[1, 0]] * 3 + [[0, 1]] * 7, np.uint8)
    side = Side(codes=random_codes(1, 10, 16), labels=labels)
    chance = make_report({"text": side}, {"text": side}).directions["text->text"].map_chance
    random = np.random.default_rng(0)
    shuffled = [list(random.permutation(own)) for own in labels.T * 1 for _ in range(4000)]
    precisions = [naive.average_precision(r) for r in shuffled]
    assert chance == pytest.approx(
        0.3 * np.mean(precisions[:4000]) + 0.7 * np.mean(precisions[4000:]), abs=0.01
    )


def test_codes_and_pairs_are_the_databases():
    queries, database = small_world(0)
    pairs = np.array([[0, 5], [3, 1], [6, 2]])
    report = make_report(queries, database, pairs=pairs)
    for modality, own in report.codes.items():
        bits = np.unpackbits(database[modality].codes, axis=1, bitorder="little")
        np.testing.assert_allclose(own.balance, bits.mean(axis=0))
        assert own.distinct == len({code.tobytes() for code in database[modality].codes})
    images, texts = pairs.T
    matrix = naive.distances(database["image"].codes[images], database["text"].codes[texts])
    assert report.gap.paired == pytest.approx(np.trace(matrix) / 3)
    assert report.gap.unpaired == pytest.approx((matrix.sum() - np.trace(matrix)) / 6)


def classes(n, seed, c=4):
    return np.eye(c, dtype=np.uint8)[np.random.default_rng(seed).integers(0, c, n)]


def good(labels):
    """One code a class."""
    return pack(np.repeat(labels.astype(bool), 8, axis=1))


def constant(labels):
    return np.full((len(labels), 4), 85, np.uint8)


def ignorant(labels):
    return random_codes(len(labels), len(labels), 32)


@pytest.mark.parametrize(
    ("images", "texts", "verdict"),
    [
        (good, good, False),
        (constant, good, True),
        (good, constant, True),
        (ignorant, good, True),
        (good, None, False),
    ],
)
def test_codes_have_collapsed_if_a_modality_finds_itself_by_chance(images, texts, verdict):
    def sides(n, seed):
        labels = classes(n, seed)
        coders = {"image": images, "text": texts}
        return {m: Side(codes=c(labels), labels=labels) for m, c in coders.items() if c}

    assert make_report(sides(100, 1), sides(500, 2)).collapsed is verdict


def test_there_is_no_verdict_where_nothing_can_be_told():
    labels = classes(50, 1)
    side = Side(codes=good(labels), labels=labels)
    assert make_report({"text": side}, {"image": side}).collapsed is None
    alike = replace(side, labels=np.ones((50, 1)))
    assert make_report({"text": alike}, {"text": alike}).collapsed is None


def test_a_report_is_plain_json():
    queries, database = small_world(0)
    constant = {"image": replace(database["image"], codes=np.zeros((7, 1), np.uint8))}
    report = make_report(queries, constant, cuts=CUTS, ranks=RANKS)
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    figures = report.directions["text->image"]
    assert plain["directions"]["text->image"]["map"] == figures.map
    assert plain["directions"]["text->image"]["map_at"]["3"] == figures.map_at[3]
    assert plain["directions"]["text->image"]["by_radius"]["answered"][8] == 8 - figures.unmatched
    assert plain["codes"]["image"]["distinct"] == 1
    assert plain["codes"]["image"]["correlation"] is None
    assert plain["gap"] is None
    assert plain["collapsed"] is True


def test_names_of_labels_do_what_a_matrix_does():
    queries, database = small_world(0)

    def named(side):
        labels = [tuple("abcd"[i] for i in np.flatnonzero(row)) for row in side.labels]
        return Labelled(
            codes=side.codes, labels=labels, activations=side.activations, seen=side.seen
        )

    by_name = evaluate(
        {m: named(side) for m, side in queries.items()},
        {m: named(side) for m, side in database.items()},
    )
    assert by_name.to_json() == make_report(queries, database).to_json()


def test_what_cannot_be_judged_is_refused():
    queries, database = small_world(0)
    with pytest.raises(InputError, match=r"\[8, 8\] codes of queries and \[\]"):
        make_report(queries, {})
    empty = Side(codes=np.empty((0, 1), np.uint8), labels=np.empty((0, 4)))
    with pytest.raises(InputError, match=r"and \[0\] of the database"):
        make_report(queries, {"image": empty})
    strange = replace(queries["text"], labels=np.zeros((8, 4)))
    with pytest.raises(InputError, match="none of the 8 queries of text->image shares a label"):
        make_report({"text": strange}, database)
    seen = replace(database["image"], seen=np.ones(7, np.bool_))
    with pytest.raises(InputError, match="seen all 7 rows"):
        make_report(queries, {"image": seen})


def test_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    plot(make_report(*small_world(0), cuts=CUTS, ranks=RANKS), tmp_path)
    for name in ("precision-recall.png", "precision-at-n.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
