"""What decides a training run; saved beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ssah_index.errors import SpecError

Preset = Literal["modern", "paper", "official"]
PRESETS: tuple[Preset, ...] = ("modern", "paper", "official")
TRUNKS = ("pixels", "efficientnet-lite0", "efficientnet-lite2")
"""Image trunks that a word names."""
TRUNK_KINDS = ("cnn-f", "vgg-19", "timm", "open_clip")
"""Image trunks written KIND:WHICH, by a file or by a name in a hub."""
TEXT_ENCODERS = ("bag", "minilm")
WORD_RULES = ("unicode", "plain")
BEFORE: dict[str, Any] = {"words": "plain"}
"""What a stored specification means that was written before a field existed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec:
    """Widths, weights and rates of one training run.

    Fields marked (modern) count for that preset alone, those marked (paper) for ``paper``
    and ``official``.
    """

    preset: Preset = "modern"
    """"modern"; "paper": the paper's objective and phases, with an adversary that acts;
    "official": the released code's losses, for comparison."""
    bits: int = 64
    """Code width, a multiple of 8."""
    passes: int = 12
    """Passes over the pairs, or (paper) rounds of phases; 0 leaves the networks untrained."""
    label_passes: int = 5
    """Passes of LabNet before the first round (paper)."""
    batch_rows: int = 256
    """Pairs a step."""
    hidden: int = 512
    """Width of the layer before F; the paper's is 4096."""
    learning_rate: float = 1.5e-3
    """Peak of the one-cycle rate (modern), or LabNet's and TexNet's rate (paper)."""
    adversary_rate: float = 1e-3
    """Rate of the two discriminators."""
    dropout: float = 0.0
    """Share of hidden units dropped in a step (modern)."""
    input_dropout: float = 0.1
    """Share of words, labels or features hidden in a step (modern)."""
    bank_rows: int = 0
    """Pairs drawn from the memory bank a step, 0: pairs within the batch only (modern)."""
    pair_scale: float = 16.0
    """Inner products of codes reach from minus to plus this, whatever their width (modern)."""
    learn_scale: bool = False
    """Whether that scale, and a bias beside it, are learnt with the networks (modern)."""
    similarity_weight: float = 1.0
    """Of J2, the pair terms on codes; alpha and gamma of the paper."""
    quantisation_weight: float = 0.02
    """Of J3; eta of the paper, where it is 1e-4."""
    classification_weight: float = 10.0
    """Of J4; beta of the paper, where it is 1e-4."""
    adversary_weight: float = 0.05
    """Of the generators' adversarial term."""
    contrast_weight: float = 1.0
    """Of the in-batch image-text term (modern)."""
    lab_net: bool = True
    """Whether LabNet supervises; the ablation SSAH-1 is without."""
    multi_scale: bool = True
    """Whether TexNet has its multi-scale block (paper); SSAH-2 is without."""
    image_trunk: str = "pixels"
    """What turns images into features: "pixels", a small network trained from nothing;
    "efficientnet-lite0" or "efficientnet-lite2"; "cnn-f:PATH" or "vgg-19:PATH", a MatConvNet
    file; "timm:NAME" or "open_clip:NAME/WEIGHTS", fetched from a hub."""
    fine_tune: bool = False
    """Whether a named trunk trains with the rest; otherwise its features are computed once."""
    trunk_rate: float = 1e-4
    """Peak rate of a trunk that trains."""
    text_encoder: str = "bag"
    """"bag": words of a vocabulary; "minilm": vectors of a sentence encoder that stays as it is."""
    words: str = "unicode"
    """How texts are split: "unicode", by Unicode's rules for any script; "plain", as encoders
    did before there was a choice. See `encoders.words`."""
    image_size: int = 64
    """Pixels a side of the square that an image is squeezed to; a named trunk has its own."""
    min_word_texts: int = 1
    """A word enters the vocabulary if it stands in so many texts."""
    max_words: int = 8192
    """Most words of the vocabulary."""
    min_label_texts: int = 30
    """Where no item has labels: a word is a label if it stands in so many texts."""
    validation_share: float = 0.0
    """Share of the pairs that `train` sets aside by the seed to choose a pass by; 0 by default,
    since what is set aside is not trained on: small collections need every pair."""
    validate_every: int = 1
    """Passes from one validation to the next; the last pass always has one."""
    patience: int = 0
    """Passes without a better validation after which training stops; 0: never."""
    stop_on_collapse: bool = True
    """Whether a run whose codes have collapsed is an error, or goes on and says so."""
    seed: int = 0
    """Seed of initial weights, order, dropout and of what is set aside."""

    def __post_init__(self) -> None:
        faults = []
        if self.preset not in PRESETS:
            faults.append(f"preset is {self.preset!r}, not one of {', '.join(PRESETS)}")
        faults += _input_faults(self)
        if self.bits % 8 or not 8 <= self.bits <= 4096:
            faults.append(f"bits is {self.bits}, not a multiple of 8 from 8 to 4096")
        if self.batch_rows < 2:
            faults.append(f"batch_rows is {self.batch_rows}, below 2, what batch norm needs")
        names = ("image_size", "min_word_texts", "max_words", "min_label_texts", "hidden")
        least = dict.fromkeys((*names, "validate_every"), 1)
        faults += [
            f"{field.name} is {value}, below {least.get(field.name, 0)}"
            for field in fields(self)
            if not isinstance(value := getattr(self, field.name), str)
            and value < least.get(field.name, 0)
        ]
        faults += [
            f"{name} is {value}, not below 1"
            for name in ("dropout", "input_dropout", "validation_share")
            if (value := getattr(self, name)) >= 1
        ]
        if faults:
            raise SpecError("; ".join(faults), "values in range", "Correct the options named.")

    @property
    def adversary(self) -> float:
        """Weight of the adversary; none without LabNet, whose features it imitates."""
        return self.adversary_weight if self.lab_net else 0.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TrainSpec:
        """Make a spec of options by name; what is not named is the preset's default.

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
        defaults = _PRESET_DEFAULTS.get(options.get("preset", "modern"), {})
        return cls(**{**defaults, **options})

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> TrainSpec:
        """The spec that an encoder's document holds; see `document`."""
        return cls.of({**BEFORE, **document})

    def document(self) -> dict[str, Any]:
        """The spec as an encoder's document holds it, and its fingerprint is made of.

        A field that has the value of the time before it is left out, so that encoders of
        that time keep their fingerprints.
        """
        return {k: v for k, v in asdict(self).items() if k not in BEFORE or v != BEFORE[k]}


