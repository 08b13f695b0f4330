"""Segments, rows, manifests: what is on disk, and nothing above it."""

from ssah_index.store.append import AppendReport, Committed
from ssah_index.store.collect import CollectReport, collect
from ssah_index.store.columns import items_table, parse_ids
from ssah_index.store.compact import CompactReport, compact
from ssah_index.store.drafts import IndexDraft, IndexWork
from ssah_index.store.duplicates import Policy, refuse
from ssah_index.store.fields import Fields
from ssah_index.store.files import writing
from ssah_index.store.format import IdKind
from ssah_index.store.indexes import INDEXES, IndexFiles
from ssah_index.store.manifest import ABOUT, IndexEntry, Manifest, SegmentEntry, leave_aside
from ssah_index.store.repair import RepairReport, repair
from ssah_index.store.segment import Segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.stage import stage_segment
from ssah_index.store.store import Store
from ssah_index.store.verify import Damage, verify

__all__ = [
    "ABOUT",
    "INDEXES",
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
    "Manifest",
    "Policy",
    "RepairReport",
    "Segment",
    "SegmentEntry",
    "Snapshot",
    "Store",
    "collect",
    "compact",
    "items_table",
    "leave_aside",
    "parse_ids",
    "refuse",
    "repair",
    "stage_segment",
    "verify",
    "writing",
]
