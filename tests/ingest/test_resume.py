"""The same command again: it does what is missing, and nothing else."""

import contextlib
import os
import random
import shutil
import threading

import numpy as np
import pytest

from ssah_index.errors import DuplicateIdError, StoreExistsError
from ssah_index.ingest import BuildSpec, append, build, open_reader
from ssah_index.store import Store, compact, stage, verify
from tests.conftest import HashEncoder
from tests.ingest.test_append import Counting, table, texts_of
from tests.ingest.test_build import contents

SPEC = BuildSpec(share_rows=10, batch_rows=4)


@pytest.fixture
def source(tmp_path):
    """12 images with texts beside them; 5.png is empty."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.png").write_bytes(b"" if number == 5 else b"image %d" % number)
        (folder / f"{number}.txt").write_text(f"text {number}")
    return folder


def run(source, path, encoder=None, **spec):
    spec = BuildSpec(**{"share_rows": 10, "batch_rows": 4, **spec})
    return build(open_reader(source), path, encoder or HashEncoder(), spec=spec)


def counts(report):
    return report.written, report.skipped, report.failed, report.mended


def ledger(path):
    return {(f.modality, f.id): f.reason for f in Store.open(path).snapshot().failures()}


def live(path):
    """(modality, id) of rows that are not deleted."""
    snapshot = Store.open(path).snapshot()
    rows = np.flatnonzero(np.concatenate([segment.keep() for segment in snapshot.segments]))
    taken = snapshot.take(rows, ["modality", "id"]).to_pylist()
    return sorted((row["modality"], row["id"]) for row in taken)


def test_a_mended_file_is_taken_up_and_its_failure_taken_back(source, tmp_path):
    path = tmp_path / "s.ssah"
    assert counts(run(source, path)) == (23, 0, 1, 0)
    assert ledger(path) == {("image", "5.png"): "nothing in it"}
    (source / "5.png").write_bytes(b"image 5")
    encoder = Counting()
    assert counts(run(source, path, encoder)) == (1, 23, 0, 1)
    assert encoder.encoded == 1
    assert ledger(path) == {}
    before = Store.open(path).newest()
    assert counts(run(source, path)) == (0, 24, 0, 0)
    assert Store.open(path).newest() == before


def test_a_failed_row_is_tried_again_and_its_new_reason_kept(source, tmp_path):
    class Strict(HashEncoder):
        def encode(self, modality, batch):
            codes, failures = super().encode(modality, batch)
            return codes, [(place, "still nothing") for place, _ in failures]

    path = tmp_path / "s.ssah"
    run(source, path)
    before = Store.open(path).newest()
    assert counts(run(source, path)) == (0, 23, 1, 0)
    assert Store.open(path).newest() == before
    assert counts(run(source, path, Strict())) == (0, 23, 1, 0)
    assert ledger(path) == {("image", "5.png"): "still nothing"}
    (source / "5.png").unlink()
    (source / "5.txt").unlink()
    store = Store.open(path)
    store.delete(["5.png"])
    assert counts(run(source, path)) == (0, 22, 0, 1)
    assert ledger(path) == {}


def test_a_row_that_fails_without_a_reason_is_in_the_ledger(source, tmp_path):
    class Curt(HashEncoder):
        def encode(self, modality, batch):
            codes, failures = super().encode(modality, batch)
            return codes, [(place, "") for place, _ in failures]

    run(source, tmp_path / "s.ssah", Curt())
    assert ledger(tmp_path / "s.ssah") == {("image", "5.png"): "no reason was given"}


def test_a_folder_that_grew_is_taken_up(source, tmp_path):
    path = tmp_path / "s.ssah"
    run(source, path)
    (source / "0a.png").write_bytes(b"more")
    (source / "7.txt").unlink()
    with pytest.raises(StoreExistsError, match=r"1 that are not in this one, the first the text"):
        run(source, path)
    (source / "7.txt").write_text("text 7")
    encoder = Counting()
    assert counts(run(source, path, encoder)) == (1, 23, 1, 0)
    assert encoder.encoded == 2


def bad_text(source, number):
    (source / f"{number}.txt").write_bytes(b"\xff")


@pytest.mark.parametrize("command", ["build", "append"])
def test_a_mended_text_comes_to_its_image_too(source, tmp_path, command):
    """The row of an image has the text beside it, and must not keep an old one or none."""
    path = tmp_path / "s.ssah"
    for number in (1, 2):
        bad_text(source, number)
    (source / "3.txt").write_text("")
    assert counts(run(source, path)) == (20, 0, 4, 0)
    (source / "1.txt").write_text("mended")
    (source / "3.txt").write_text("filled")
    encoder = Counting()
    if command == "build":
        report = run(source, path, encoder)
    else:
        report = append(open_reader(source), Store.open(path), encoder, spec=SPEC)
    assert (counts(report), report.replaced) == ((4, 18, 2, 2), 2)
    assert encoder.encoded == 5  # and 5.png, which fails
    snapshot = Store.open(path).snapshot()
    rows = snapshot.find(["1.png", "2.png", "3.png"])
    texts = [tuple(row.values()) for row in snapshot.take(rows, ["id", "text"]).to_pylist()]
    assert sorted(texts, key=str) == [
        ("1.png", "mended"), ("1.png", "mended"), ("2.png", None),
        ("3.png", "filled"), ("3.png", "filled"),
    ]  # fmt: skip
    assert ledger(path).keys() == {("image", "5.png"), ("text", "2.png")}
    before = Store.open(path).newest()
    assert counts(run(source, path)) == (0, 22, 2, 0)
    assert Store.open(path).newest() == before


def test_a_text_that_cannot_be_read_any_more_costs_one_failure(source, tmp_path):
    path = tmp_path / "s.ssah"
    run(source, path)
    bad_text(source, 1)
    (source / "0a.png").write_bytes(b"more")
    assert counts(run(source, path)) == (1, 22, 2, 0)
    assert ledger(path).keys() == {("image", "5.png"), ("text", "1.png")}
    (source / "1.txt").write_text("text 1")
    assert counts(run(source, path)) == (0, 24, 1, 1)


def test_captions_that_came_later_are_taken_up(source, tmp_path):
    path = tmp_path / "s.ssah"
    for text in source.glob("*.txt"):
        text.rename(tmp_path / text.name)
    assert counts(run(source, path)) == (11, 0, 1, 0)
    for text in tmp_path.glob("*.txt"):
        text.rename(source / text.name)
    with pytest.raises(DuplicateIdError, match="11 ids are in the store already"):
        append(open_reader(source), Store.open(path), HashEncoder(), spec=SPEC)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(source, path, Interrupted(2), share_s=0.0)
    run(source, path)
    assert live(path) == sorted(
        [("image", f"{n}.png") for n in range(12) if n != 5]
        + [("text", f"{n}.png") for n in range(12)]
    )
    snapshot = Store.open(path).snapshot()
    rows = snapshot.find([f"{n}.png" for n in range(12)])
    for row in snapshot.take(rows, ["id", "text"]).to_pylist():
        assert row["text"] == "text " + row["id"].removesuffix(".png")
    assert counts(run(source, path)) == (0, 23, 1, 0)


def test_deleted_rows_come_back(source, tmp_path):
    path = tmp_path / "s.ssah"
    run(source, path)
    everything = live(path)
    for tidy in (False, True):
        Store.open(path).delete(["3.png"])
        Store.open(path).delete(["4.png"], "text")
        if tidy:
            compact(Store.open(path))
        assert counts(run(source, path)) == (3, 20, 1, 0)
        assert live(path) == everything


def test_what_changed_is_named_before_anything_is_encoded(source, tmp_path):
    path = tmp_path / "s.ssah"
    run(source, path)
    for number in range(7):
        (source / f"{number}.png").write_bytes(b"other %d" % number)
    (source / "9.txt").write_text("other text")
    (source / "0a.png").write_bytes(b"more")
    encoder = Counting()
    named = r"7 items have changed since they were built into .*: '0\.png', '1\.png', '2\.png'"
    with pytest.raises(StoreExistsError, match=named) as caught:
        run(source, path, encoder)
    assert "and more; expected items as they were" in str(caught.value)
    assert encoder.encoded == 0
    report = append(
        open_reader(source), Store.open(path), encoder, on_duplicate="replace", spec=SPEC
    )
    # Six images; the row of an image has the text beside it, so that 9 has two rows to replace.
    assert (counts(report), report.replaced) == ((10, 15, 0, 1), 8)
    assert encoder.encoded == 10
    assert counts(run(source, path)) == (0, 25, 0, 0)


def test_a_copied_folder_is_the_same_and_a_touched_file_too(source, tmp_path):
    path, copy = tmp_path / "s.ssah", tmp_path / "copy"
    run(source, path)
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    os.utime(copy / "3.png", (1, 1))
    encoder = Counting()
    assert counts(run(copy, path, encoder)) == (0, 23, 1, 0)
    assert encoder.encoded == 1


def test_changed_texts_labels_and_columns_are_changes(tmp_path):
    path, rows = tmp_path / "t.jsonl", tmp_path / "s.ssah"
    lines = [
        '{"id": "a", "text": "x", "labels": ["l"], "n": 1}',
        '{"id": "b", "text": "y"}',
    ]
    path.write_text("\n".join(lines))
    run(path, rows)
    path.write_text("\n\n" + "\n".join(reversed(lines)).replace("}", ', "none": null}'))
    assert counts(run(path, rows)) == (0, 2, 0, 0)
    for old, new in (('"x"', '"z"'), ('"l"', '"m"'), ("1", "2")):
        path.write_text("\n".join(lines).replace(old, new))
        with pytest.raises(StoreExistsError, match=r"1 items have changed .*: 'a'"):
            run(path, rows)


def test_an_image_that_cannot_be_read_any_more_keeps_its_row(source, tmp_path):
    (source / "t.jsonl").write_text('{"path": "1.png", "text": "one"}')
    path = tmp_path / "s.ssah"
    run(source, path)
    (source / "1.png").unlink()
    os.mkfifo(source / "1.png")  # to open it would wait for ever
    before = Store.open(path).snapshot().live
    assert counts(run(source, path))[2] == 1
    snapshot = Store.open(path).snapshot()
    assert [failure.reason for failure in snapshot.failures()] == ["a FIFO, not a file: '1.png'"]
    assert snapshot.live == before


def test_rows_of_older_releases_are_there_if_their_texts_are(tmp_path):
    """They have no origins: what is known of them is their text and their labels."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "text": "x", "labels": ["l"]}\n{"id": "b", "text": "y"}')
    encoder = HashEncoder()
    store = Store.create(
        tmp_path / "s.ssah", bits=64, fingerprint=encoder.fingerprint, save_encoder=encoder.save
    )
    rows = {"id": ["a"], "text": ["x"], "labels": [["l"]]}
    store.append(encoder.encode("text", ["x"])[0], rows, "text")
    with pytest.raises(DuplicateIdError, match="1 ids are in the store already: 'a'"):
        append(open_reader(path), store, encoder)
    assert counts(run(path, store.path)) == (1, 1, 0, 0)
    path.write_text('{"id": "a", "text": "x", "labels": ["m"]}\n{"id": "b", "text": "y"}')
    with pytest.raises(StoreExistsError, match=r"1 items have changed .*: 'a'"):
        run(path, store.path)


