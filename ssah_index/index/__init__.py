"""Engines that make segments fast to search; all answer by (distance, row).

`ssah_index.index.stored` opens those of a store; each other engine is imported where a store has
one, since its kernels take a tenth of a second to load.
"""

from ssah_index.index.flat import FlatIndex

__all__ = ["FlatIndex"]
