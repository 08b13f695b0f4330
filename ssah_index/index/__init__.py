"""Engines that make segments fast to search; all answer by (distance, row)."""

from ssah_index.index.flat import FlatIndex

__all__ = ["FlatIndex"]
