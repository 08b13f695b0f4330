"""kill -9 at random moments: nothing acknowledged is lost, nothing else is half visible.

A writer works on a store in a process of its own and says on a pipe what it is about to do,
and that it is done. It is killed, the store is opened, verified and compared with a model.
SSAH_KILLS says how many times; `make torture` takes more.
"""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from ssah_index.store import Store, verify

KILLS = int(os.environ.get("SSAH_KILLS", "12"))
WRITER = """
import json, random, sys
from ssah_index.store import Store, collect, compact
from tests.conftest import append, random_codes
from tests.store.test_kills import visible

path, seed = sys.argv[1], int(sys.argv[2])
store, chance = Store.open(path), random.Random(seed)

def tell(**what):
    print(json.dumps(what), flush=True)

for number in range(10**6):
    name = f"w{seed}-{number}"
    act = chance.choice(["append"] * 4 + ["replace"] * 2 + ["delete"] * 3 + ["compact", "collect"])
    if act == "append":
        rows = chance.randrange(1, 30)
        ids = [f"{name}-{i}" for i in range(rows)]
        tell(about="append", ids=ids)
        append(store, name, random_codes(number, rows, 64), chance.choice(["image", "text"]))
    elif act == "replace":
        ids = visible(store, "image")
        ids = [*chance.sample(ids, min(len(ids), 5)), name]
        tell(about="replace", ids=ids)
        codes = random_codes(number, len(ids), 64)
        store.append(codes, {"id": ids, "n": [number] * len(ids)}, on_duplicate="replace")
    elif act == "delete":
        there = visible(store)
        ids = chance.sample(there, min(len(there), 5))
        tell(about="delete", ids=ids)
        store.delete(ids)
    elif act == "compact":
        tell(about="compact")
        compact(store)
    else:
        tell(about="collect")
        collect(store, grace_s=0)
    tell(done=True)
"""


def visible(store, modality=None):
    """Ids that can be found now, in order."""
    snapshot = store.snapshot()
    rows = [s.first_row + np.flatnonzero(s.keep()) for s in snapshot.select(modality)]
    live = np.concatenate([np.empty(0, np.int64), *rows])
    return snapshot.take(live, ["id"]).column("id").to_pylist()


def acknowledged(model, lines):
    """What must be visible after these lines, without and with the act that was cut off."""
    pending = None
    for line in lines:
        told = json.loads(line)
        if "done" in told:
            model, pending = applied(model, pending), None
        else:
            pending = told
    return model, model if pending is None else applied(model, pending)


def applied(model, act):
    if act["about"] == "append":
        return [*model, *act["ids"]]
    if act["about"] == "replace":
        return [key for key in model if key not in set(act["ids"])] + act["ids"]
    if act["about"] == "delete":
        return [key for key in model if key not in set(act["ids"])]
    return model


@pytest.mark.slow
def test_no_kill_loses_or_halves_a_commit(tmp_path, record_property):
    store = Store.create(tmp_path / "s.ssah", bits=64)
    chance, model, acts = random.Random(5), [], 0
    for seed in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(store.path), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            # By lines, so that a slow machine gets as far; then at any moment of an act.
            lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 16))]
            time.sleep(chance.uniform(0, 0.02))
            writer.kill()
            lines += writer.stdout.read().splitlines(keepends=True)
        lines = [line for line in lines if line.endswith("\n")]
        without, with_it = acknowledged(model, lines)
        found = visible(store)
        assert found in (without, with_it)
        assert verify(store) == []
        model = found
        acts += len(lines) // 2
    assert acts >= KILLS
    record_property("kills", KILLS)
    record_property("kill_acts", acts)
    assert len(model) > 20
