"""Segments, rows, manifests: what is on disk, and nothing above it."""

from ssah_index.store.manifest import Manifest, SegmentEntry
from ssah_index.store.segment import Segment, stage_segment
from ssah_index.store.snapshot import Snapshot
from ssah_index.store.store import Store
from ssah_index.store.verify import Damage, verify

__all__ = [
    "Damage",
    "Manifest",
    "Segment",
    "SegmentEntry",
    "Snapshot",
    "Store",
    "stage_segment",
    "verify",
]
