"""Specifications from anywhere: every fault is named, none ends in a TypeError."""

import dataclasses
import math

import pytest

from encoders.config import TrainSpec
from ssah_index.errors import SpecError

NASTY = [None, "64", True, 64.0, 1.5, math.nan, math.inf, -1, -(2**70), 10**400, [], {}, [64], b"8"]
NASTY += ["x" * 10_000, {"a": {}}, ("pixels",), 2**31, object()]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainSpec)])
def test_a_field_of_any_value_is_taken_or_refused_in_words(name):
    for value in NASTY:
        try:
            spec = TrainSpec.of({name: value})
        except SpecError as error:
            told = error.fault
        else:
            told = name if getattr(spec, name) is value else "converted"
        assert name in told
        assert len(told) < 2000


@pytest.mark.parametrize("value", ["64", True, 64.0, math.nan, None])
def test_bits_are_a_whole_number(value):
    with pytest.raises(SpecError, match=r"bits is .*, not a whole number"):
        TrainSpec.of({"bits": value})


def test_all_faults_are_named_together():
    options = {"bits": "64", "dropout": math.nan, "lab_net": 1, "passes": -1, "colour": 3, 7: 7}
    with pytest.raises(SpecError) as caught:
        TrainSpec.of({**options, "preset": ["paper"]})
    for name in (*map(str, options), "preset"):
        assert name in caught.value.fault


@pytest.mark.parametrize("options", [None, ["bits"], "bits", 64])
def test_options_are_values_by_name(options):
    with pytest.raises(SpecError, match=r"options are .*; expected values by name"):
        TrainSpec.of(options)


def test_whole_numbers_do_for_real_ones_and_stay_as_they_are():
    assert repr(TrainSpec.of({"learning_rate": 1}).learning_rate) == "1"
    with pytest.raises(SpecError, match="pair_scale is 0, not above 0"):
        TrainSpec.of({"pair_scale": 0})
