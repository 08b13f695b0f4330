"""Segments, rows, manifests: what is on disk, and nothing above it."""

from ssah_index.store.append import AppendReport, Committed
from ssah_index.store.collect import CollectReport, collect
from ssah_index.store.columns import items_table
from ssah_index.store.compact import CompactReport, compact
from ssah_index.store.drafts import IndexDraft, IndexWork
from ssah_index.store.duplicates import Policy, check_policy, once, refuse
from ssah_index.store.fields import Fields
from ssah_index.store.files import writing
from ssah_index.store.format import IdKind
from ssah_index.store.ids import id_column, id_kind, ids_array, parse_ids, read_ids
from ssah_index.store.indexes import INDEXES, IndexFiles
from ssah_index.store.ledger import Key, last_records, ledger_key
from ssah_index.store.manifest import ABOUT, IndexEntry, Manifest, SegmentEntry, leave_aside
from ssah_index.store.repair import RepairReport, repair
from ssah_index.store.segment import ORIGIN_FIELDS, Segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.stage import stage_segment
from ssah_index.store.store import Store
from ssah_index.store.tags import parse_generation
from ssah_index.store.verify import Damage, verify

__all__ = [
    "ABOUT",
    "INDEXES",
    "ORIGIN_FIELDS",
    "AppendReport",
    "CollectReport",
    "Committed",
    "CompactReport",
    "Damage",
    "Fields",
    "IdKind",
    "IndexDraft",
    "IndexEntry",
    "IndexFiles",
    "IndexWork",
    "Key",
    "Manifest",
    "Policy",
    "RepairReport",
    "Segment",
    "SegmentEntry",
    "Snapshot",
    "Store",
    "check_policy",
    "collect",
    "compact",
    "id_column",
    "id_kind",
    "ids_array",
    "items_table",
    "last_records",
    "leave_aside",
    "ledger_key",
    "once",
    "parse_generation",
    "parse_ids",
    "read_ids",
    "refuse",
    "repair",
    "stage_segment",
    "verify",
    "writing",
]
