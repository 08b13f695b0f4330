"""What decides a training run; saved beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ssah_index.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    """Widths, weights and rates of one training run."""

    bits: int = 64
    """Code width, a multiple of 8."""
    passes: int = 12
    """Passes over the pairs; 0 leaves the networks as they were initialised."""
    batch_rows: int = 256
    """Pairs a step."""
    learning_rate: float = 1.5e-3
    """Peak of the one-cycle rate of the three networks."""
    adversary_rate: float = 1e-3
    """Rate of the two discriminators."""
    similarity_weight: float = 1.0
    """Of J2, the pair terms on codes."""
    quantisation_weight: float = 0.02
    """Of J3."""
    classification_weight: float = 10.0
    """Of J4."""
    adversary_weight: float = 0.05
    """Of the generators' adversarial term."""
    contrast_weight: float = 1.0
    """Of the in-batch image-text term."""
    image_size: int = 64
    """Pixels a side of the square that an image is squeezed to."""
    min_word_texts: int = 1
    """A word enters the vocabulary if it stands in so many texts."""
    max_words: int = 8192
    """Most words of the vocabulary."""
    min_label_texts: int = 30
    """Where no item has labels: a word is a label if it stands in so many texts."""
    seed: int = 0
    """Seed of initial weights, order and dropout."""

    def __post_init__(self) -> None:
        faults = []
        if self.bits % 8 or not 8 <= self.bits <= 4096:
            faults.append(f"bits is {self.bits}, not a multiple of 8 from 8 to 4096")
        if self.batch_rows < 2:
            faults.append(f"batch_rows is {self.batch_rows}, below 2, what batch norm needs")
        least = dict.fromkeys(("image_size", "min_word_texts", "max_words", "min_label_texts"), 1)
        faults += [
            f"{field.name} is {value}, below {least.get(field.name, 0)}"
            for field in fields(self)
            if (value := getattr(self, field.name)) < least.get(field.name, 0)
        ]
        if faults:
            raise SpecError("; ".join(faults), "values in range", "Correct the options named.")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TrainSpec:
        """Make a spec of options by name.

        Raises
        ------
        SpecError
            If a name is unknown or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise SpecError(
                f"unknown options {', '.join(unknown)}",
                f"some of {', '.join(sorted(known))}",
                "Check the spelling.",
            )
        return cls(**options)
