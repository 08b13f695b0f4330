"""Training pairs as tensors, and how files become them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from encoders.assembly import check_text_width
from encoders.config import TrainSpec
from encoders.data import label_matrix
from encoders.inputs import Inputs
from encoders.trunks import open_trunk
from encoders.words import Vocabulary, WordCounts, words_of
from ssah_index.errors import ItemError, SourceError
from ssah_index.types import Item, Progress

READ_ROWS = 64
"""Pairs that are read before their inputs are made."""
LEAST_PAIRS = 2
"""Batch norm and the in-batch terms need as many."""


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


def pairs_among(items: Sequence[Item]) -> list[tuple[Item, Path, str]]:
    """Items with an image and a text that is not blank, and both."""
    return [
        (item, item.image, item.text)
        for item in items
        if item.image is not None and item.text is not None and item.text.strip()
    ]


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
        If there are fewer than two pairs, no word is frequent enough for a vocabulary, or no
        label is; or the trunk cannot be opened. Nothing is decoded before all that can be
        known without is checked.
    SpecError
        If a preset cannot work with so few words.
    MissingExtraError
        If the trunk or the text encoder is not installed.
    """
    found = pairs_among(items)
    lacking = _lacking(items)
    check_count(len(found), spec, f"{len(found):,} of {len(items):,} items are pairs{lacking}")
    if lacking:
        report(f"{len(items) - len(found):,} of {len(items):,} items are left out{lacking}")
    texts = [text for _, _, text in found]
    vocabulary = _vocabulary(texts, spec, report)
    labels = label_sets([item for item, _, _ in found], texts, spec)
    trunk = None if spec.image_trunk == "pixels" else open_trunk(spec.image_trunk)
    inputs = Inputs(spec, vocabulary, trunk)
    check_text_width(spec, inputs.text_width)
    images, bags, kept, reasons = _read([pair[1:] for pair in found], inputs, progress)
    if reasons:
        told = f"{len(reasons):,} of {len(found):,} pairs are left out; the first: {reasons[0]}"
        check_count(len(kept), spec, told)
        report(told)
    own = [labels[number] for number in kept]
    names = tuple(sorted({name for some in own for name in some}))
    if not names:
        raise SourceError(
            f"none of the {len(kept)} pairs that can be read has labels",
            "labels of pairs whose images can be read",
            "Mend the images of the pairs with labels, or label others.",
        )
    columns = "words" if len(vocabulary) else "text features"
    bare = sum(not some for some in own)
    without = f"; {bare:,} pairs have no label" if bare else ""
    report(f"{len(kept):,} pairs, {inputs.text_width:,} {columns}, {len(names):,} labels{without}")
    pairs = TrainingSet(
        images=torch.cat(images), bags=torch.cat(bags), labels=label_matrix(own, names)
    )
    return pairs, inputs, names


def _lacking(items: Sequence[Item]) -> str:
    """What items lack to be pairs, for the end of a sentence; empty where they all are."""
    without = {
        "image": sum(item.image is None for item in items),
        "text": sum(not (item.text or "").strip() for item in items),
    }
    parts = [f"{count:,} have no {name}" for name, count in without.items() if count]
    return f": {', '.join(parts)}" if parts else ""


def check_count(count: int, spec: TrainSpec, told: str) -> None:
    """Refuse fewer pairs than can be trained on.

    Parameters
    ----------
    count : int
        Pairs, those that ``spec`` sets aside for validation included.
    spec : TrainSpec
    told : str
        How there come to be so many.

    Raises
    ------
    SourceError
    """
    if count < LEAST_PAIRS:
        raise SourceError(
            told,
            f"at least {LEAST_PAIRS} pairs of an image and a text to train on",
            "Put a .txt file of the same stem, or a table of path and text, beside the images, "
            "and mend what cannot be read.",
        )
    held = round(count * spec.validation_share)
    if spec.validation_share and not 1 <= held <= count - LEAST_PAIRS:
        raise SourceError(
            f"a validation share of {spec.validation_share} takes {held} of {count} pairs",
            f"at least one, and at least {LEAST_PAIRS} left to train on",
            "Change --validation (validation_share), or train on more pairs.",
        )


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
            "Train on more texts, or lower --min-word-texts (min_word_texts).",
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

    A word serves as a label if it stands in ``min_label_texts`` texts, and in half of them at
    most; where no word does both, the first will do.

    Raises
    ------
    SourceError
        If no pair has labels and no word can serve as one.
    """
    if any(pair.labels for pair in pairs):
        return [pair.labels for pair in pairs]
    words = [words_of(text, spec.words) for text in texts]
    counts = Counter(word for own in words for word in set(own))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: spec.max_words]
    frequent = {word for word in ranked if counts[word] >= spec.min_label_texts}
    if not frequent:
        most = max(counts.values(), default=0)
        raise SourceError(
            f"no pair has labels, and no word stands in {spec.min_label_texts} of the {len(texts)} "
            f"texts, but in {most} at most",
            "labels, or words frequent enough to serve as labels",
            "Add a column of labels, or lower --min-label-texts (min_label_texts).",
        )
    # A word of most texts makes most pairs alike, which teaches little.
    telling = {word for word in frequent if 2 * counts[word] <= len(texts)} or frequent
    return [tuple(word for word in own if word in telling) for own in words]


def set_aside(pairs: TrainingSet, spec: TrainSpec) -> tuple[TrainingSet, TrainingSet | None]:
    """Pairs to train on, and ``validation_share`` of them, chosen by the seed, to judge by.

    Raises
    ------
    SourceError
        If either part would be too small.
    """
    if not spec.validation_share:
        return pairs, None
    check_count(len(pairs), spec, f"{len(pairs)} pairs")
    held = round(len(pairs) * spec.validation_share)
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(spec.seed))
    return pairs.rows(order[held:].sort().values), pairs.rows(order[:held].sort().values)
