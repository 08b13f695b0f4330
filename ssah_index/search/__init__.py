"""Plans a search over the segments of a snapshot, and joins ids to what their index answers."""

from ssah_index.search.arrays import search_codes, warm_up
from ssah_index.search.searcher import Searcher, open_store

__all__ = ["Searcher", "open_store", "search_codes", "warm_up"]
