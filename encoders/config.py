"""What decides a training run; saved beside the weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Mapping
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
MOST = {
    "bits": 4096,
    "hidden": 1 << 16,
    "image_size": 4096,
    "max_words": 1 << 20,
    "seed": 2**63 - 1,
}
"""Upper bounds of whole numbers, so that a specification from elsewhere stays within memory;
of those not named, 2^31 - 1."""
LONGEST_NAME = 4096
"""Characters of a trunk's name, which may hold a path."""
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
    """Pairs a step, or all where there are fewer. What is left of the pairs after the last whole
    batch of a pass is not used in it; every pass draws an order of its own."""
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
        types = _type_faults(self)
        faults = [*types.values(), *_value_faults(self, types)]
        if faults:
            raise SpecError("; ".join(faults), "values in range", CORRECT)

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
            If a name is unknown, or a value of the wrong type or out of range; all faults
            are named.
        """
        if not isinstance(options, Mapping):
            raise SpecError(f"options are {_shown(options)}", "values by name", "Give a dict.")
        known = {field.name for field in fields(cls)}
        unknown = sorted(str(name) for name in options if name not in known)
        own = {name: value for name, value in options.items() if name in known}
        preset = own.get("preset", "modern")
        defaults = _PRESET_DEFAULTS.get(preset, {}) if isinstance(preset, str) else {}
        try:
            spec, fault = cls(**{**defaults, **own}), ""
        except SpecError as error:
            fault = f"; {error.fault}"
        if unknown:
            raise SpecError(
                f"unknown options {', '.join(unknown)}{fault}",
                f"some of {', '.join(sorted(known))}",
                "Check the spelling.",
            )
        if fault:
            raise SpecError(fault.removeprefix("; "), "values in range", CORRECT)
        return spec

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


CORRECT = "Correct the options named; on the command line each can be given as --set NAME=VALUE."
_KINDS = {"int": "a whole number", "float": "a finite number", "bool": "true or false"}


def _is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a field's type; nothing is converted, so that 64.0 is no 64."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max
    return isinstance(value, str) and len(value) <= LONGEST_NAME


def _type_faults(spec: TrainSpec) -> dict[str, str]:
    """What is wrong with each field whose value is not of its type."""
    return {
        field.name: f"{field.name} is {_shown(value)}, not {_KINDS.get(str(field.type), 'text')}"
        for field in fields(spec)
        if not _is_of(str(field.type), value := getattr(spec, field.name))
    }


def _shown(value: Any) -> str:
    shown = f"a {type(value).__name__} too long to print"
    with contextlib.suppress(ValueError, RecursionError):  # integers of thousands of digits
        shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def _value_faults(spec: TrainSpec, wrong: Collection[str]) -> list[str]:
    """Fields, of those that are not ``wrong``, whose values are out of range."""
    values = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in wrong}
    faults = []
    if values.get("preset", "modern") not in PRESETS:
        faults.append(f"preset is {spec.preset!r}, not one of {', '.join(PRESETS)}")
    faults += _input_faults(values)
    if values.get("bits", 8) % 8 or not 8 <= values.get("bits", 8) <= MOST["bits"]:
        faults.append(f"bits is {_shown(spec.bits)}, not a multiple of 8 from 8 to 4096")
    if values.get("batch_rows", 2) < 2:
        faults.append(f"batch_rows is {_shown(spec.batch_rows)}, below 2, what batch norm needs")
    names = ("image_size", "min_word_texts", "max_words", "min_label_texts", "hidden")
    least = dict.fromkeys((*names, "validate_every"), 1)
    numbers = {n: v for n, v in values.items() if not isinstance(v, str) and n != "bits"}
    faults += [
        f"{name} is {_shown(value)}, below {least.get(name, 0)}"
        for name, value in numbers.items()
        if value < least.get(name, 0)
    ]
    faults += [
        f"{name} is {_shown(value)}, above {most}"
        for name, value in numbers.items()
        if isinstance(value, int) and value > (most := MOST.get(name, 2**31 - 1))
    ]
    if values.get("pair_scale") == 0:
        faults.append("pair_scale is 0, not above 0")
    shares = ("dropout", "input_dropout", "validation_share")
    return faults + [
        f"{name} is {value}, not below 1" for name in shares if (value := values.get(name, 0)) >= 1
    ]


def _input_faults(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the choice of trunk and text encoder."""
    faults = []
    trunk, encoder = values.get("image_trunk", TRUNKS[0]), values.get("text_encoder", "bag")
    kind, _, which = trunk.partition(":")
    if trunk not in TRUNKS and not (kind in TRUNK_KINDS and which):
        known = ", ".join([*TRUNKS, *(f"{kind}:..." for kind in TRUNK_KINDS)])
        faults.append(f"image_trunk is {trunk!r}, not one of {known}")
    if values.get("fine_tune") and values.get("image_trunk") == "pixels":
        faults.append("fine_tune is set, but image_trunk 'pixels' always trains")
    if encoder not in TEXT_ENCODERS:
        known = ", ".join(TEXT_ENCODERS)
        faults.append(f"text_encoder is {encoder!r}, not one of {known}")
    rule = values.get("words", WORD_RULES[0])
    if rule not in WORD_RULES:
        faults.append(f"words is {rule!r}, not one of {', '.join(WORD_RULES)}")
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
