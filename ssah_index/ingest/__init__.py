"""Readers of input files, and what turns them into rows of a store, or rows into files."""

from ssah_index.ingest.build import BuildReport, BuildSpec, append, build
from ssah_index.ingest.exports import export
from ssah_index.ingest.imports import ImportReport, import_codes
from ssah_index.ingest.readers import SourceSpec, open_reader

__all__ = [
    "BuildReport",
    "BuildSpec",
    "ImportReport",
    "SourceSpec",
    "append",
    "build",
    "export",
    "import_codes",
    "open_reader",
]
