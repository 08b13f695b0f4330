"""Stores with one thing altered and all seals made anew, and what becomes of whoever opens them.

``python -m tests.store.hostile FOLDER SEED FIRST LAST SHARE`` tries cases and prints a JSON line
before and after each, so that whoever started it knows which one ended the process. A case follows
from its seed and number alone; SHARE of all ways to use a store are tried with each. Processes of
one FOLDER need different seeds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import xxhash

import ssah_index
from ssah_index.cli.main import group
from ssah_index.errors import SsahError
from ssah_index.index.building import build_index
from ssah_index.ingest.exports import export
from ssah_index.store import Store, collect, compact, repair, verify
from ssah_index.types import Failure
from tests import naive
from tests.conftest import HashEncoder, append, random_codes

CASE_S = 120
"""Seconds after which a case hangs."""
MEMORY_BYTES = 24 << 30
"""Address space of the process: what asks for more would end a small machine."""
BITS = 64


def make_template(folder: Path) -> Path:
    """A small store with all that a store can have; made once."""
    path = folder / "template.ssah"
    if path.exists():
        return path
    made = Store.create(
        folder / "making.ssah", bits=BITS, fingerprint="f", save_encoder=HashEncoder().save
    )
    failure = Failure(id="x", source="x.png", modality="image", reason="no image")
    for number, modality in enumerate(["image", "text", "image"]):
        append(made, f"s{number}", random_codes(number, 60, BITS, 4), modality, [failure])
    rows = {
        "id": [f"o{i}" for i in range(40)],
        "labels": [["a", f"b{i}"][: i % 3] for i in range(40)],
        "kind": pa.array(["x", "y"] * 20).dictionary_encode(),
        "size": pa.array([{"w": i, "names": [str(i)] * (i % 2)} for i in range(40)]),
        "blob": pa.array([b"%d" % i for i in range(40)], pa.large_binary()),
    }
    made.append(np.repeat(random_codes(5, 20, BITS, 4), 2, axis=0), rows)
    made.delete(["s0-1"])
    made.tag("old")
    for modality in ("image", "text"):
        build_index(made, modality, kind="mih")
    made.delete(["s0-2", "s2-7"])
    collect(made, keep=1, grace_s=0)
    made.path.rename(path)
    return path


# What is altered


def seal(content: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(content)


def write_manifest(path: Path, body: Any) -> None:
    content = dump(body)
    path.write_bytes(b'{"manifest":' + content + b',"xxh3":"' + seal(content).encode() + b'"}')


def dump(body: Any) -> bytes:
    content = json.dumps(body, separators=(",", ":"), sort_keys=True)
    nest = lambda found: "[" * int(found[1]) + "]" * int(found[1])  # noqa: E731
    return re.sub(r'"nested (\d+)"(?!:)', nest, content).encode()


def load_manifest(path: Path) -> Any:
    return json.loads(path.read_bytes())["manifest"]


def reseal(store: Path, altered: Path) -> None:
    """Make the seals of an altered file anew, and those of what holds them, all the way up."""
    parts = altered.relative_to(store).parts
    if parts[0] in ("segments", "indexes"):
        top = store / parts[0] / parts[1]
        about = top / ("segment.json" if parts[0] == "segments" else "index.json")
        if altered != about:
            document = json.loads(about.read_bytes())
            document["files"]["/".join(parts[2:])] = sealed(altered)
            about.write_bytes(json.dumps(document, indent=1).encode())
    for path in (store / "manifests").iterdir():
        body = load_manifest(path)
        for entry in (*body["segments"], *body["indexes"]):
            if parts[1] == entry["folder"]:
                entry["sizes"] |= {
                    "/".join(parts[2:]): altered.stat().st_size,
                    about.name: about.stat().st_size,
                }
                entry["xxh3"] = seal(about.read_bytes())
        for entry in body["deletions"].values():
            if parts[1] == entry["file"]:
                entry.update(sealed(altered))
        write_manifest(path, body)


def sealed(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"size": len(content), "xxh3": seal(content)}


def nasty(chance: random.Random, victim: Path, value: Any) -> Any:
    """Something that a field should not be."""
    near = [value + 1, value - 1, -value, value * 2, value + 0.5] if type(value) is int else []
    near += [value[:-1], value + "x", value[1:], value.upper()] if type(value) is str else []
    up = os.path.relpath(victim, victim.parent / "store.ssah" / "segments")
    return chance.choice([
        *near, *near, None, True, False, 0, 1, -1, 2, 3.5, 1e18, -0.0, 2**31, 2**32, 2**63, 2**64,
        10**400, "", ".", "..", "/", "a/b", "../x", up, f"{up}/file", str(victim),
        str(victim / "file"), "a\0b", "\ud800", "x" * 300, "x" * 5000, ".hidden", [], {}, [[]],
        ["a", "a"], {"a": 1}, [None], [2**70], "O", "uint8", "float64", "nan",
        nested(300), nested(3000),
    ])  # fmt: skip


def nested(depth: int) -> str:
    """What `dump` makes lists within lists of: more than it could write itself."""
    return f"nested {depth}"


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a JSON document: what holds them, and by which key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from nodes(inner)


def alter_json(chance: random.Random, victim: Path, body: Any) -> str:
    """Alter one field of a document; what was done."""
    holder, key = chance.choice(list(nodes(body)))
    how = chance.choice(["set", "set", "set", "remove", "add", "swap", "rename"])
    if how == "set":
        holder[key] = nasty(chance, victim, holder[key])
    elif how == "remove":
        del holder[key]
    elif how == "add" and isinstance(holder, dict):
        name = chance.choice(["new", "../x", "", "a\0", f"{key}x", str(victim)])
        holder[name] = nasty(chance, victim, holder[key])
    elif how == "add":
        holder.append(chance.choice([holder[key], nasty(chance, victim, holder[key])]))
    elif isinstance(holder, list):
        other = chance.randrange(len(holder))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        other = chance.choice(list(holder))
        if how == "rename":
            holder[nasty_name(chance, victim)] = holder.pop(key)
        else:
            holder[key], holder[other] = holder[other], holder[key]
    with contextlib.suppress(Exception):
        return f"{how} {key!r}: {holder.get(key) if isinstance(holder, dict) else ''!r}"[:200]
    return f"{how} {key!r}"


def nasty_name(chance: random.Random, victim: Path) -> str:
    value = nasty(chance, victim, "name")
    return value if isinstance(value, str) else "other"


def alter_bytes(chance: random.Random, content: bytearray) -> str:
    """Alter a few bytes; what was done."""
    how = chance.choice(["flip", "flip", "byte", "word", "word", "wide", "cut", "more", "zeros"])
    size = len(content)
    at = chance.randrange(size) if size else 0
    if chance.random() < 0.4 and size:  # heads and tails say what the rest is
        at = min(chance.randrange(64), size - 1)
        at = at if chance.random() < 0.5 else size - 1 - at
    if how == "flip" and size:
        content[at] ^= 1 << chance.randrange(8)
    elif how == "byte" and size:
        content[at] = chance.choice([0, 1, 127, 128, 255])
    elif how in ("word", "wide") and size:
        width = 4 if how == "word" else 8
        at -= at % width
        most = 1 << (8 * width)
        value = chance.choice([0, 1, most - 1, most // 2, most // 2 - 1, chance.randrange(most)])
        content[at : at + width] = value.to_bytes(width, "little")
    elif how == "cut":
        del content[at:]
    elif how == "more":
        content[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice([1, 4, 8, 64])))
    elif how == "zeros":
        stop = min(at + chance.choice([1, 8, 64, 1 << 12]), size)
        content[at:stop] = bytes(stop - at)
    return f"{how} at {at} of {size}"


def alter_content(chance: random.Random, path: Path) -> str:
    """Alter a few bytes of a file; what was done."""
    content = bytearray(path.read_bytes())
    done = alter_bytes(chance, content)
    mend_shard(path, content, chance)
    path.write_bytes(content)
    return done


def mend_shard(path: Path, content: bytearray, chance: random.Random) -> None:
    """Make the checksum of a chunk index anew, most of the time."""
    if path.as_posix().endswith("c/0/0") and len(content) >= 20 and chance.random() < 0.8:
        content[-4:] = google_crc32c.value(bytes(content[-20:-4])).to_bytes(4, "little")


def alter_kind(chance: random.Random, path: Path, victim: Path) -> str:
    """Put something else in the place of a file or folder."""
    how = chance.choice(["link", "pipe", "folder", "file", "gone", "loop"])
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if how == "link":
        path.symlink_to(victim if chance.random() < 0.5 else victim / "file")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
        (path / "inside").write_text("x")
    elif how == "file":
        path.write_bytes(b"x")
    elif how == "loop":
        path.symlink_to(path)
    return how


def alter(chance: random.Random, store: Path, victim: Path) -> str:
    """Alter one thing of a store; what was done."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    how = chance.choices(["manifest", "json", "bytes", "kind", "format"], [30, 25, 55, 8, 6])[0]
    if how == "manifest":
        path = min((store / "manifests").iterdir())
        body = load_manifest(path)
        done = alter_json(chance, victim, body)
        write_manifest(path, body)
    elif how == "format":
        path = store / "format.json"
        body = json.loads(path.read_bytes())
        del body["xxh3"]
        done = alter_json(chance, victim, body)
        own = seal(json.dumps(body, sort_keys=True).encode())
        path.write_bytes(dump({**body, "xxh3": own}))
    elif how == "json":
        path = chance.choice(
            [f for f in files if f.name in ("segment.json", "index.json", "zarr.json")]
        )
        body = json.loads(path.read_bytes())
        done = alter_json(chance, victim, body)
        path.write_bytes(dump(body))
        reseal(store, path)
    elif how == "bytes":
        kind = chance.choice(sorted({kind_of(path) for path in files if kind_of(path)}))
        path = chance.choice([file for file in files if kind_of(file) == kind])
        done = alter_content(chance, path)
        reseal(store, path)
    else:
        path = chance.choice(sorted(store.rglob("*")))
        done = alter_kind(chance, path, victim)
    return f"{how} {path.relative_to(store)} {done}"


