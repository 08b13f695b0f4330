"""What the entry point ``ssah`` of the group ``ssah_index.encoders`` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from encoders.config import TrainSpec
from encoders.evaluate import mean_average_precision
from encoders.export import SsahEncoder
from encoders.train import train
from ssah_index.types import Codes, Item, Progress


class Ssah:
    """The kind of encoder that this package trains; an `ssah_index.types.EncoderKind`."""

    def load(self, folder: Path) -> SsahEncoder:
        """Open an encoder folder."""
        return SsahEncoder.load(folder)

    def train(
        self,
        items: Sequence[Item],
        *,
        options: Mapping[str, Any],
        report: Callable[[str], None],
        progress: Progress,
        resume: Path | None = None,
        log: Path | None = None,
    ) -> SsahEncoder:
        """Train on labelled pairs."""
        spec = TrainSpec.of(options)
        return train(items, spec, report=report, progress=progress, resume=resume, log=log)

    def evaluate(
        self,
        query_codes: Codes,
        query_labels: Sequence[tuple[str, ...]],
        database_codes: Codes,
        database_labels: Sequence[tuple[str, ...]],
    ) -> float:
        """Mean average precision over the whole ranking."""
        return mean_average_precision(query_codes, query_labels, database_codes, database_labels)


kind = Ssah()