class Interrupted(HashEncoder):
    """Ctrl-C comes in the batch of that number."""

    def __init__(self, number):
        super().__init__()
        self.left = number

    def encode(self, modality, batch):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().encode(modality, batch)


@pytest.mark.parametrize("number", range(1, 7))
def test_an_interrupt_keeps_what_was_encoded(source, tmp_path, number):
    whole, path = tmp_path / "whole.ssah", tmp_path / "s.ssah"
    run(source, whole)
    with pytest.raises(KeyboardInterrupt):
        run(source, path, Interrupted(number), share_rows=1000)
    if number == 1:
        assert not path.exists()
    else:
        kept = Store.open(path).snapshot().live
        assert kept == [4, 8, 11, 15, 19][number - 2]
        assert verify(Store.open(path)) == []
    (source / "0a.png").write_bytes(b"more")
    run(source, path)
    assert contents(path) == contents(whole) | contents_of(source, "0a.png")
    assert ledger(path) == ledger(whole)


def contents_of(source, name):
    code = HashEncoder().encode("image", [source / name])[0][0]
    return {("image", name, code.tobytes())}


@pytest.mark.parametrize("moment", [(stage, "write_rows"), (Store, "commit")])
def test_an_interrupt_of_a_commit_loses_nothing(source, tmp_path, monkeypatch, moment):
    """While it is written, or when it is published already."""
    path, original, left = tmp_path / "s.ssah", getattr(*moment), [2]

    def interrupted(*args, **options):
        left[0] -= 1
        done = original(*args, **options)
        if left[0] == 0:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(*moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(source, path, share_rows=4)
    store = Store.open(path)
    assert store.snapshot().live in (7, 8, 15)
    assert len(list((path / "segments").iterdir())) == len(store.newest().segments)
    monkeypatch.undo()
    run(source, path)
    assert Store.open(path).snapshot().live == len(Store.open(path).snapshot()) == 23
    assert verify(store) == []


def test_shares_are_committed_by_time(source, tmp_path):
    class Watching(HashEncoder):
        seen = ()

        def encode(self, modality, batch):
            path = tmp_path / "s.ssah"
            self.seen += (Store.open(path).newest().generation if path.exists() else None,)
            return super().encode(modality, batch)

    encoder = Watching()
    run(source, tmp_path / "s.ssah", encoder, share_rows=1000, share_s=0.0)
    assert encoder.seen == (None, None, 1, 1, 2, 2)
    snapshot = Store.open(tmp_path / "s.ssah").snapshot()
    for modality in ("image", "text"):
        ids = [key for m, key in in_order(snapshot) if m == modality]
        expected = [f"{n}.png" for n in range(12) if modality == "text" or n != 5]
        assert ids == expected


def in_order(snapshot):
    taken = snapshot.take(np.arange(len(snapshot)), ["modality", "id"]).to_pylist()
    return [(row["modality"], row["id"]) for row in taken]


@pytest.mark.parametrize("policy", ["error", "skip", "replace"])
def test_an_append_that_was_cut_off_goes_on(tmp_path, policy):
    store = Store.open(run_table(tmp_path, "a", {f"t{i}": f"text {i}" for i in range(10)}))
    more = table(tmp_path, "b", {f"t{i}": f"more {i}" for i in range(10, 40)})
    with pytest.raises(KeyboardInterrupt):
        append(more, store, Interrupted(5), on_duplicate=policy, spec=SPEC)
    kept = store.snapshot().live
    assert kept == 26
    encoder = Counting()
    report = append(more, store, encoder, on_duplicate=policy, spec=SPEC)
    assert (report.written, report.skipped, report.replaced) == (14, 16, 0)
    assert encoder.encoded == 14
    assert sorted(texts_of(store)) == sorted(f"t{i}" for i in range(40))
    store.delete(["t12", "t3"])
    report = append(more, store, encoder, on_duplicate=policy, spec=SPEC)
    assert (report.written, report.skipped) == (1, 29)


def run_table(folder, name, texts):
    path = folder / f"{name}.ssah"
    build(table(folder, name, texts), path, HashEncoder(), spec=SPEC)
    return path


def test_an_append_takes_back_what_its_source_brought(tmp_path):
    store = Store.open(run_table(tmp_path, "a", {"t0": "text", "t1": "", "t2": ""}))
    for name, texts, left in (
        ("b", {"t1": "mended", "t5": ""}, {"t2", "t5"}),
        ("c", {"t9": "x"}, {"t2", "t5"}),
        ("b", {"t1": "mended", "t5": "now"}, {"t2"}),
    ):
        append(table(tmp_path, name, texts), store, HashEncoder(), spec=SPEC)
        assert {failure.id for failure in store.snapshot().failures()} == left
    before = store.newest()
    report = append(table(tmp_path, "c", {"t9": "x"}), store, HashEncoder(), spec=SPEC)
    assert counts(report) == (0, 1, 0, 0)
    assert store.newest() == before


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 44])
def test_a_store_that_lived_is_as_one_built_at_once(source, tmp_path, seed):
    """Whatever came, failed, was mended, deleted, merged or cut off in between."""
    chance, path, whole = random.Random(seed), tmp_path / "s.ssah", tmp_path / "whole.ssah"

    def change():
        """A new pair, or a file mended, or a text broken: images that were built stay."""
        number, bad = chance.randrange(30), chance.random() < 0.4
        image, text = source / f"{number}.png", source / f"{number}.txt"
        if not image.exists() or not image.read_bytes():
            image.write_bytes(b"" if bad else b"image %d" % number)
        if chance.random() < 0.6:
            text.write_bytes(b"\xff" if bad else b"text %d" % number)

    def disturb():
        store = Store.open(path)
        store.delete([f"{chance.randrange(30)}.png" for _ in range(3)])
        if chance.random() < 0.3:
            compact(store)

    for _ in range(5):
        for _ in range(6):
            change()
        if path.exists():
            disturb()
        with contextlib.suppress(KeyboardInterrupt):
            run(source, path, Interrupted(chance.randrange(1, 12)), share_rows=5)
    for text in source.glob("*.txt"):  # a row of one that is broken now would stay
        text.write_text(f"text {text.stem}")
    report = run(source, path)
    fresh = run(source, whole)
    assert alive(path) == alive(whole)
    assert ledger(path) == ledger(whole)
    assert (report.written + report.skipped, report.failed) == (fresh.written, fresh.failed)
    assert verify(Store.open(path)) == []


