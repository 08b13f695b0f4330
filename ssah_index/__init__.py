"""ssah-index: packed binary codes, searched exactly by Hamming distance.

``import ssah_index`` loads nothing heavy; names are fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssah_index.codes import pack, unpack
    from ssah_index.search import Searcher, search_codes, warm_up
    from ssah_index.search import open_store as open
    from ssah_index.stop import Stop
    from ssah_index.store import Store

__version__ = "0.1.0"
__all__ = ["Searcher", "Stop", "Store", "open", "pack", "search_codes", "unpack", "warm_up"]

_HOME = {
    "Searcher": ("ssah_index.search", "Searcher"),
    "Stop": ("ssah_index.stop", "Stop"),
    "Store": ("ssah_index.store", "Store"),
    "open": ("ssah_index.search", "open_store"),
    "pack": ("ssah_index.codes", "pack"),
    "search_codes": ("ssah_index.search", "search_codes"),
    "unpack": ("ssah_index.codes", "unpack"),
    "warm_up": ("ssah_index.search", "warm_up"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)