def _input_faults(spec: TrainSpec) -> list[str]:
    """What is wrong with the choice of trunk and text encoder."""
    faults = []
    kind, _, which = spec.image_trunk.partition(":")
    if spec.image_trunk not in TRUNKS and not (kind in TRUNK_KINDS and which):
        known = ", ".join([*TRUNKS, *(f"{kind}:..." for kind in TRUNK_KINDS)])
        faults.append(f"image_trunk is {spec.image_trunk!r}, not one of {known}")
    if spec.fine_tune and spec.image_trunk == "pixels":
        faults.append("fine_tune is set, but image_trunk 'pixels' always trains")
    if spec.text_encoder not in TEXT_ENCODERS:
        known = ", ".join(TEXT_ENCODERS)
        faults.append(f"text_encoder is {spec.text_encoder!r}, not one of {known}")
    if spec.words not in WORD_RULES:
        faults.append(f"words is {spec.words!r}, not one of {', '.join(WORD_RULES)}")
    return faults


_PAPER = {
    "passes": 3,
    "batch_rows": 128,
    "hidden": 4096,
    "learning_rate": 3e-4,
    "adversary_rate": 1e-4,
    "quantisation_weight": 1e-4,
    "classification_weight": 1e-4,
}
_PRESET_DEFAULTS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "official": {
        **_PAPER,
        "quantisation_weight": 1.0,
        "classification_weight": 1.0,
        "adversary_weight": 0.0,
    },
}
"""Where a preset differs. Source: Li et al., CVPR 2018, figure 2, and the released code."""
