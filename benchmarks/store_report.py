"""The tables of the store's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from benchmarks.store_rows import ROW_BYTES
from benchmarks.store_steps import ASKED, FEW, MORE, SMALL_ROWS

Figures: TypeAlias = Mapping[str, Any]
WAYS = {"take": "position", "find": "id"}


def store(figures: Figures) -> str:
    """All tables, from what the file of figures holds."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    flush, read = (figures["conditions"].get(name) for name in ("flush", "read"))
    text = (
        f"A store of {figures['rows']:,} rows beside Lance and Delta, the same rows in the same "
        f"run: a code of 64 bits, an int64 id in no order, a text of 42 bytes and three columns to "
        f"filter by, {ROW_BYTES} bytes a row (`python -m benchmarks.store`; {machine['cpu']}, "
        f"{figures['cores']} cores, {versions}; commit {machine['commit']}, {machine['date']}). "
        "Every step is a process of its own, and every row that was looked up was compared with "
        "what was written. Only we flush what we acknowledge to the disk, and only we refuse ids "
        "that are there: the others do less. Writing and flushing a file of 4 KiB took this disk "
        f"{_both(flush)} ms (p50 / p99) just before"
        + (f", and reading 4 KiB that were not in memory {_both(read)} ms." if read else ".")
    )
    tables = [_append(figures), _commits(figures), _opening(figures), _look_ups(figures)]
    return "\n\n".join([text, *tables])


def _append(figures: Figures) -> str:
    made_s = figures["conditions"]["generator"]["s"]
    lines = [
        f"Appending all rows, {made_s:.0f} s of generating them included. Ours are appends of "
        "2^24 rows, or as many segments staged and committed at once, which checks ids against "
        "the other segments alone. Lance writes files of 2^24 rows and then a BTREE index of the "
        "ids; Delta writes snappy Parquet with bloom filters of the ids:",
        "",
        *_head(
            "", "rows/s", "GB/s", "durable", "refuses ids", "index of ids", "bytes a row", "peak MB"
        ),
    ]
    for name, own in figures["contenders"].items():
        for label, way in ((name, "append"), (f"{name}, staged", "staged")):
            if way in own:
                lines.append(_appended(label, own, own[way], figures["rows"]))
    return "\n".join(lines)


def _appended(label: str, own: Figures, made: Figures, rows: int) -> str:
    if "left_out" in made:
        return _line([label, made["left_out"], *["-"] * 6])
    index = own["index"] if label == "lance" else None
    bytes_a_row = (index or made)["bytes_a_row"]
    return _line(
        [
            label,
            f"{rows / made['s']:,.0f}",
            f"{rows * ROW_BYTES / made['s'] / 1e9:.3f}",
            _yes(own["durable"]),
            _yes(own["unique"]),
            f"+ {index['s']:.0f} s, {index['peak_mb']:,.0f} MB" if index else _index(label),
            f"{bytes_a_row:.0f}",
            f"{made['peak_mb']:,.0f}",
        ]
    )


def _index(label: str) -> str:
    return "none" if label == "delta" else "within"


def _commits(figures: Figures) -> str:
    contenders = figures["contenders"]
    count = next(iter(contenders.values()))["commit"].get("count", 0)
    lines = [
        f"Commits of {SMALL_ROWS} rows each, milliseconds p50 / p99: {count} of them to tables of "
        f"at most {FEW}, on the disk and in memory (tmpfs, where flushes cost nothing), then "
        f"{MORE} to a table of 1,000:",
        "",
        *_head("", "on disk", "durable", "in memory", "after 1,000"),
    ]
    for name, own in contenders.items():
        grown = own["opened"].get("1000", {}).get("commit", {})
        in_memory = own.get("commit_in_memory", {})
        lines.append(
            _line(
                [name, _both(own["commit"]), _yes(own["durable"]), _both(in_memory), _both(grown)]
            )
        )
        for part, title in (("stage", "its segment"), ("publish", "its manifest, ids checked")):
            if part in own.get("parts", {}):
                lines.append(_line([f"{name}: {title}", _both(own["parts"][part]), "yes", "", ""]))
    return "\n".join(lines)


def _opening(figures: Figures) -> str:
    counts = sorted({int(n) for own in figures["contenders"].values() for n in own["opened"]})
    lines = [
        "Opening a table and counting its rows after so many commits, ms. Ours looks at "
        "every file; of more than ten commits it is one segment, linked so often:",
        "",
        *_head("", *(f"{count:,}" for count in counts), f"{figures['rows']:,} rows, cold"),
    ]
    for name, own in figures["contenders"].items():
        times = [_at(own["opened"].get(str(count), {}), "open_ms") for count in counts]
        cold = _at(own.get("cold", {}).get("find", {}).get("10", {}), "open_ms")
        lines.append(_line([name, *times, cold]))
    return "\n".join(lines)


def _look_ups(figures: Figures) -> str:
    contenders = figures["contenders"]
    lines = [
        "Looking up id, text and code of random rows, ms, warm / cold (cold: all files of the "
        "table dropped from the system's cache by posix_fadvise, in a new process). Delta knows "
        "no positions. Memory is the peak's growth over all warm look-ups, and mapped files, "
        "which the system may take back, among it:",
        "",
        *_head("by", "rows", *contenders),
    ]
    for way, title in WAYS.items():
        for count in ASKED:
            times = [_looked_up(own, way, str(count)) for own in contenders.values()]
            lines.append(_line([title, f"{count:,}", *times]))
    peaks = [_peak(own.get("warm", {})) for own in contenders.values()]
    lines.append(_line(["memory, MB (mapped)", "", *peaks]))
    return "\n".join(lines)


def _looked_up(own: Figures, way: str, count: str) -> str:
    warm = own.get("warm", {}).get(way, {}).get(count)
    cold = own.get("cold", {}).get(way, {}).get(count, {})
    if warm is None:
        return "-"
    return f"{_ms(warm)} / {cold.get('left_out') or _ms(cold.get('ms'))}"


def _peak(made: Figures) -> str:
    return f"{made['peak_mb']:,.0f} ({made['files_mb']:,.0f})" if "peak_mb" in made else "-"


def _both(made: Figures) -> str:
    return f"{_ms(made['p50_ms'])} / {_ms(made['p99_ms'])}" if "p50_ms" in made else "-"


def _at(made: Figures, name: str) -> str:
    return _ms(made.get(name))


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _head(*titles: str) -> list[str]:
    return [_line(titles), _line(["---"] * len(titles))]


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