def alive(path):
    """Modality, id, text and code of every row that is not deleted."""
    snapshot = Store.open(path).snapshot()
    rows = np.flatnonzero(np.concatenate([segment.keep() for segment in snapshot.segments]))
    taken = snapshot.take(rows, ["modality", "id", "text"]).to_pylist()
    codes = [code.tobytes() for code in snapshot.codes(rows)]
    return sorted((*map(str, row.values()), code) for row, code in zip(taken, codes, strict=True))


class Meeting(HashEncoder):
    """Waits for the other one before its first batch."""

    def __init__(self, barrier):
        super().__init__()
        self._barrier = barrier

    def encode(self, modality, batch):
        if self._barrier:
            self._barrier.wait(60)
            self._barrier = None
        return super().encode(modality, batch)


def at_once(*works):
    errors = []

    def guarded(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("begun", [False, True])
def test_two_builds_of_one_source_at_once(source, tmp_path, begun):
    whole, path = tmp_path / "whole.ssah", tmp_path / "s.ssah"
    run(source, whole)
    if begun:
        with pytest.raises(KeyboardInterrupt):
            run(source, path, Interrupted(3), share_rows=1000)
    barrier = threading.Barrier(2)
    assert at_once(*[lambda: run(source, path, Meeting(barrier), share_s=0.0)] * 2) == []
    store = Store.open(path)
    assert live(path) == live(whole)
    assert ledger(path) == ledger(whole)
    assert verify(store) == []
    assert len(list((path / "segments").iterdir())) == len(store.newest().segments)


def test_a_build_of_another_source_does_not_mix_with_one_that_was_first(source, tmp_path):
    path, barrier = tmp_path / "s.ssah", threading.Barrier(2)
    (tmp_path / "t.jsonl").write_text('{"text": "one"}')
    errors = at_once(
        lambda: run(source, path, Meeting(barrier)),
        lambda: run(tmp_path / "t.jsonl", path, Meeting(barrier)),
    )
    assert [type(error) for error in errors] == [StoreExistsError]
    assert Store.open(path).snapshot().live in (1, 23)


def test_an_append_beside_a_build_loses_nothing(source, tmp_path):
    path, barrier = tmp_path / "s.ssah", threading.Barrier(2)
    with pytest.raises(KeyboardInterrupt):
        run(source, path, Interrupted(3), share_rows=1000)
    more = table(tmp_path, "b", {f"t{i}": f"more {i}" for i in range(20)})
    errors = at_once(
        lambda: run(source, path, Meeting(barrier), share_s=0.0),
        lambda: append(more, Store.open(path), Meeting(barrier), spec=SPEC),
    )
    assert errors == []
    assert Store.open(path).snapshot().live == 23 + 20
