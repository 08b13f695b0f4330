import numpy as np
import pytest

from encoders.evaluate import mean_average_precision
from ssah_index.errors import InputError
from tests import naive
from tests.conftest import random_codes


def random_labels(seed, n):
    random = np.random.default_rng(seed)
    return [tuple(f"l{i}" for i in np.flatnonzero(random.random(6) < 0.2)) for _ in range(n)]


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
