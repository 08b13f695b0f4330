"""Engines that make segments fast to search; all answer by (distance, row).

Those of a store are in `ssah_index.index.stored`, which loads the store; arrays do without.
"""

from ssah_index.index.flat import FlatIndex
from ssah_index.index.mih import MihIndex
from ssah_index.index.mih_plan import MihPlan

__all__ = ["FlatIndex", "MihIndex", "MihPlan"]
