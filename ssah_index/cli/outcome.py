"""What build and append tell at their end: what was written, what failed, how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from ssah_index.cli.console import say
from ssah_index.errors import StoreMissingError
from ssah_index.ingest import BuildReport
from ssah_index.store import Store

INTERRUPTED = 130
MANY_SEGMENTS = 100
"""Segments from which merging them is worth a line."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, so that what is encoded is committed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tell_interrupted(store: str) -> int:
    """Say what was kept and how to go on; returns the exit code."""
    try:
        rows = Store.open(store).snapshot().live
        kept = f"{rows:,} rows are in {store}"
    except StoreMissingError:
        kept = "nothing was written yet"
    say(f"Interrupted: {kept}; run the same command again to go on.")
    return INTERRUPTED


def tell_done(store: str, report: BuildReport, quiet: bool) -> int:
    """Say what a run did, the failures even if quiet; returns the exit code."""
    if not quiet:
        counts = {
            "were there already": report.skipped,
            "replaced": report.replaced,
            "no longer failing": report.mended,
        }
        more = "".join(f", {count:,} {words}" for words, count in counts.items() if count)
        say(f"{store}: {report.written:,} rows written in {report.elapsed_s:.1f} s{more}")
        snapshot = Store.open(store).snapshot()
        say(f"{snapshot.count('image'):,} images and {snapshot.count('text'):,} texts")
        if len(snapshot.segments) >= MANY_SEGMENTS:
            say(f"{len(snapshot.segments)} segments; merge them with: ssah-index compact {store}")
    if report.failed:
        say(
            f"{report.failed:,} rows failed; see them with: ssah-index info {store} --failures. "
            "The same command tries them again."
        )
    return 3 if report.failed else 0
