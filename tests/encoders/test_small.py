"""Few pairs, pairs that teach nothing, and what a training says of them."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from encoders.config import TrainSpec
from encoders.train import check, fit, train
from encoders.verdict import verdict
from ssah_index.errors import CollapseError, EncoderError, SourceError, SpecError
from ssah_index.types import Item, ReportingEncoder, TrainReport, no_progress
from tests.encoders.test_fit import SMALL, features

SPEC = TrainSpec(bits=16, hidden=32, image_size=16, passes=8)


def train_on(items, spec=SPEC, **options):
    """An encoder, and the lines of its training."""
    lines = []
    trained = train(items, spec, report=lines.append, progress=no_progress, **options)
    return trained, lines


@pytest.mark.parametrize("count", [2, 3])
def test_few_pairs_are_one_batch(world, count):
    trained, lines = train_on(world[:count])
    assert f"batch_rows is {count}: there are only {count} pairs" in lines
    assert trained.spec.batch_rows == count
    assert isinstance(trained, ReportingEncoder)
    assert trained.report == TrainReport(failed=0, collapsed=None)


@pytest.mark.parametrize("preset", ["modern", "paper", "official"])
@pytest.mark.parametrize("count", [2, 3])
def test_every_preset_takes_few_pairs(preset, count):
    lines = []
    spec = TrainSpec.of({**SMALL, "preset": preset, "hidden": 16, "multi_scale": False})
    trainer = fit(features(count), spec, report=lines.append, progress=no_progress)
    assert lines[0] == f"batch_rows is {count}: there are only {count} pairs"
    assert all(part.isfinite().all() for part in trainer.parameters())
    with pytest.raises(SourceError, match="1 pairs; expected at least 2 pairs"):
        fit(features(1), spec, report=lines.append, progress=no_progress)


@pytest.mark.parametrize("bits", [8, 4096])
def test_the_extremes_of_width_train_and_encode(world, bits, tmp_path):
    trained, _ = train_on(world[:6], replace(SPEC, bits=bits, passes=2))
    trained.save(tmp_path)
    for modality in ("image", "text"):
        codes, failures = (
            type(trained)
            .load(tmp_path)
            .encode(modality, [getattr(item, modality) for item in world[:6]])
        )
        assert codes.shape == (6, bits // 8)
        assert failures == []


@pytest.fixture
def grey(tmp_path):
    Image.new("RGB", (16, 16), "grey").save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_one_label_equal_texts_and_equal_images_are_told(world, grey):
    some = world[:30]
    cases = {
        "there is one label": [replace(item, labels=("one",)) for item in some],
        "nearly all pairs share a label": [
            replace(item, labels=("one", item.labels[0])) for item in some
        ],
        "all text codes are equal, as the texts are": [
            replace(item, text="a square") for item in some
        ],
        "all image codes are equal, as the images are": [
            replace(item, image=grey) for item in some
        ],
    }
    for reason, items in cases.items():
        trained, lines = train_on(items)
        assert lines[-1] == "trained 8 of 8 passes"
        assert "The codes have collapsed" in trained.report.collapsed
        assert reason in trained.report.collapsed
        assert "by chance" in trained.report.collapsed
        untrained, _ = train_on(items, replace(SPEC, passes=0))
        assert untrained.report.collapsed is None


def test_codes_that_are_chance_are_told_and_others_are_not():
    pairs = features(300)
    spec = TrainSpec.of({**SMALL, "passes": 6})
    trainer = fit(pairs, spec, report=lambda _: None, progress=no_progress)
    state = torch.get_rng_state()
    assert verdict(trainer, pairs, spec) is None
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    shuffled = replace(pairs, labels=pairs.labels[order])
    assert "no better than chance (MAP of images among" in verdict(trainer, shuffled, spec)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_that_diverges_is_stopped(world, tmp_path):
    spec = replace(SPEC, learning_rate=1e30)
    with pytest.raises(CollapseError, match=r"diverged at pass \d of 8.*--learning-rate"):
        train_on(world[:30], spec, resume=tmp_path / "kept")


def test_options_and_files_are_checked_before_anything_is_read(world, tmp_path, monkeypatch):
    def untouched(*_):
        raise AssertionError("an image was read")

    monkeypatch.setattr("encoders.inputs.Inputs.read", untouched)
    with pytest.raises(SpecError, match=r"preset 'paper' on pixels.*--image-trunk"):
        train_on(world, TrainSpec.of({"preset": "paper"}))
    with pytest.raises(SourceError, match=r"no file .*gone.mat for the image trunk"):
        train_on(world, replace(SPEC, image_trunk=f"cnn-f:{tmp_path / 'gone.mat'}"))
    with pytest.raises(SourceError, match="no folder"):
        train_on(world, log=tmp_path / "none" / "log.csv")
    with pytest.raises(SourceError, match="is no training log"):
        train_on(world, log=tmp_path)
    with pytest.raises(SourceError, match=r"share of 0\.99 takes 20 of 20 pairs"):
        train_on(world[:20], replace(SPEC, validation_share=0.99))
    with pytest.raises(SourceError, match=r"share of 0\.01 takes 0 of 20 pairs"):
        train_on(world[:20], replace(SPEC, validation_share=0.01))
    with pytest.raises(SourceError, match=r"no word stands in 30 of the 20.*--min-label-texts"):
        train_on([replace(item, labels=()) for item in world[:20]])
    with pytest.raises(SourceError, match="no word stands in 1 of the 20 texts"):
        train_on([replace(item, text="?!") for item in world[:20]])
    with pytest.raises(SourceError, match="0 of 20 items are pairs: 20 have no text"):
        train_on([replace(item, text=" ") for item in world[:20]])
    with pytest.raises(SourceError, match="0 of 5 items are pairs: 5 have no image"):
        train_on([replace(item, image=None) for item in world[:5]])
    with pytest.raises(SourceError, match="0 of 0 items are pairs"):
        train_on([])
    (tmp_path / "kept").write_bytes(b"PK")
    with pytest.raises(EncoderError, match=r"checkpoint .*kept cannot be read.*Remove it"):
        train_on(world, resume=tmp_path / "kept")
    with pytest.raises(EncoderError, match="no regular file"):
        train_on(world, resume=tmp_path)


def test_a_checkpoint_of_other_options_or_pairs_is_told_with_them(world, tmp_path):
    kept = tmp_path / "kept"
    train_on(world[:6], resume=kept)
    with pytest.raises(EncoderError, match="of another run: bits was 16 and is 32; expected"):
        check(replace(SPEC, bits=32), kept)
    check(SPEC, kept)
    with pytest.raises(EncoderError, match="of another run: its pairs are not these"):
        train_on([*world[:5], world[9]], resume=kept)
    _, lines = train_on(world[:6], resume=kept)
    assert lines[-1] == "trained 8 of 8 passes"
    assert not any(line.startswith("pass ") for line in lines)
    state = torch.load(kept, weights_only=True)
    del state["parts"]["optimiser"]["state"]
    torch.save(state, kept)
    with pytest.raises(EncoderError, match="cannot be read"):
        train_on(world[:6], resume=kept)


def test_an_interruption_says_what_is_kept(world, tmp_path):
    def until_third(line):
        if line.startswith("pass 3"):
            raise KeyboardInterrupt

    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt) as caught:
        train(world[:6], SPEC, report=until_third, progress=no_progress, resume=kept)
    assert caught.value.__notes__ == [
        f"3 of 8 passes are kept in {kept}; run the same command again to go on"
    ]


def test_pairs_that_cannot_be_read_are_counted(world, tmp_path):
    broken = Item(id="b", source="b", image=tmp_path / "gone.png", text="red", labels=("red",))
    bare = Item(id="c", source="c", text="red")
    trained, lines = train_on([*world[:6], broken, bare])
    assert lines[0] == "1 of 8 items are left out: 1 have no image"
    assert lines[1].startswith("1 of 7 pairs are left out; the first: image")
    assert trained.report.failed == 1
    bare = [replace(item, labels=()) for item in world[:6]]
    with pytest.raises(SourceError, match="none of the 6 pairs that can be read has labels"):
        train_on([*bare, broken])


@pytest.mark.parametrize("count", [2, 6, 12])
def test_one_step_makes_codes_that_differ(world, count):
    """Batch norm's running values were nine tenths those of no data: all codes were equal."""
    trained, _ = train_on(world[:count], replace(SPEC, passes=1))
    assert trained.report.collapsed is None


def test_equal_texts_without_labels_are_told_at_the_end(world):
    alike = [replace(item, text="a red square", labels=()) for item in world[:30]]
    trained, _ = train_on(alike, replace(SPEC, passes=2))
    assert "all text codes are equal, as the texts are" in trained.report.collapsed
    assert trained.labels == ("a", "red", "square")
