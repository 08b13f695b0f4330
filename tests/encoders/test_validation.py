"""Choice of a pass by held-out pairs, collapse, the log, and devices."""

import csv
from dataclasses import replace

import pytest
import torch

from encoders import checkpoint
from encoders.config import TrainSpec
from encoders.devices import choose_device
from encoders.joint import JointTrainer
from encoders.pairs import set_aside
from encoders.ranking import COLLAPSE_MARGIN
from encoders.train import fit
from encoders.validation import Scores
from ssah_index.errors import CollapseError, SourceError, SpecError
from ssah_index.types import no_progress
from tests.encoders.test_fit import SMALL, features

SPEC = TrainSpec.of({**SMALL, "passes": 6})


def run(spec=SPEC, validation=None, **options):
    """Trainer and lines of a run on 600 pairs."""
    lines = []
    trainer = fit(
        features(600),
        spec,
        report=lines.append,
        progress=no_progress,
        validation=validation,
        **options,
    )
    return trainer, lines


def weights(trainer):
    nets = {"image": trainer.image_net, "text": trainer.text_net}
    return {name: checkpoint.fingerprint({}, net.state_dict()) for name, net in nets.items()}


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_validation_changes_no_step_and_the_best_pass_is_returned(tmp_path):
    held_out = features(100, seed=5)
    trainer, lines = run(validation=held_out, log=tmp_path / "log.csv")
    scores = [
        float(row["image_to_text"]) + float(row["text_to_image"])
        for row in rows_of(tmp_path / "log.csv")
    ]
    best = scores.index(max(scores)) + 1
    assert lines[-1] == f"trained 6 of 6 passes, the best by validation is pass {best}"
    # A rate that goes with `passes` makes a shorter run another one: watch the run itself.
    seen = {}

    def watch(done, total, what):
        if done % (600 // 64) == 0:
            seen[done // (600 // 64)] = weights(watched["trainer"])

    watched = {}
    plain = _watched_fit(features(600), watched, watch)
    assert weights(plain) == seen[6]
    assert weights(trainer) == seen[best]


def _watched_fit(pairs, watched, watch):
    """`fit` without validation, its trainer shown to ``watch`` as it goes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SPEC.seed)
        watched["trainer"] = JointTrainer(pairs, SPEC)
        for number in range(SPEC.passes):
            watched["trainer"].run_pass(number, watch)
    return watched["trainer"]


def test_training_stops_when_patience_ends():
    # Validation pairs whose labels say nothing of their images and texts: no pass is better.
    held_out = features(100, seed=5)
    shuffled = replace(held_out, labels=held_out.labels[torch.randperm(100)])
    spec = replace(SPEC, passes=40, patience=3, stop_on_collapse=False)
    _, lines = run(spec, validation=shuffled)
    assert 4 <= len(lines) - 1 < 40
    assert lines[-1].startswith(f"trained {len(lines) - 1} of 40 passes, the best")


def test_validation_is_due_every_so_often_and_at_the_end(tmp_path):
    spec = replace(SPEC, passes=5, validate_every=2)
    run(spec, validation=features(100, seed=5), log=tmp_path / "log.csv")
    judged = [row["image_to_text"] != "" for row in rows_of(tmp_path / "log.csv")]
    assert judged == [False, True, False, True, True]


def test_codes_that_collapse_stop_the_run(tmp_path):
    spec = replace(
        SPEC,
        similarity_weight=0.0,
        classification_weight=0.0,
        contrast_weight=0.0,
        learning_rate=0.0,
    )
    constant = features(100, seed=5)
    constant = replace(constant, images=torch.zeros_like(constant.images))
    path = tmp_path / "kept"
    with pytest.raises(CollapseError, match=r"collapsed at pass 1 of 6: .* the prevalence"):
        run(spec, validation=constant, resume=path)
    assert not path.exists()
    _, lines = run(replace(spec, stop_on_collapse=False), validation=constant)
    assert len(lines) == 7


def test_the_verdict_is_the_worse_modality_against_the_prevalence():
    good = Scores(
        image_to_text=0.9, text_to_image=0.9, image_to_image=0.9, text_to_text=0.9, prevalence=0.5
    )
    assert not good.collapsed
    assert replace(good, text_to_text=0.5 + COLLAPSE_MARGIN / 2).collapsed
    assert replace(good, image_to_image=0.5 + COLLAPSE_MARGIN / 2).collapsed
    rare = replace(good, prevalence=0.01, image_to_image=0.016)
    assert not rare.collapsed
    alike = replace(good, prevalence=0.99, image_to_image=0.99)
    assert not alike.collapsed


def test_pairs_are_set_aside_by_the_seed():
    pairs = features(200)
    assert set_aside(pairs, SPEC) == (pairs, None)
    spec = replace(SPEC, validation_share=0.25)
    trained, held_out = set_aside(pairs, spec)
    assert (len(trained), len(held_out)) == (150, 50)
    both = torch.cat([trained.images, held_out.images])
    assert {row.numpy().tobytes() for row in both} == {r.numpy().tobytes() for r in pairs.images}
    again, other = set_aside(pairs, spec), set_aside(pairs, replace(spec, seed=4))
    assert torch.equal(again[1].images, held_out.images)
    assert not torch.equal(other[1].images, held_out.images)
    with pytest.raises(SourceError, match=r"share of 0.996 takes 199 of 200 pairs"):
        set_aside(pairs, replace(SPEC, validation_share=0.996))
    with pytest.raises(SourceError, match=r"share of 0.001 takes 0 of 200 pairs"):
        set_aside(pairs, replace(SPEC, validation_share=0.001))


def test_the_log_has_a_row_a_pass_and_goes_on_where_a_run_does(tmp_path):
    log = tmp_path / "log.csv"
    run(replace(SPEC, passes=3), log=log, resume=tmp_path / "kept")
    rows = rows_of(log)
    assert [row["pass"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0])[:3] == ["pass", "seconds", "loss"]
    named = ("contrast", "pairs", "quantisation", "classification", "adversary")
    for row in rows:
        parts = sum(float(row[name]) for name in named)
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-5)
    # A log ahead of its checkpoint, as kill -9 leaves it, is cut where the run goes on.
    log.write_text(log.read_text() + log.read_text().splitlines()[-1].replace("3,", "4,", 1) + "\n")
    run(replace(SPEC, passes=3), log=log, resume=tmp_path / "kept")
    assert rows_of(log) == rows


def test_a_log_over_something_else_is_refused(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="is no training log: 'a,b'"):
        run(log=other)
    with pytest.raises(SourceError, match="no folder"):
        run(log=tmp_path / "none" / "log.csv")
    assert other.read_text() == "a,b\n1,2\n"


def test_devices_are_named_or_refused():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SpecError, match="device 'tpu' where torch"):
        choose_device("tpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_trains_and_hands_back_a_cpu_encoder():
    trainer, lines = run(validation=features(100, seed=5), device="cuda")
    assert len(lines) == 7
    assert {p.device.type for p in trainer.image_net.parameters()} == {"cpu"}
    trainer.image_net(features(10).images)
