"""The whole life of a store against a dictionary: hypothesis chooses what happens next."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import ssah_index
from ssah_index.errors import DuplicateIdError, QueryError
from ssah_index.store import Store, collect, compact, verify
from tests import naive

RUNS = int(os.environ.get("SSAH_LIVES", "15"))
IDS = st.integers(0, 25)
BATCH = st.lists(st.tuples(IDS, st.integers(0, 3)), max_size=8)
MODALITY = st.sampled_from(["image", "text"])


class Life(RuleBasedStateMachine):
    """The model: for each generation a list of (modality, id, value) in order of insertion."""

    lives = acts = 0

    def __init__(self):
        super().__init__()
        Life.lives += 1
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.create(self.folder / "s.ssah", bits=16, ids="int64")
        self.model = []
        self.states = {0: []}
        self.tags = {}
        self.reader = ssah_index.open(self.store.path)
        self.pinned = []

    def teardown(self):
        assert verify(self.store) == []
        shutil.rmtree(self.folder)

    def remember(self):
        """What the newest generation holds, now that something may have happened."""
        self.states[self.store.newest().generation] = list(self.model)

    @rule(batch=BATCH, modality=MODALITY, policy=st.sampled_from(["error", "skip", "replace"]))
    def append(self, batch, modality, policy):
        codes = np.array([[value, 0] for _, value in batch], np.uint8).reshape(-1, 2)
        rows = {"id": np.array([key for key, _ in batch], np.int64), "v": [v for _, v in batch]}
        keys = [key for key, _ in batch]
        there = {key for kind, key, _ in self.model if kind == modality}
        clash = bool(there & set(keys)) or len(set(keys)) < len(keys)
        try:
            report = self.store.append(codes, rows, modality, on_duplicate=policy)
        except DuplicateIdError:
            assert policy == "error"
            assert clash
            return
        assert policy != "error" or not clash
        before = len(self.model)
        if policy == "skip":
            first = {key: value for key, value in reversed(batch) if key not in there}
            new = {key: first[key] for key in dict.fromkeys(keys) if key in first}
        else:
            new = {}
            for key, value in batch:
                new.pop(key, None)  # the last one counts, in its own place
                new[key] = value
            self.model = [row for row in self.model if row[0] != modality or row[1] not in new]
        replaced = before - len(self.model)
        self.model += [(modality, key, value) for key, value in new.items()]
        assert (report.written, report.replaced) == (len(new), replaced)
        assert report.written + report.skipped == len(batch)
        self.remember()

    @rule(keys=st.lists(IDS, max_size=6), modality=st.one_of(st.none(), MODALITY))
    def delete(self, keys, modality):
        left = [row for row in self.model if row[1] not in keys or modality not in (None, row[0])]
        assert self.store.delete(keys, modality) == len(self.model) - len(left)
        self.model = left
        self.remember()

    @precondition(lambda self: self.model)
    @rule(chance=st.randoms(use_true_random=False))
    def delete_rows(self, chance):
        snapshot = self.store.snapshot()
        place = chance.randrange(len(self.model))
        modality, key, _ = self.model[place]
        assert self.store.delete_rows(snapshot.find([key], modality), snapshot) == 1
        del self.model[place]
        self.remember()

    @rule()
    def compact(self):
        compact(self.store)
        self.remember()

    @rule(keep=st.integers(1, 3))
    def collect(self, keep):
        collect(self.store, keep=keep, grace_s=0)
        known = {manifest.generation for manifest in self.store.history()}
        wanted = sorted(self.states)[-keep:]
        assert set(wanted) - {0} | set(self.tags.values()) - {0} <= known
        self.states = {n: rows for n, rows in self.states.items() if n in known or n == 0}

    @rule(name=st.sampled_from("ab"))
    def tag(self, name):
        self.tags[name] = self.store.newest().generation
        self.store.tag(name)
        self.remember()

    @rule(name=st.sampled_from("ab"))
    def untag(self, name):
        self.tags.pop(name, None)
        self.store.untag(name)
        self.remember()

    @rule()
    def reopen(self):
        self.store = Store.open(self.store.path)

    @rule()
    def refresh(self):
        self.reader.refresh()
        self.reader.snapshot.take(np.arange(len(self.reader.snapshot)))  # maps all files
        self.reader.search(np.zeros((1, 2), np.uint8))
        self.pinned = list(self.model)

    @invariant()
    def it_counts(self):
        Life.acts += 1

    @invariant()
    def the_newest_generation_holds_the_model(self):
        self.equal(self.store.snapshot(), self.model)

    @invariant()
    def the_pinned_reader_does_not_move(self):
        self.equal(self.reader.snapshot, self.pinned)
        self.searched(self.reader, self.pinned)

    @rule(chance=st.randoms(use_true_random=False))
    def look_back(self, chance):
        number = chance.choice(sorted(self.states))
        self.equal(self.store.snapshot(number), self.states[number])
        for name, generation in self.tags.items():
            self.equal(self.store.snapshot(name), self.states[generation])
        with pytest.raises(QueryError):
            self.store.snapshot(max(self.states) + 1)

    @rule()
    def search(self):
        self.searched(ssah_index.open(self.store.path), self.model)

    def equal(self, snapshot, model):
        rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.segments]
        live = np.concatenate([np.empty(0, np.int64), *rows])
        names = ["modality", "id", "v"] if "v" in snapshot.schema.names else ["modality", "id"]
        found = [tuple(row.values()) for row in snapshot.take(live, names).to_pylist()]
        assert found == [row[: len(names)] for row in model]

    def searched(self, reader, model):
        queries = np.array([[1, 0], [2, 1]], np.uint8)
        result = reader.search(queries, k=5, modality="text")
        texts = [row for row in model if row[0] == "text"]
        codes = np.array([[value, 0] for _, _, value in texts], np.uint8).reshape(-1, 2)
        expected = naive.search(codes, queries, 5, None, None)
        np.testing.assert_array_equal(result.distances, expected.distances)
        assert result.ids.tolist() == [texts[row][1] for row in expected.rows]


def test_the_life_of_a_store_follows_its_model(record_property):
    Life.lives = Life.acts = 0
    chosen = settings(
        max_examples=RUNS,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Life, settings=chosen)
    record_property("lives", Life.lives)
    record_property("life_acts", Life.acts)
