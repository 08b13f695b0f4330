"""Readers of input files, and what turns them into rows of a store, or rows into files."""

from ssah_index.ingest.build import append, build
from ssah_index.ingest.exports import export
from ssah_index.ingest.imports import ImportReport, import_codes
from ssah_index.ingest.readers import SourceSpec, open_reader
from ssah_index.ingest.run import BuildReport, BuildSpec
from ssah_index.ingest.target import check_target, open_target

__all__ = [
    "BuildReport",
    "BuildSpec",
    "ImportReport",
    "SourceSpec",
    "append",
    "build",
    "check_target",
    "export",
    "import_codes",
    "open_reader",
    "open_target",
]
