"""Encoders of other packages: what they raise costs one item, what they answer is checked."""

import numpy as np
import pytest

from ssah_index.encoding import encode_items
from ssah_index.errors import CorruptError, EncoderError, ItemError
from ssah_index.ingest import build, open_reader
from ssah_index.labelled import encoded
from ssah_index.store import Store
from ssah_index.types import Item
from tests.conftest import HashEncoder

BATCH = ["a", "b", "bad", "c"]


class Raising(HashEncoder):
    """Raises for a batch with a bad item in it."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def encode(self, modality, batch):
        if "bad" in batch:
            raise self.error
        return super().encode(modality, batch)


class Answering(HashEncoder):
    """Answers what it is told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def encode(self, modality, batch):
        return self.answer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no such layer"), "RuntimeError: no such layer"),
        (MemoryError(), "MemoryError"),
        (KeyError("x"), "KeyError: 'x'"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (ItemError("no image", "one", "Look."), "no image; expected one. Look."),
    ],
)
def test_an_item_that_raises_costs_itself(error, reason):
    codes, failed = encode_items(Raising(error), "text", BATCH)
    assert failed == [(2, reason)]
    expected = HashEncoder().encode("text", ["a", "b", "c"])[0]
    np.testing.assert_array_equal(codes, expected)
    alone, failed = encode_items(Raising(error), "text", ["bad"])
    assert (alone.shape, failed) == ((0, 8), [(0, reason)])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), EncoderError("a", "b", "C."),
              CorruptError("a", "b", "C.")],
)  # fmt: skip
def test_what_is_not_about_an_item_goes_up(error):
    with pytest.raises(type(error)):
        encode_items(Raising(error), "text", BATCH)


def zeros(n, width=8, dtype=np.uint8):
    return np.zeros((n, width), dtype)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ((zeros(3), []), r"uint8 of shape \(3, 8\) for 4 items, of which 0 failed"),
        ((zeros(4), [(0, "x")]), r"\(4, 8\) for 4 items, of which 1 failed"),
        ((zeros(4, 4), []), r"\(4, 4\) .* expected uint8 of shape \(4, 8\)"),
        ((zeros(4, 8, np.float32), []), "float32 of shape"),
        ((np.zeros(32, np.uint8), []), r"\(32,\)"),
        ((zeros(3), [(4, "x")]), r"failed positions \[4\]; expected positions from 0 to 3"),
        ((zeros(2), [(1, "x"), (1, "y")]), r"failed positions \[1, 1\]"),
        (zeros(4), "no answer"),
        (None, "no answer"),
        ((None, []), "no answer"),
        ((zeros(3), [0]), "no answer"),
        ((zeros(3), ["x"]), "no answer"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_written(answer, match, tmp_path):
    with pytest.raises(EncoderError, match=match):
        encode_items(Answering(answer), "text", BATCH)
    (tmp_path / "t.jsonl").write_text("\n".join(f'{{"text": "{text}"}}' for text in BATCH))
    with pytest.raises(EncoderError, match=match):
        build(open_reader(tmp_path / "t.jsonl"), tmp_path / "s.ssah", Answering(answer))
    assert not (tmp_path / "s.ssah").exists()


def test_answers_in_another_order_of_memory_are_taken():
    codes = np.asfortranarray(np.arange(32, dtype=np.uint8).reshape(4, 8))
    taken, _ = encode_items(Answering((codes, [])), "text", BATCH)
    assert taken.flags.c_contiguous
    np.testing.assert_array_equal(taken, codes)
    taken, failed = encode_items(Answering((codes[:2], [(3, "x"), (0, "y")])), "text", BATCH)
    assert failed == [(0, "y"), (3, "x")]


def test_a_build_goes_on_and_keeps_the_reason(tmp_path):
    (tmp_path / "t.jsonl").write_text("\n".join(f'{{"text": "{text}"}}' for text in BATCH))
    encoder = Raising(RuntimeError("a surrogate \udcff\nin its message"))
    report = build(open_reader(tmp_path / "t.jsonl"), tmp_path / "s.ssah", encoder)
    assert (report.written, report.failed) == (3, 1)
    failures = Store.open(tmp_path / "s.ssah").snapshot().failures()
    assert [f.reason for f in failures] == ["RuntimeError: a surrogate \\udcff\nin its message"]
    items = [Item(id=text, source=text, text=text) for text in BATCH]
    own, failures = encoded(Raising(RuntimeError("x")), "text", items)
    assert len(own.codes) == len(own.labels) == 3
    assert [(f.id, f.reason) for f in failures] == [("bad", "RuntimeError: x")]
