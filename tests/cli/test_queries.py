"""One query that fails costs itself alone, whatever is wrong with it."""

import json
import os

import numpy as np
import pytest

from ssah_index.cli import answers
from ssah_index.cli.answers import Answerer, Plan
from ssah_index.cli.plain import records, to_json
from ssah_index.cli.queries import encode, parse_codes
from ssah_index.errors import EncoderError, ItemError, WriteFailedError
from ssah_index.search import Searcher, open_store
from ssah_index.store import Store
from tests.cli import forked
from tests.conftest import HashEncoder, random_codes


class Fragile(HashEncoder):
    """Raises for a batch that has "bad" in it, and says what it leaves out."""

    def encode(self, modality, batch):
        if "bad" in batch:
            raise RuntimeError("no bytes left")
        return super().encode(modality, batch)

    def warnings(self, modality, batch):
        return [["1 word is unknown: odd"] if "odd" in item else [] for item in batch]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x" + "00" * 4, "'0x00000000' is not hexadecimal; expected 8 digits"),
        ("00 00 00 00", "is not hexadecimal"),
        (" 00000000", "is not hexadecimal"),
        ("00000000\n", "is not hexadecimal"),
        ("\u0660" * 8, "is not hexadecimal"),
        ("\uff10" * 8, "is not hexadecimal"),
        ("0" * 7, "has 7 digits; expected 8 digits, two for each byte"),
        ("", "has 0 digits"),
        ("00" * 5, "5 bytes (40 bits) wide; expected 4 bytes (32 bits)"),
        ("z" * 100_000, "... (100,000 characters) is not hexadecimal"),
    ],
)
def test_codes_that_are_none(value, words):
    codes, errors = parse_codes(["0011AaFf", value], 32)
    assert codes.tolist() == [[0, 17, 170, 255]]
    assert words in errors[1]
    assert len(errors[1]) < 1000


def test_an_encoder_that_raises_is_asked_item_by_item():
    values = ["a", "bad", "", "b"]
    codes, errors = encode(Fragile(64), "text", values)
    assert errors == {1: "RuntimeError: no bytes left", 2: "nothing in it"}
    np.testing.assert_array_equal(codes, HashEncoder(64).encode("text", ["a", "b"])[0])


@pytest.mark.parametrize(
    ("error", "reason"), [(ItemError("a", "b", "C."), "a; expected b. C."), (MemoryError(), "Mem")]
)
def test_what_an_item_may_raise(error, reason):
    class Raising(HashEncoder):
        def encode(self, modality, batch):
            raise error

    assert encode(Raising(64), "text", ["a", "b"])[1][1].startswith(reason)


@pytest.mark.parametrize("error", [WriteFailedError("a", "b", "C."), KeyboardInterrupt()])
def test_what_is_no_items_fault_goes_up(error):
    class Raising(HashEncoder):
        def encode(self, modality, batch):
            raise error

    with pytest.raises(type(error)):
        encode(Raising(64), "text", ["a", "b"])


def test_an_encoder_that_loses_items_is_refused():
    class Losing(HashEncoder):
        def encode(self, modality, batch):
            return super().encode(modality, batch[1:])

    with pytest.raises(EncoderError, match=r"shape \(1, 8\) for 2 items, of which 0 failed"):
        encode(Losing(64), "text", ["a", "b"])


def test_images_that_are_no_files(tmp_path):
    (tmp_path / "good").write_bytes(b"pixels")
    odd = tmp_path / os.fsdecode(b"\xff.png")
    odd.write_bytes(b"pixels")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    names = [*(tmp_path / n for n in ("good", "pipe", "loop", "no")), tmp_path, odd]
    values = [*map(str, names), "x" * 5000, "", "a\0b", "data:image/png;base64," + "A" * 9000]
    codes, errors = encode(HashEncoder(64), "image", values)
    assert sorted(errors) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert (codes[0] == codes[1]).all()
    assert "it is no file" in errors[1]
    assert "no such file" in errors[3]
    assert "too long" in errors[6]
    assert all("expected an image file" in error for error in errors.values())
    assert max(map(len, errors.values())) < 1000


def test_texts_that_are_no_unicode():
    _, errors = encode(HashEncoder(64), "text", ["a", "b\udcff", "\ud800"])
    assert sorted(errors) == [1, 2]
    assert r"text 'b\udcff' is no Unicode at character 1" in errors[1]


@pytest.fixture
def bare(tmp_path):
    """Rows whose ids are hard to print as lines."""
    store = Store.create(tmp_path / "s.ssah", bits=64)
    ids = ["two\nlines", "end\r", "", "\ufeffmark", "plain", "x\u2028y"]
    codes = np.zeros((len(ids), 8), np.uint8)
    codes[:, 0] = [0, 1, 3, 7, 255, 254]
    store.append(codes, {"id": ids, "warnings": list("abcdef")})
    return store.path


@pytest.mark.parametrize("row", range(6))
def test_ids_that_are_no_lines_are_refused(bare, row):
    code = bytes([[0, 1, 3, 7, 255, 254][row]]).ljust(8, b"\0").hex()
    ask = ["query", bare, "--code", code, "-k", 1, "--format", "ids"]
    ended = forked.run(ask)
    key = ["two\nlines", "end\r", "", "\ufeffmark", "plain", "x\u2028y"][row]
    if row < 4:
        assert (ended.code, ended.out) == (3, b"")
        assert f"the id {key!r} is no line".encode() in ended.err
        assert b"Add -0" in ended.err
    else:
        assert (ended.code, ended.out.decode()) == (0, f"{key}\n")
    assert forked.run([*ask, "-0"]).out.decode() == f"{key}\0"


