"""Plans a search over the segments of a snapshot and merges what their indexes answer."""

from ssah_index.search.searcher import Searcher, open_store

__all__ = ["Searcher", "open_store"]