def kind_of(path: Path) -> str:
    """A name for files of one format; "" for documents."""
    if path.name.endswith("json") or "encoder" in path.parts:
        return ""
    return path.parts[-4] if path.name == "0" else path.suffix or path.name


# What is done with it


def same_as_scan(store: Path) -> None:
    """A search answers by the store's own codes, whatever they are."""
    searcher = ssah_index.open(store)
    snapshot = searcher.snapshot
    codes = snapshot.codes(np.arange(len(snapshot)))
    live = np.concatenate([np.empty(0, np.bool_), *(s.keep() for s in snapshot.segments)])
    queries = random_codes(7, 3, 8 * snapshot.nbytes, 4)
    for k, radius in ((5, None), (None, 10)):
        found = searcher.search(queries, k=k, radius=radius)
        expected = naive.search(codes, queries, k, radius, live)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.distances, expected.distances)


def command(*words: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        group.main([str(word) for word in words], prog_name="ssah-index", standalone_mode=False)


def add(store: Path) -> None:
    Store.open(store).append(
        random_codes(8, 2, BITS), {"id": ["new-1", "new-2"]}, on_duplicate="skip"
    )


def mended(store: Path) -> None:
    """What repair leaves is whole."""
    report = repair(Store.open(store))
    left = {damage.file for damage in verify(Store.open(store))}
    assert left <= set(report.left), (left, report)


READS: dict[str, Callable[[Path, Path], Any]] = {
    "info": lambda store, out: command("info", store),
    "failures": lambda store, out: command("info", store, "--failures"),
    "history": lambda store, out: command("history", store),
    "verify": lambda store, out: command("verify", store, "--quiet"),
    "search": lambda store, out: same_as_scan(store),
    "old": lambda store, out: ssah_index.open(store, "old").search(np.zeros(8, np.uint8), k=2),
    "find": lambda store, out: Store.open(store).snapshot().find(["s0-3", "o7", "none"]),
    "take": lambda store, out: (s := Store.open(store).snapshot()).take(np.arange(min(len(s), 9))),
    "parquet": lambda store, out: export(Store.open(store).snapshot(), out / "all.parquet"),
    "csv": lambda store, out: export(Store.open(store).snapshot(), out / "all.csv"),
    "encoder": lambda store, out: Store.open(store).load_encoder(),
}  # fmt: skip
WRITES: dict[str, Callable[[Path], Any]] = {
    "index": lambda store: build_index(Store.open(store), "image", kind="mih"),
    "delete": lambda store: Store.open(store).delete(["s0-3"]),
    "add": add,
    "compact": lambda store: compact(Store.open(store)),
    "rebuild": lambda store: build_index(Store.open(store), "text", kind="mih", rebuild=True),
    "gc": lambda store: collect(Store.open(store), grace_s=0),
}
MENDS: dict[str, Callable[[Path], Any]] = {
    "repair": mended,
    "search": same_as_scan,
    "gc": lambda store: collect(Store.open(store), grace_s=0),
}


class Watch:
    """Every path that the process opens, lists, moves or removes outside where it may."""

    EVENTS = frozenset({
        "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
        "os.truncate", "os.listdir", "os.scandir", "os.chmod", "os.utime", "shutil.rmtree",
        "shutil.move", "os.chown",
    })  # fmt: skip

    def __init__(self) -> None:
        self.forbidden = ""
        self.touched: list[str] = []
        sys.addaudithook(self._told)

    def _told(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.forbidden or event not in self.EVENTS:
            return
        folder, self.forbidden = self.forbidden, ""  # what follows opens files itself
        try:
            folders = [a for a in args if type(a) is int and a > 2 and event != "open"]
            for path in args[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    named = Path(os.fsdecode(path))
                    if folders:
                        named = Path(f"/proc/self/fd/{folders[0]}") / named
                    self._reached(event, named, folder, args)
        except (OSError, ValueError):
            pass
        finally:
            self.forbidden = folder

    def _reached(self, event: str, named: Path, folder: str, args: tuple[Any, ...]) -> None:
        """Note a path if it leads to where nobody may go."""
        itself = Path(os.path.realpath(named.parent), named.name)
        follows = event in ("os.listdir", "os.scandir") or (
            event == "open" and not args[2] & os.O_NOFOLLOW
        )
        for reached in (itself, Path(os.path.realpath(named)) if follows else itself):
            if reached.is_relative_to(folder):
                self.touched.append(f"{event} {reached}")


def listing(folder: Path) -> list[Any]:
    """All that is below a folder, with content and times."""
    found = []
    for path in sorted([folder, *folder.rglob("*")]):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((str(path), facts.st_mode, facts.st_mtime_ns, content))
    return found


def attempt(name: str, do: Callable[[], Any]) -> str | None:
    """Do something; what is wrong with how it ended."""
    try:
        try:
            do()
        except SsahError as error:
            str(error).encode()  # it can be shown
    except Exception:
        return f"{name}: {traceback.format_exc()[-1500:]}"
    return None


def try_case(
    folder: Path, number: int, seed: int, watch: Watch, share: float = 1.0
) -> dict[str, Any]:
    """Alter a copy of the template and use it in all ways, or a share of them."""
    chance = random.Random(f"{seed}-{number}")
    uses = random.Random(f"{number}-{seed}")
    base = folder / f"case-{seed}"
    shutil.rmtree(base, ignore_errors=True)
    victim, out, store = base / "victim", base / "out", base / "store.ssah"
    out.mkdir(parents=True)
    shutil.copytree(make_template(folder), store, symlinks=True)
    entry = json.loads(min((store / "manifests").iterdir()).read_bytes())["manifest"]["segments"][0]
    shutil.copytree(store / "segments" / entry["folder"], victim)  # it would do as a segment
    (victim / "file").write_text("precious")
    done = alter(chance, store, victim)
    second = base / "second.ssah"
    subprocess.run(["cp", "-a", store, second], check=True)  # which copies pipes as well
    before = listing(victim)
    watch.touched, watch.forbidden = [], os.path.realpath(victim)
    ways = [(name, partial(read, store, out)) for name, read in READS.items()]
    ways += [(name, partial(write, store)) for name, write in WRITES.items()]
    ways += [(f"mend: {name}", partial(mend, second)) for name, mend in MENDS.items()]
    faults = [attempt(name, way) for name, way in ways if uses.random() < share]
    watch.forbidden = ""
    faults += [f"touched {path}" for path in watch.touched]
    if listing(victim) != before:
        faults.append("the victim was changed")
    return {"case": number, "done": done, "faults": [fault for fault in faults if fault]}


def main() -> None:
    """Try some cases."""
    faulthandler.enable()
    folder, share = Path(sys.argv[1]), float(sys.argv[5])
    seed, first, last = map(int, sys.argv[2:5])
    os.fsync = lambda descriptor: None  # nobody pulls the plug here
    make_template(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    watch = Watch()
    for number in range(first, last):
        tell({"begun": number})
        signal.alarm(CASE_S)
        begun = time.monotonic()
        told = try_case(folder, number, seed, watch, share)
        told["s"] = round(time.monotonic() - begun, 2)
        tell(told)
    signal.alarm(0)


def tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
