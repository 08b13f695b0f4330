"""Readers of input files, and the resumable build that turns them into a store."""

from ssah_index.ingest.build import BuildReport, BuildSpec, build
from ssah_index.ingest.readers import open_reader

__all__ = ["BuildReport", "BuildSpec", "build", "open_reader"]
