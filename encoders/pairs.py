"""Training pairs as tensors, and how files become them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from encoders.config import TrainSpec
from encoders.data import label_matrix
from encoders.inputs import Inputs
from encoders.trunks import open_trunk
from encoders.words import Vocabulary, WordCounts, words_of
from ssah_index.errors import ItemError, SourceError
from ssah_index.types import Item, Progress

READ_ROWS = 64
"""Pairs that are read before their inputs are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """Pairs in memory; row i of each is one pair."""

    images: Tensor
    """uint8 (n, 3, size, size) pixels, 12 KiB each at 64 pixels and 147 KiB at 224, or
    float32 (n, d) features."""
    bags: Tensor
    """float32 (n, words), of unit length; or vectors of a sentence encoder."""
    labels: Tensor
    """float32 (n, c) of 0 and 1."""

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, chosen: Tensor) -> TrainingSet:
        """Copies of the chosen rows, int64 (m,), in their order."""
        return TrainingSet(
            images=self.images[chosen], bags=self.bags[chosen], labels=self.labels[chosen]
        )

    def to(self, device: torch.device) -> TrainingSet:
        """The same pairs in a device's memory."""
        return TrainingSet(
            images=self.images.to(device), bags=self.bags.to(device), labels=self.labels.to(device)
        )

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """The three by name."""
        return {f"{prefix}{field.name}": getattr(self, field.name) for field in fields(self)}


def read_pairs(
    items: Sequence[Item], spec: TrainSpec, report: Callable[[str], None], progress: Progress
) -> tuple[TrainingSet, Inputs, tuple[str, ...]]:
    """Decode the pairs among items and learn their vocabulary and labels.

    Returns
    -------
    pairs, inputs, label names

    Raises
    ------
    SourceError
        If there are fewer pairs than a batch, no word is frequent enough for a
        vocabulary, or no label is; or the trunk cannot be opened.
    MissingExtraError
        If the trunk or the text encoder is not installed.
    """
    found = [(i, i.image, i.text) for i in items if i.image is not None and i.text]
    if len(found) < 2:
        raise SourceError(
            f"{len(found)} of {len(items)} items have both an image and a text",
            "pairs to train on",
            "Put a .txt file of the same stem, or a table of path and text, beside the images.",
        )
    texts = [text for _, _, text in found]
    vocabulary = _vocabulary(texts, spec, report)
    labels = label_sets([item for item, _, _ in found], texts, spec)
    trunk = None if spec.image_trunk == "pixels" else open_trunk(spec.image_trunk)
    inputs = Inputs(spec, vocabulary, trunk)
    images, bags, kept, reasons = _read([pair[1:] for pair in found], inputs, progress)
    if reasons:
        report(f"{len(reasons):,} of {len(found):,} pairs are left out; the first: {reasons[0]}")
    if len(kept) < spec.batch_rows:
        raise SourceError(
            f"{len(kept)} pairs can be trained on",
            f"at least one batch of {spec.batch_rows}",
            "Train on more pairs, or lower batch_rows.",
        )
    own = [labels[number] for number in kept]
    names = tuple(sorted({name for some in own for name in some}))
    columns = "words" if len(vocabulary) else "text features"
    report(f"{len(kept):,} pairs, {inputs.text_width:,} {columns}, {len(names):,} labels")
    pairs = TrainingSet(
        images=torch.cat(images), bags=torch.cat(bags), labels=label_matrix(own, names)
    )
    return pairs, inputs, names


def _vocabulary(texts: Sequence[str], spec: TrainSpec, report: Callable[[str], None]) -> Vocabulary:
    """The words of the texts; none where a sentence encoder reads them."""
    if spec.text_encoder != "bag":
        return Vocabulary([], spec.words)
    counts = WordCounts(texts, spec.words)
    vocabulary = counts.vocabulary(spec.min_word_texts, spec.max_words)
    if not len(vocabulary):
        raise SourceError(
            f"no word stands in {spec.min_word_texts} of the {len(texts)} texts",
            "words that repeat",
            "Train on more texts, or lower min_word_texts.",
        )
    for sentence in counts.left_out(spec.min_word_texts, spec.max_words):
        report(sentence)
    return vocabulary


def _read(
    found: Sequence[tuple[Path, str]], inputs: Inputs, progress: Progress
) -> tuple[list[Tensor], list[Tensor], list[int], list[str]]:
    """Rows of images and of texts in pieces, which pairs they are of, why others failed.

    A piece at a time, so that with a frozen trunk no more than that is held as pixels.
    """
    images, bags, kept, reasons = [], [], [], []
    for start in range(0, len(found), READ_ROWS):
        rows = []
        for number, (path, text) in enumerate(found[start : start + READ_ROWS], start):
            progress(number + 1, len(found), "reading pairs")
            try:
                rows.append((inputs.read("image", path), inputs.read("text", text)))
            except ItemError as error:
                reasons.append(str(error))
                continue
            kept.append(number)
        if rows:
            pixels, texts = zip(*rows, strict=True)
            images.append(inputs.stack("image", pixels))
            bags.append(inputs.stack("text", texts))
    return images, bags, kept, reasons


def label_sets(
    pairs: Sequence[Item], texts: Sequence[str], spec: TrainSpec
) -> list[tuple[str, ...]]:
    """Labels of each pair: its own, or its text's frequent words where no pair has any.

    Raises
    ------
    SourceError
        If no pair has labels and no word is frequent enough to serve as one.
    """
    if any(pair.labels for pair in pairs):
        return [pair.labels for pair in pairs]
    counts = WordCounts(texts, spec.words)
    frequent = set(counts.vocabulary(spec.min_label_texts, spec.max_words).words)
    if not frequent:
        raise SourceError(
            f"no pair has labels, and no word stands in {spec.min_label_texts} texts",
            "labels, or words frequent enough to serve as labels",
            "Add a column of labels, or lower min_label_texts.",
        )
    return [tuple(w for w in words_of(text, spec.words) if w in frequent) for text in texts]


def set_aside(pairs: TrainingSet, spec: TrainSpec) -> tuple[TrainingSet, TrainingSet | None]:
    """Pairs to train on, and ``validation_share`` of them, chosen by the seed, to judge by.

    Raises
    ------
    SourceError
        If either part would be too small.
    """
    if not spec.validation_share:
        return pairs, None
    held = round(len(pairs) * spec.validation_share)
    if not held or len(pairs) - held < spec.batch_rows:
        raise SourceError(
            f"a validation share of {spec.validation_share} takes {held} of {len(pairs)} pairs",
            f"at least one, and at least one batch of {spec.batch_rows} left to train on",
            "Change validation_share, lower batch_rows, or train on more pairs.",
        )
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(spec.seed))
    return pairs.rows(order[held:].sort().values), pairs.rows(order[:held].sort().values)
