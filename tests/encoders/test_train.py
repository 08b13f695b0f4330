from dataclasses import replace
from pathlib import Path

import pytest
import torch

from encoders.config import TrainSpec
from encoders.evaluate import mean_average_precision
from encoders.export import SsahEncoder
from encoders.joint import JointTrainer
from encoders.pairs import read_pairs
from encoders.train import train
from ssah_index.errors import EncoderError, SourceError, SpecError
from ssah_index.types import no_progress

SPEC = TrainSpec(bits=32, passes=12, batch_rows=32, image_size=32)


def quiet(message):
    pass


def train_on(items, spec=SPEC):
    return train(items, spec, report=quiet, progress=no_progress)


@pytest.fixture(scope="module")
def trained(world):
    return train_on(world[:150])


def map_of(encoder, queries, database, found):
    """MAP of one modality against the other."""
    asked = "text" if found == "image" else "image"
    query_codes, _ = encoder.encode(asked, [getattr(i, asked) for i in queries])
    codes, _ = encoder.encode(found, [getattr(i, found) for i in database])
    return mean_average_precision(
        query_codes, [i.labels for i in queries], codes, [i.labels for i in database]
    )


@pytest.mark.parametrize("found", ["image", "text"])
def test_it_learns_in_both_directions(world, trained, found):
    untrained = train_on(world[:150], replace(SPEC, passes=0))
    before = map_of(untrained, world[150:], world[:150], found)
    after = map_of(trained, world[150:], world[:150], found)
    assert before < 0.7
    assert after > 0.9


def test_the_same_seed_gives_the_same_encoder(world, trained):
    again = train_on(world[:150])
    assert again.fingerprint == trained.fingerprint
    other = train_on(world[:150], replace(SPEC, seed=1))
    assert other.fingerprint != trained.fingerprint


def test_an_encoder_survives_saving(world, trained, tmp_path):
    trained.save(tmp_path)
    loaded = SsahEncoder.load(tmp_path)
    assert loaded.fingerprint == trained.fingerprint
    for modality in ("image", "text"):
        batch = [getattr(item, modality) for item in world[:20]]
        codes, failures = trained.encode(modality, batch)
        assert codes.shape == (20, 4)
        assert failures == []
        assert (loaded.encode(modality, batch)[0] == codes).all()


@pytest.mark.parametrize("file", ["encoder.json", "weights.safetensors"])
def test_a_damaged_encoder_is_refused(trained, tmp_path, file):
    trained.save(tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    middle = content.rindex(b'"red"') + 1 if file == "encoder.json" else len(content) // 2
    content[middle] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(EncoderError, match="encoder in"):
        SsahEncoder.load(tmp_path)


def test_items_that_cannot_be_encoded_are_named_and_the_rest_is_kept(world, trained, tmp_path):
    good = world[0].image
    empty, cut, other = tmp_path / "empty.png", tmp_path / "cut.png", tmp_path / "other.png"
    empty.write_bytes(b"")
    cut.write_bytes(good.read_bytes()[:200])
    other.write_bytes(b"this is no image")
    codes, failures = trained.encode("image", [empty, good, cut, other, tmp_path / "absent.png"])
    assert len(codes) == 1
    reasons = dict(failures)
    assert "the file is empty" in reasons[0]
    assert "truncated" in reasons[2]
    assert "cannot identify" in reasons[3]
    assert "no such file" in reasons[4]
    codes, failures = trained.encode("text", ["red square", "", "quixotic xyzzy", "?!"])
    assert len(codes) == 1
    reasons = dict(failures)
    assert "has no words" in reasons[1]
    assert "(quixotic, xyzzy)" in reasons[2]
    assert "has no words" in reasons[3]


def test_frequent_words_serve_as_labels_where_there_are_none(world):
    bare = [replace(item, labels=()) for item in world[:150]]
    _, _, names = read_pairs(bare, replace(SPEC, min_label_texts=30), quiet, no_progress)
    assert set(names) == {"red", "green", "blue", "left", "right", "top", "bottom"}  # no square


def test_what_cannot_be_trained_on_is_named(world, tmp_path):
    alone = [replace(item, text=None) for item in world[:50]]
    with pytest.raises(SourceError, match="0 of 50 items are pairs: 50 have no text"):
        train_on(alone)
    with pytest.raises(SourceError, match="1 of 1 items are pairs; expected at least 2 pairs"):
        train_on(world[:1])
    rare = [replace(item, text=f"word{i}") for i, item in enumerate(world[:50])]
    with pytest.raises(SourceError, match="no word stands in 2 of the 50 texts"):
        train_on(rare, replace(SPEC, min_word_texts=2))
    bare = [replace(item, labels=()) for item in rare]
    with pytest.raises(SourceError, match="no pair has labels"):
        train_on(bare)
    gone = [replace(item, image=Path(tmp_path / "gone.png")) for item in world[:50]]
    with pytest.raises(SourceError, match=r"50 of 50 pairs are left out; the first: .*gone\.png"):
        train_on(gone)


def test_left_out_pairs_are_counted(world):
    told = []
    some = [*world[:50], replace(world[50], image=Path("gone.png"))]
    read_pairs(some, SPEC, told.append, no_progress)
    assert told[0].startswith("1 of 51 pairs are left out; the first: image gone.png")


def test_faulty_specs_name_all_their_faults():
    with pytest.raises(SpecError, match=r"bits is 12.*batch_rows is 1.*passes is -1"):
        TrainSpec(bits=12, batch_rows=1, passes=-1)
    with pytest.raises(SpecError, match="unknown options colour"):
        TrainSpec.of({"colour": 3})


def gradients(module):
    return sum(0 if p.grad is None else float(p.grad.abs().sum()) for p in module.parameters())


def test_the_adversary_reaches_the_networks_and_the_judges_learn_alone(world):
    """The wiring that the released code got wrong: there no gradient reached the networks."""
    pairs, _, _ = read_pairs(world[:64], SPEC, quiet, no_progress)
    torch.manual_seed(0)
    weights = {
        f"{name}_weight": 0.0
        for name in ("similarity", "quantisation", "classification", "contrast")
    }
    trainer = JointTrainer(pairs, replace(SPEC, adversary_weight=1.0, **weights))
    judges = [p.clone() for p in trainer.discriminators.parameters()]
    trainer.step(torch.arange(32))
    assert gradients(trainer.image_net) > 0
    assert gradients(trainer.text_net) > 0
    assert gradients(trainer.label_net) == 0
    changed = [
        bool((a != b).any())
        for a, b in zip(judges, trainer.discriminators.parameters(), strict=True)
    ]
    assert all(changed)


def test_the_networks_leave_the_judges_as_they_are(world):
    pairs, _, _ = read_pairs(world[:64], SPEC, quiet, no_progress)
    trainer = JointTrainer(pairs, replace(SPEC, adversary_rate=0.0))
    judges = [p.clone() for p in trainer.discriminators.parameters()]
    trainer.step(torch.arange(32))
    for before, after in zip(judges, trainer.discriminators.parameters(), strict=True):
        torch.testing.assert_close(before, after)
