"""Three processes change a store at once, and a reader's old snapshot does not move.

SSAH_TOGETHER_S says for how long; `make torture` takes minutes.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import ssah_index
from ssah_index.store import Store, verify
from tests.conftest import append, random_codes
from tests.store.test_kills import applied, visible

SECONDS = float(os.environ.get("SSAH_TOGETHER_S", "4"))
WRITER = """
import json, random, sys, time
from ssah_index.errors import ConflictError
from ssah_index.store import Store, compact
from tests.conftest import append, random_codes

path, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
store, chance, own = Store.open(path), random.Random(seed), []
end = time.monotonic() + seconds
for number in range(10**6):
    if time.monotonic() > end and number >= 6:
        break
    name = f"w{seed}-{number}"
    if number % 3 == 1 and own:
        ids = chance.sample(own, min(len(own), 4))
        assert store.delete(ids) == len(ids)
        own = [key for key in own if key not in ids]
        print(json.dumps({"about": "delete", "ids": ids}), flush=True)
    elif number % 6 == 5:
        try:
            compact(store)
        except ConflictError:
            pass
    else:
        append(store, name, random_codes(number, 5, 64))
        ids = [f"{name}-{i}" for i in range(5)]
        own += ids
        print(json.dumps({"about": "append", "ids": ids}), flush=True)
"""


@pytest.mark.slow
def test_every_acknowledged_change_of_three_writers_is_there(tmp_path, record_property):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    for number in range(3):
        append(store, f"old{number}", random_codes(number, 50, 64, 2))
    pinned = ssah_index.open(store.path)
    queries = random_codes(9, 3, 64, 2)
    before = pinned.search(queries, k=150)
    command = [sys.executable, "-c", WRITER, str(store.path)]
    # Into files: a pipe that nobody reads meanwhile fills up, and its writer waits for ever.
    told = [tmp_path / f"{seed}.jsonl" for seed in range(3)]
    writers = []
    for seed, path in enumerate(told):
        with path.open("w") as out:
            writers.append(subprocess.Popen([*command, str(seed), str(SECONDS)], stdout=out))
    looks = 0
    while any(writer.poll() is None for writer in writers):
        now = pinned.search(queries, k=150)
        np.testing.assert_array_equal(now.rows, before.rows)
        np.testing.assert_array_equal(now.ids, before.ids)
        looks += 1
    assert looks > 3
    record_property("looks", looks)
    found = visible(store)
    for seed, writer in enumerate(writers):
        lines = told[seed].read_text().splitlines()
        assert not writer.returncode
        own = []
        for line in lines:
            own = applied(own, json.loads(line))
        assert [key for key in found if key.startswith(f"w{seed}-")] == own
        assert len(lines) >= 4
        record_property("together_acts", len(lines))
    assert [key for key in found if key.startswith("old")] == visible(store)[:150]
    assert verify(store) == []
