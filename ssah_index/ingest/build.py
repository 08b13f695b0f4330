"""Build and append: the items of a source into a store; what was cut off goes on.

A run first compares the source with the store (`plan`), refuses what cannot be meant, and then
encodes and commits what is missing (`run`). The same command again does what is missing still.
"""

from __future__ import annotations

import os
import time
from functools import partial

from ssah_index.errors import StoreExistsError
from ssah_index.ingest.plan import Plan, compare
from ssah_index.ingest.run import BuildReport, BuildSpec, Run, Work
from ssah_index.ingest.share import Failures
from ssah_index.ingest.target import check_source, check_target, open_target
from ssah_index.store import Policy, Store, check_policy, refuse
from ssah_index.types import Encoder, Progress, Reader, no_progress

SHOWN = 5
"""Ids that an error names."""
ATTEMPTS = 3
"""How often a source is compared with a store that others make or fill meanwhile."""


def build(
    reader: Reader,
    path: str | os.PathLike[str],
    encoder: Encoder,
    *,
    spec: BuildSpec | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Build a store of one source, or bring one up to date.

    What has no row is encoded: items that are new, that failed before, that an interrupted
    build did not come to, or whose rows were deleted since.

    Parameters
    ----------
    reader : Reader
        The source.
    path : path or URL
        The store: absent, or built from this source with the same encoder. It is made when
        the first rows are encoded.
    encoder : Encoder
        Saved into the store.
    spec : BuildSpec, optional
    progress : Progress, optional
        Told after every batch.

    Returns
    -------
    BuildReport

    Raises
    ------
    StoreExistsError
        If the store has rows that are not in the source, or items have changed since they
        were built. Nothing is encoded then.
    EncoderError
        If the store was begun with another encoder, or the encoder answers wrongly.
    RowsError
        If a column has a name or type that a store cannot take.
    SourceError
        If not one row of the source could be encoded; the ledger has the reasons.
    WriteFailedError
        If the disk is full or cannot be written; what was committed stays.
    KeyboardInterrupt
        After what was encoded has been committed.
    """
    begun_s = time.monotonic()
    make = partial(
        Store.create, path,
        bits=encoder.bits, fingerprint=encoder.fingerprint, save_encoder=encoder.save,
    )  # fmt: skip
    for attempt in range(ATTEMPTS):
        store = open_target(path, encoder)
        columns = check_source(reader, store)
        snapshot = store.snapshot() if store else None
        fresh = snapshot is None or snapshot.generation == 0
        plan = compare(reader, snapshot, progress, alone=True)
        _refuse_others(plan, path)
        failures = Failures(() if snapshot is None else snapshot.failures())
        work = Work(reader, encoder, columns, spec or BuildSpec(), "skip", progress, begun_s)
        try:
            return Run(work, plan, failures, store, make, fresh).report()
        except StoreExistsError:  # another build was first, since the comparison
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _refuse_others(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Refuse a store that holds more than the source, or something else."""
    if plan.strangers:
        raise StoreExistsError(
            f"{path} holds rows of another input: {plan.strangers.count:,} that are not in "
            f"this one, the first the {plan.strangers.modality} {plan.strangers.id!r}",
            "a store of this very input, or none",
            "Add to it with ssah-index append, delete those rows with ssah-index delete, or "
            "build into another path.",
        )
    if plan.changed_ids:
        ids = list(dict.fromkeys(plan.changed_ids))
        shown = ", ".join(map(repr, ids[:SHOWN])) + " and more" * (len(ids) > SHOWN)
        raise StoreExistsError(
            f"{len(ids):,} items have changed since they were built into {path}: {shown}",
            "items as they were, or new ones",
            "To put them in the place of the old ones, run ssah-index append with "
            "--on-duplicate replace; or build into another path.",
        )


def append(
    reader: Reader,
    store: Store,
    encoder: Encoder,
    *,
    on_duplicate: Policy = "error",
    spec: BuildSpec | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Add the items of a source to a store, or go on with an append that was interrupted.

    Items whose rows were made of them as they are now are there already, under every policy.

    Parameters
    ----------
    reader : Reader
        The source.
    store : Store
        With ids that are strings.
    encoder : Encoder
        The one that made the store's codes.
    on_duplicate : {"error", "skip", "replace"}
        What becomes of an item whose id has a row that was made of something else, or of
        which that is not known: stop before anything is encoded; leave it out; or encode it
        and let it take the place of the row that is there.
    spec, progress
        As `build` takes them.

    Raises
    ------
    DuplicateIdError
        If an id is there already, and that is an error.
    EncoderError
        If the encoder is another one, or answers wrongly.
    SpecError
        If the store's ids are int64, which items do not have.
    RowsError, SourceError, WriteFailedError, KeyboardInterrupt
        As `build` does.
    """
    begun_s = time.monotonic()
    check_policy(on_duplicate)
    check_target(store, encoder)
    columns = check_source(reader, store)
    snapshot = store.snapshot()
    plan = compare(reader, snapshot, progress, alone=False)
    if plan.changed_ids and on_duplicate == "error":
        raise refuse(list(dict.fromkeys(plan.changed_ids)), "in the store already")
    work = Work(reader, encoder, columns, spec or BuildSpec(), on_duplicate, progress, begun_s)
    return Run(work, plan, Failures(snapshot.failures()), store, lambda: store).report()
