"""Segments, rows, manifests: what is on disk, and nothing above it."""

from ssah_index.store.collect import CollectReport, collect
from ssah_index.store.compact import CompactReport, compact
from ssah_index.store.manifest import Manifest, SegmentEntry
from ssah_index.store.segment import Segment, stage_segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.store import Store
from ssah_index.store.verify import Damage, verify

__all__ = [
    "CollectReport",
    "CompactReport",
    "Damage",
    "Manifest",
    "Segment",
    "SegmentEntry",
    "Snapshot",
    "Store",
    "collect",
    "compact",
    "stage_segment",
    "verify",
]
