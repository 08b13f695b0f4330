import itertools

import numpy as np
import pytest

from encoders.bits import bit_report, modality_gap
from encoders.curves import plot_precision_at, plot_radius_curves, precision_at, radius_curve
from encoders.evaluate import mean_average_precision
from encoders.ranking import (
    average_precisions,
    expected_precisions,
    map_of,
    mean_over_queries,
)
from encoders.retrieval import Retrieval
from ssah_index import pack, unpack
from ssah_index.errors import CodeError, InputError
from tests import naive
from tests.conftest import random_codes


def random_labels(seed, n):
    random = np.random.default_rng(seed)
    return [tuple(f"l{i}" for i in np.flatnonzero(random.random(6) < 0.2)) for _ in range(n)]


def random_matrix(seed, n, c=6, share=0.2):
    return (np.random.default_rng(seed).random((n, c)) < share).astype(np.uint8)


def random_task(bits=16, n=300, nq=20, share=0.2, values=256):
    return Retrieval(
        queries=random_codes(2, nq, bits, values),
        query_labels=random_matrix(3, nq, share=share),
        database=random_codes(1, n, bits, values),
        database_labels=random_matrix(4, n, share=share),
    )


def rankings(task):
    """Relevance by rank of each query, by the definition: order by (distance, row)."""
    relevant = task.query_labels.astype(int) @ task.database_labels.T > 0
    for line, own in zip(naive.distances(task.database, task.queries), relevant, strict=True):
        yield [bool(own[i]) for i in sorted(range(len(line)), key=lambda i, d=line: (d[i], i))]


def tie_orders(task, query):
    """Relevance by rank of one query in every order of its ties."""
    distances = naive.distances(task.database, task.queries)[query]
    own = task.database_labels.astype(int) @ task.query_labels[query] > 0
    groups = [np.flatnonzero(distances == d) for d in np.unique(distances)]
    for order in itertools.product(*map(itertools.permutations, groups)):
        yield [bool(own[i]) for i in itertools.chain(*order)]


@pytest.fixture
def paper_task():
    """The 4 x 6 example with SSAH's released code, its 4 bits filled up to a byte."""
    queries = ["+-++", "---+", "++-+", "+++-"]
    database = ["+-+-", "--+-", "--+-", "++--", "-+--", "++-+"]
    wanted = [[1], [0, 1], [0, 3], [1, 3]]
    offered = [[0, 3], [0, 1], [1, 2], [2], [0], [2]]

    def codes(rows):
        return pack(np.array([[c == "+" for c in row] + [False] * 4 for row in rows]))

    def labels(rows):
        return np.array([[i in row for i in range(4)] for row in rows], np.uint8)

    return Retrieval(
        queries=codes(queries),
        query_labels=labels(wanted),
        database=codes(database),
        database_labels=labels(offered),
    )


def test_the_released_codes_own_example(paper_task):
    assert map_of(paper_task) == pytest.approx(0.704167, abs=5e-7)
    assert map_of(paper_task, ties="expected") == pytest.approx(0.601302, abs=5e-7)


@pytest.mark.parametrize("bits", [16, 64, 264])
def test_average_precision_equals_the_definition(bits):
    task = random_task(bits)
    expected = [naive.average_precision(r) if any(r) else np.nan for r in rankings(task)]
    np.testing.assert_allclose(average_precisions(task), expected)


@pytest.mark.parametrize("seed", range(5))
def test_expected_ties_equal_the_mean_over_all_orders(seed):
    task = Retrieval(
        queries=random_codes(seed, 6, 8, 4),
        query_labels=random_matrix(seed + 10, 6, 3, 0.4),
        database=random_codes(seed + 20, 7, 8, 4),
        database_labels=random_matrix(seed + 30, 7, 3, 0.4),
    )
    actual = average_precisions(task, ties="expected")
    for query, value in enumerate(actual):
        orders = list(tie_orders(task, query))
        if any(orders[0]):
            assert value == pytest.approx(np.mean([naive.average_precision(o) for o in orders]))
        else:
            assert np.isnan(value)


def test_expected_precision_at_n_equals_the_mean_over_all_orders():
    task = random_task(8, 6, 4, share=0.5, values=4)
    for n in (1, 3, 6):
        means = [np.mean([np.mean(o[:n]) for o in tie_orders(task, q)]) for q in range(4)]
        whole = [m for q, m in enumerate(means) if any(next(tie_orders(task, q)))]
        assert precision_at(task, [n], ties="expected")[0] == pytest.approx(np.mean(whole))


