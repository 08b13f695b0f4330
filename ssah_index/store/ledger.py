"""The ledger: rows that got no code, as a log.

Each segment may have a file of records. They count in order of insertion: a later record of
the same row replaces an earlier one, and a record with an empty reason takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import pyarrow as pa

from ssah_index.types import Failure

LEDGER_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "source", "modality", "reason")])
Key: TypeAlias = tuple[str, str, str]
"""Modality, id and source: what two records of one row have in common."""


def ledger_key(record: Failure) -> Key:
    """What the record is about."""
    return record.modality, record.id, record.source


def last_records(records: Iterable[Failure]) -> dict[Key, Failure]:
    """The last record of each row, those that take one back included."""
    return {ledger_key(record): record for record in records}


def standing_failures(records: Iterable[Failure]) -> list[Failure]:
    """Rows that still fail, by their last records, in order of the first ones."""
    return [record for record in last_records(records).values() if record.reason]