@pytest.mark.parametrize("bits", [8, 64, 4096])
def test_codes_of_big_bit_order_find_what_they_are(make_store, bits):
    codes = random_codes(1, 5, bits)
    store = make_store(codes, bits=bits)
    big = np.packbits(np.unpackbits(codes[3:4], bitorder="little"))
    asked = ["query", store.path, "--code", big.tobytes().hex(), "--radius", "0"]
    found = forked.run([*asked, "--bitorder", "big"]).out.splitlines()
    assert [json.loads(hit)["id"] for hit in found] == ["s0-3"]
    assert forked.run([*asked, "--bitorder", "up"]).code == 2


def test_null_goes_with_ids(bare):
    ended = forked.run(["query", bare, "--code", "00" * 8, "--null"])
    assert ended.code == 2
    assert b"-0 is given for jsonl; expected --format ids" in ended.err


@pytest.fixture
def ask(make_store, monkeypatch, capsys):
    """Answers of an `Answerer` with an encoder of texts, and what it said."""

    def run(values, format="jsonl", bits=64, **chosen):
        store = make_store(random_codes(1, 20, bits), bits=bits)
        monkeypatch.setattr(Store, "load_encoder", lambda self: Fragile(bits))
        chosen = {"k": 2, "radius": None, **chosen}
        plan = Plan(find=None, threads=None, format=format, **chosen)
        answerer = Answerer(Searcher(store), plan, cross=True)
        answerer.answer("text", values)
        return answerer, capsys.readouterr()

    return run


def test_warnings_are_in_every_hit(ask):
    answerer, told = ask(["odd one", "bad", "plain", "\udcff"])
    lines = [json.loads(line) for line in told.out.splitlines()]
    expected = ["1 word is unknown: odd"]
    assert [line.get("warnings") for line in lines] == [expected] * 2 + [None] * 4
    assert [line["query"] for line in lines if "error" in line] == ["bad", "\udcff"]
    assert (answerer.asked, answerer.failed) == (4, 2)
    assert "Warning" not in told.err


@pytest.mark.parametrize(
    "chosen", [{"format": "ids"}, {"format": "table"}, {"k": None, "radius": 0}]
)
def test_warnings_without_a_hit_in_jsonl_are_said(ask, chosen):
    assert "Warning: 'odd one': 1 word is unknown: odd" in ask(["odd one"], **chosen)[1].err


def test_warnings_that_fail_cost_no_answer(ask, monkeypatch):
    monkeypatch.setattr(Fragile, "warnings", lambda *_: 1 / 0)
    told = ask(["plain"])[1]
    assert "ZeroDivisionError" in json.loads(told.out.splitlines()[0])["warnings"][0]


def test_a_users_column_named_warnings_is_kept(bare):
    told = forked.run(["query", bare, "--code", "00" * 8, "-k", 1])
    assert json.loads(told.out)["warnings_"] == "a"


def test_queries_of_more_than_a_batch(ask, monkeypatch):
    monkeypatch.setattr(answers, "MAX_BATCH", 2)
    answerer, told = ask(["a", "b", "bad", "c", "d"], k=1)
    asked = [json.loads(line)["query"] for line in told.out.splitlines()]
    assert asked == ["a", "b", "bad", "c", "d"]
    assert answerer.asked == 5


def test_the_real_encoder_answers_what_it_can(store, folder, call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    words = ["--image", tmp_path / "pipe", "--image", "x" * 5000, "--image", folder / "0.png"]
    told = call("query", store, *words, "--text", "\udcff red", "-k", 1, expect=3)
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert ["error" in line for line in lines] == [True, True, True, False]
    assert "3 of 4 queries failed" in told.err


def test_any_arrow_value_is_json(tmp_path):
    """Times finer than Python's, or out of its years; bytes, decimals, nested values, NaN."""
    import decimal

    import pyarrow as pa

    big = 10**17
    columns = {
        "stamp": pa.array([1, big], pa.timestamp("ns")),
        "zoned": pa.array([1, big], pa.timestamp("us", "UTC")),
        "far": pa.array([-(10**7), 10**7], pa.date32()),
        "time": pa.array([1, 2], pa.time64("ns")),
        "span": pa.array([1, big], pa.duration("ns")),
        "bytes": pa.array([b"\xff\0", None], pa.binary()),
        "decimal": pa.array([decimal.Decimal("1.50"), None]),
        "list": pa.array([[1.0, float("nan")], None], pa.list_(pa.float32())),
        "stamps": pa.array([[1], [big]], pa.list_(pa.timestamp("ns"))),
        "struct": pa.array([{"a": 1, "b": float("inf")}, None]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.timestamp("ns"))),
        "word": pa.array(["x", "y"]).dictionary_encode(),
        "nothing": pa.nulls(2),
        "half": pa.array(np.array([1, np.nan], np.float16)),
    }
    path = tmp_path / "s.ssah"
    store = Store.create(path, bits=64)
    store.append(random_codes(1, 2, 64), {"id": ["a", "b"], **columns})
    taken = store.snapshot().take(np.arange(2), list(columns))
    first, second = (json.loads(to_json(record)) for record in records(taken))
    assert first["stamp"] == "1970-01-01 00:00:00.000000001"
    assert (first["bytes"], first["decimal"], first["word"]) == ("ff00", "1.50", "x")
    assert first["list"] == [1.0, None]
    assert first["struct"] == {"a": 1, "b": None}
    assert first["stamps"] == ["1970-01-01 00:00:00.000000001"]
    assert second["half"] is None
    assert second["nothing"] is None
    hits = open_store(path).search(np.zeros(8, np.uint8), k=2)
    assert len(hits.ids) == 2
    ended = forked.run(["query", path, "--code", "00" * 8])
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 2
