"""What the entry point ``ssah`` of the group ``ssah_index.encoders`` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.config import TrainSpec
from encoders.curves import import_matplotlib
from encoders.evaluate import evaluate
from encoders.export import SsahEncoder
from encoders.report import plot
from encoders.train import check, train
from ssah_index.types import Item, Labelled, Modality, Progress, no_progress


class Ssah:
    """The kind of encoder that this package trains; an `ssah_index.types.CheckingKind`."""

    def load(self, folder: Path) -> SsahEncoder:
        """Open an encoder folder."""
        return SsahEncoder.load(folder)

    def check(
        self,
        options: Mapping[str, Any],
        *,
        resume: Path | None = None,
        log: Path | None = None,
    ) -> None:
        """Refuse options and files that training would refuse, before items are read."""
        check(TrainSpec.of(options), resume, log)

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
        queries: Mapping[Modality, Labelled],
        database: Mapping[Modality, Labelled],
        *,
        pairs: NDArray[np.int64] | None = None,
        plots: Path | None = None,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """The figures of `encoders.report.Report`, and its plots."""
        if plots is not None:
            import_matplotlib("figure")  # refuses before the work, not after it
        report = evaluate(queries, database, pairs=pairs, progress=progress)
        if plots is not None:
            plot(report, plots)
        return report.to_json()


kind = Ssah()
