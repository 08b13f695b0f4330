"""The store that rows go to: what must fit is checked before anything is read or encoded."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa

from ssah_index.errors import (
    EncoderError,
    RowsError,
    SourceError,
    SpecError,
    StoreExistsError,
    StoreMissingError,
)
from ssah_index.store import Store, items_table, writing
from ssah_index.store.columns import base_schema, decode_columns, merge_columns
from ssah_index.types import Encoder, Reader


def open_target(path: str | os.PathLike[str], encoder: Encoder) -> Store | None:
    """Open the store at a path if there is one, and see that one can be made if there is not.

    Returns
    -------
    Store or None
        None where nothing is yet. Nothing is made there, either.

    Raises
    ------
    StoreExistsError
        If there is something else at the path.
    WriteFailedError
        If the path cannot be written.
    EncoderError, SpecError
        As `check_target` does.
    """
    with writing(Path(path)):
        try:
            store = Store.open(path)
        except StoreMissingError:
            if "://" not in os.fspath(path):
                _check_free(Path(path))
            return None
    check_target(store, encoder)
    return store


def _check_free(path: Path) -> None:
    """See that a path is free and can be made."""
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise StoreExistsError(
            f"there is something at {path} already, and it is no store",
            "a path that is free",
            "Choose another path, or remove what is there.",
        )
    _write_below(next(folder for folder in path.absolute().parents if folder.exists()))


def check_writable(store: Store) -> None:
    """See that a store in a folder can be written; in an object store only a commit can tell.

    Raises
    ------
    WriteFailedError
        If it cannot.
    """
    if "://" not in str(store.place):
        with writing(store.path):
            _write_below(store.path)


def _write_below(folder: Path) -> None:
    """Write into a folder, and leave nothing there."""
    with tempfile.TemporaryDirectory(prefix=".ssah-", dir=folder):
        pass


def check_target(store: Store, encoder: Encoder) -> None:
    """See that an encoder's codes of items can go to a store.

    Raises
    ------
    EncoderError
        If the store's codes are another encoder's.
    SpecError
        If the store's ids are int64, which items do not have.
    """
    if store.format.ids != "string":
        raise SpecError(
            f"{store.place} has ids of type {store.format.ids}",
            "string ids, as items have",
            "Append codes and rows with Store.append, or ssah-index import.",
        )
    if store.format.encoder != encoder.fingerprint:
        raise EncoderError(
            f"{store.place} was begun with encoder {store.format.encoder}, this one is "
            f"{encoder.fingerprint}",
            "the same encoder",
            "Use that encoder, or build into another path.",
        )
    if store.format.bits != encoder.bits:
        raise EncoderError(
            f"{store.place} has codes of {store.format.bits} bits, encoder "
            f"{encoder.fingerprint} makes {encoder.bits}",
            "codes of one width",
            "Use the encoder inside the store, or build into another path.",
        )


def check_source(reader: Reader, store: Store | None) -> pa.Schema:
    """See that a store can take the rows of a source; returns the users' columns of it.

    Raises
    ------
    RowsError
        If a column has a name or type that a store cannot take.
    SourceError
        If there are no rows, or a column has values of several types.
    """
    if not len(reader):
        raise SourceError("the input has no rows", "an image or a text", "Check the path.")
    own = reader.columns()
    base = base_schema("string").names
    taken = [name for name in own.names if name in base]
    if taken:
        raise RowsError(
            f"the input has columns {', '.join(map(repr, taken))} of the user's own",
            f"other names than {', '.join(base)}, which a store gives to its own columns",
            "Rename those columns.",
        )
    items_table([], "text", own)
    if store is not None:
        merge_columns(decode_columns(store.newest().columns), own)
    return own