def test_constant_codes_are_worth_their_prevalence_on_average():
    labels = np.array([[1, 0]] * 30 + [[0, 1]] * 70, np.uint8)
    codes = np.zeros((100, 2), np.uint8)
    task = Retrieval(queries=codes, query_labels=labels, database=codes, database_labels=labels)
    prevalence = 0.3**2 + 0.7**2
    assert map_of(task, ties="expected") == pytest.approx(prevalence, abs=0.03)
    assert map_of(task) != pytest.approx(prevalence, abs=0.03)  # the order of rows decides


def test_random_codes_are_worth_their_prevalence():
    task = random_task(64, 2000, 100)
    relevant = task.query_labels.astype(int) @ task.database_labels.T > 0
    prevalence = relevant[relevant.any(axis=1)].mean()
    assert map_of(task) == pytest.approx(prevalence, abs=0.02)


def test_a_tie_group_in_closed_form():
    one = expected_precisions(np.array([[1, 3]]), np.array([[0, 1]]))
    assert one[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_batches_do_not_change_the_answer(monkeypatch):
    task = random_task()
    whole = {ties: average_precisions(task, ties=ties) for ties in ("stable", "expected")}
    monkeypatch.setattr("encoders.retrieval.BATCH_PAIRS", 700)
    for ties, values in whole.items():
        np.testing.assert_array_equal(average_precisions(task, ties=ties), values)


@pytest.mark.parametrize("cut", [1, 10, 299, 1000])
def test_map_at_r_divides_by_the_hits_within_r(cut):
    task = random_task()
    expected = []
    for ranking in rankings(task):
        within = ranking[:cut]
        if any(ranking):
            expected.append(naive.average_precision(within) if any(within) else 0.0)
    assert map_of(task, cut=cut) == pytest.approx(np.mean(expected))


def test_unmatched_queries_are_skipped_or_count_zero():
    values = np.array([1.0, np.nan, 0.5, np.nan])
    assert mean_over_queries(values) == 0.75
    assert mean_over_queries(values, "zero") == 0.375


def test_unseen_rows_are_all_that_is_ranked():
    task = random_task()
    seen = np.arange(300) % 3 > 0
    rest = Retrieval(
        queries=task.queries,
        query_labels=task.query_labels,
        database=task.database[::3],
        database_labels=task.database_labels[::3],
    )
    assert map_of(task.unseen(seen)) == map_of(rest)
    with pytest.raises(InputError, match="mask of shape"):
        task.unseen(seen[:5])


def test_activations_rank_by_their_product_with_the_stored_signs():
    task = random_task(16, 300, 20, values=4)
    activations = np.random.default_rng(7).standard_normal((20, 16)).astype(np.float32)
    real = Retrieval(
        queries=activations,
        query_labels=task.query_labels,
        database=task.database,
        database_labels=task.database_labels,
    )
    signs = unpack(task.database, "signs").astype(np.float64)
    precisions = []
    for h, own in zip(activations, task.query_labels, strict=True):
        scores = (signs * h).sum(axis=1)
        order = sorted(range(300), key=lambda i, s=scores: (-s[i], i))
        relevant = task.database_labels.astype(int) @ own > 0
        if relevant.any():
            precisions.append(naive.average_precision([bool(relevant[i]) for i in order]))
    assert map_of(real) == pytest.approx(np.mean(precisions))
    with pytest.raises(InputError, match="no Hamming distances"):
        map_of(real, ties="expected")


def test_activations_at_signs_rank_as_their_codes_do():
    task = random_task(16, values=4)
    real = Retrieval(
        queries=unpack(task.queries, "signs").astype(np.float32),
        query_labels=task.query_labels,
        database=task.database,
        database_labels=task.database_labels,
    )
    assert map_of(real) == map_of(task)
    assert precision_at(real, [7])[0] == precision_at(task, [7])[0]


def test_precision_at_n_equals_the_definition():
    task = random_task()
    matched = [r for r in rankings(task) if any(r)]
    expected = [np.mean([np.mean(r[:n]) for r in matched]) for n in (1, 50, 300)]
    np.testing.assert_allclose(precision_at(task, [1, 50, 300]), expected)
    for ranks in ([], [0], [301]):
        with pytest.raises(InputError, match="ranks from 1 to 300"):
            precision_at(task, ranks)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_the_radius_curve_equals_the_definition(average):
    task = random_task(16, 50, 10, share=0.15)
    relevant = task.query_labels.astype(int) @ task.database_labels.T > 0
    matched = relevant.any(axis=1)
    assert not matched.all()
    distances, relevant = naive.distances(task.database, task.queries)[matched], relevant[matched]
    curve = radius_curve(task, average)
    for radius in range(17):
        ball = distances <= radius
        hits = (ball & relevant).sum(axis=1)
        full = ball.any(axis=1)
        assert curve.answered[radius] == full.sum()
        if average == "micro":
            precision = hits.sum() / ball.sum() if ball.any() else np.nan
            recall = hits.sum() / relevant.sum()
        else:
            own = hits[full] / ball[full].sum(axis=1)
            precision = own.mean() if full.any() else np.nan
            recall = (hits / relevant.sum(axis=1)).mean()
        np.testing.assert_allclose(curve.precision[radius], precision)
        np.testing.assert_allclose(curve.recall[radius], recall)
    assert curve.recall[-1] == 1


def test_plots_are_png_files(tmp_path):
    pytest.importorskip("matplotlib")
    task = random_task()
    plot_radius_curves({"a": radius_curve(task), "b": radius_curve(task, "macro")}, tmp_path / "r")
    plot_precision_at([1, 9], {"a": precision_at(task, [1, 9])}, tmp_path / "n")
    for name in "rn":
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_bit_report():
    bits = np.zeros((4, 8), bool)
    bits[:2, 0] = True  # balanced
    bits[:2, 1] = True  # says the same
    bits[::2, 2] = True  # independent of both
    bits[0, 3] = True
    report = bit_report(pack(bits))
    np.testing.assert_allclose(report.balance, [0.5, 0.5, 0.5, 0.25, 0, 0, 0, 0])
    np.testing.assert_allclose(report.entropy[[0, 3, 4]], [1, 0.8112781, 0], atol=1e-7)
    assert report.constant == 4
    assert report.distinct == 4
    third = 1 / np.sqrt(3)
    assert report.correlation == pytest.approx((1 + 0 + third + 0 + third + third) / 6)
    assert np.isnan(bit_report(np.zeros((3, 1), np.uint8)).correlation)
    with pytest.raises(InputError, match="no codes"):
        bit_report(np.zeros((0, 1), np.uint8))


def test_the_modality_gap_counts_every_pair():
    images, texts = random_codes(1, 9, 24), random_codes(2, 9, 24)
    matrix = naive.distances(images, texts)
    gap = modality_gap(images, texts)
    assert gap.paired == pytest.approx(np.mean(np.diag(matrix)))
    assert gap.unpaired == pytest.approx((matrix.sum() - np.trace(matrix)) / 72)
    assert gap.gap == gap.unpaired - gap.paired
    with pytest.raises(InputError, match="9 image codes meet 3"):
        modality_gap(images, texts[:3])


def test_what_does_not_fit_together_is_refused():
    task = random_task()
    parts = {
        name: getattr(task, name)
        for name in ("queries", "query_labels", "database", "database_labels")
    }
    faults = [
        ({"queries": random_codes(1, 20, 32)}, CodeError, "the queries' codes are 4 bytes"),
        ({"query_labels": random_matrix(1, 19)}, InputError, "for 20 codes of queries"),
        ({"database_labels": random_matrix(1, 300, 5)}, InputError, "6 label columns"),
        ({"query_labels": -np.ones((20, 6))}, InputError, "go down to -1"),
        ({"queries": np.full((20, 16), np.nan)}, InputError, "320 of them NaN"),
    ]
    for change, error, message in faults:
        with pytest.raises(error, match=message):
            Retrieval(**(parts | change))
    with pytest.raises(InputError, match="expected ties with a cut"):
        map_of(task, ties="expected", cut=3)
    with pytest.raises(InputError, match="cut at rank 0"):
        map_of(task, cut=0)


def test_equals_the_definition():
    database, queries = random_codes(1, 300, 16), random_codes(2, 20, 16)
    wanted, offered = random_labels(3, 20), random_labels(4, 300)
    precisions = []
    for line, own in zip(naive.distances(database, queries), wanted, strict=True):
        order = sorted(range(300), key=lambda i, line=line: (line[i], i))
        relevant = [bool(set(own) & set(offered[i])) for i in order]
        if any(relevant):
            precisions.append(naive.average_precision(relevant))
    actual = mean_average_precision(queries, wanted, database, offered)
    assert actual == pytest.approx(np.mean(precisions))


def test_perfect_codes_have_map_one():
    codes = np.repeat(np.array([[0], [255], [15]], np.uint8), 4, axis=0)
    labels = [(str(code),) for code in codes[:, 0]]
    assert mean_average_precision(codes, labels, codes, labels) == 1


def test_queries_without_relevant_items_are_left_out():
    codes = random_codes(1, 4, 16)
    labels = [("a",), ("a",), ("b",), ()]
    score = mean_average_precision(codes[[0, 3]], [("a",), ("z",)], codes, labels)
    assert score == mean_average_precision(codes[[0]], [("a",)], codes, labels)


def test_no_relevant_item_at_all_is_an_error():
    codes = random_codes(1, 4, 16)
    with pytest.raises(InputError, match="none of the 4 queries"):
        mean_average_precision(codes, [("a",)] * 4, codes, [("b",)] * 4)
