"""Words by Unicode's rules, the older rule, and what a vocabulary leaves out."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.config import TrainSpec
from encoders.pairs import label_sets, read_pairs
from encoders.words import Vocabulary, WordCounts, words_of
from ssah_index.errors import ItemError
from ssah_index.types import Item, WarningEncoder, no_progress
from tests.encoders.conftest import FIXTURE


def unicode_words(text):
    return words_of(text, "unicode")


@pytest.mark.parametrize("rule", ["unicode", "plain"])
def test_words_of_european_texts_are_runs_of_letters_and_digits(rule):
    assert words_of("Arrow-Left_2, für  élan! élan", rule) == ["arrow", "left", "2", "für", "élan"]
    assert words_of("dog's l'homme don't 3.14 a,b item9", rule)[:6] == [
        "dog", "s", "l", "homme", "don", "t",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("வணக்கம் உலகம்", ["வணக்கம்", "உலகம்"]),
        ("한국어 고양이가", ["한국어", "고양이가"]),
        ("м’ята", ["м'ята"]),
        ('צה"ל', ['צה"ל']),
        ("col·lecció", ["col·lecció"]),
        ("猫·狗 猫'狗 a'猫 é\"ш", ["猫", "狗", "a", "é", "ш"]),
        ("a\u200bb so\u00adft می\u200cخواهم", ["a", "b", "soft", "میخواهم"]),
        ("👩\u200d🚀👍🏽 🇩🇪🇫🇷 ❤\ufe0f ©", ["👩", "🚀", "👍", "🇩🇪", "🇫🇷", "❤"]),
        ("1\ufe0f\u20e3 ①", ["1"]),
    ],
)
def test_marks_and_joiners_do_not_cut_words(text, words):
    assert unicode_words(text) == words


def test_texts_without_spaces_are_characters_and_pairs():
    assert unicode_words("一只猫。狗") == ["一", "只", "猫", "一只", "只猫", "狗"]
    assert unicode_words("iPhone手机3只") == ["iphone", "手", "机", "手机", "3", "只"]
    assert unicode_words("カメラー") == ["カ", "メ", "ラ", "ー", "カメ", "メラ", "ラー"]
    assert {"นด์", "ไท"} < set(unicode_words("ไทยแลนด์"))
    assert {"ភា", "ភាសា"} < set(unicode_words("ភាសា"))
    for caption in ("一只猫坐在沙发上", "ネコがいる", "แมวบนโซฟา", "ແມວ", "ឆ្មា", "ကြောင်"):
        assert len(unicode_words(caption)) > 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("CAFÉ", "café"),
        ("straße", "STRASSE"),
        ("ΟΔΥΣΣΕΎΣ", "οδυσσεύς"),
        ("ｗｉｄｅ", "wide"),
        ("ﬁne", "fine"),
        ("ｶﾒﾗ", "カメラ"),
        ("مَرْحَبًا", "مرحبا"),
        ("مـرحبا", "مرحبا"),
        ("İstanbul", "istanbul"),
        ("שָׁלוֹם", "שלום"),
        ("👍🏽", "👍"),
        ("\u200fabc\u200e", "abc"),
        ("м’ята", "м'ята"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ],
)
def test_spellings_of_one_word_are_one(one, other):
    assert unicode_words(one) == unicode_words(other) != []


@pytest.mark.parametrize("text", ["", " \n\t\0\x07", "\u0301\u0302", "\u200f\u200e", "©", "_ - ."])
def test_texts_without_words_are_refused(text):
    assert unicode_words(text) == []
    with pytest.raises(ItemError, match="has no words"):
        Vocabulary(["a"], "unicode").bag(text)


@pytest.mark.parametrize("text", ["cat \ud800", "\udc41", None, 5, b"cat", ["cat"], float("nan")])
def test_texts_that_are_no_unicode_are_refused(text):
    with pytest.raises(ItemError) as raised:
        Vocabulary(["cat"], "unicode").bag(text)
    str(raised.value).encode()  # a ledger must hold it


def test_long_texts_end_soon_and_messages_stay_short():
    """NFKC alone would take 80 s for the marks, whose number it squares."""
    texts = ["no " * 30_000, "a" + "\u0315\u0300" * 100_000, "一" * 100_000, "é" * 100_000]
    for text in texts:
        with pytest.raises(ItemError) as raised:
            Vocabulary(["cat"], "unicode").bag(text)
        assert len(str(raised.value)) < 800


def test_the_vocabulary_ranks_by_texts_then_by_name():
    counts = WordCounts(["b b b a", "a c", "d"], "unicode")
    assert counts.vocabulary(1, 9).words == ("a", "b", "c", "d")
    assert counts.vocabulary(2, 9).words == ("a",)
    assert counts.vocabulary(1, 2).words == ("a", "b")


def test_bags_have_unit_length_and_ignore_unknown_words():
    bag = Vocabulary(["a", "b", "c"], "unicode").bag("c a a unknown")
    np.testing.assert_allclose(bag, np.array([1, 0, 1]) / np.sqrt(2), rtol=1e-6)


def test_a_word_of_a_chinese_caption_is_found_in_others():
    captions = ["一只猫坐在沙发上", "沙发上的狗", "两只猫"]
    vocabulary = WordCounts(captions, "unicode").vocabulary(1, 999)
    for query in ("猫", "沙发", "狗在哪里"):
        assert vocabulary.bag(query).any()


def test_what_a_vocabulary_leaves_out_is_told():
    counts = WordCounts(["a b c", "a b", "a"], "unicode")
    assert counts.left_out(1, 3) == []
    assert counts.left_out(1, 2) == [
        "the vocabulary keeps the 2 most frequent of 3 words; max_words changes it"
    ]
    rare, cut = counts.left_out(2, 1)
    assert rare.startswith("the vocabulary leaves out 1 of 3 words")
    assert "min_word_texts" in rare
    assert "the 1 most frequent of 2 words" in cut


def test_training_tells_that_its_vocabulary_is_cut(world):
    told = []
    spec = TrainSpec(batch_rows=8, image_size=16, max_words=5, min_word_texts=2)
    items = [*world[:20], replace(world[20], text="unique red")]
    _, inputs, _ = read_pairs(items, spec, told.append, no_progress)
    assert len(inputs.vocabulary) == 5
    assert any("max_words changes it" in line for line in told)
    assert any("min_word_texts changes it" in line for line in told)


def test_label_words_are_split_by_the_encoders_rule():
    items = [Item(id=str(n), source="x", text="नमस्ते") for n in range(2)]
    texts = [item.text for item in items]
    spec = TrainSpec(min_label_texts=2)
    assert label_sets(items, texts, spec) == [("नमस्ते",)] * 2
    plain = label_sets(items, texts, replace(spec, words="plain"))
    assert plain == [tuple(words_of("नमस्ते", "plain"))] * 2
    assert len(plain[0]) > 1


def test_the_words_left_out_of_a_query_are_named(frozen):
    assert isinstance(frozen, WarningEncoder)
    texts = ["red square", "red foo", "red a b c d e f", "foo bar", "", "\ud800", None, "x" * 500]
    told = frozen.warnings("text", texts)
    assert told[0] == []
    assert told[1] == ["1 of 2 words is unknown to the encoder and left out: foo"]
    assert told[2] == [
        "6 of 7 words are unknown to the encoder and left out: a, b, c, d, e and 1 more"
    ]
    assert told[3:] == [[]] * 5  # `encode` fails them, and says why
    images = [FIXTURE / "red.png", FIXTURE / "missing.png"]
    assert frozen.warnings("image", images) == [[], []]


def test_new_encoders_are_bound_to_their_rule_and_older_ones_to_theirs(frozen):
    assert TrainSpec().document()["words"] == "unicode"
    assert TrainSpec.stored(TrainSpec().document()) == TrainSpec()
    plain = TrainSpec(words="plain")
    assert "words" not in plain.document()
    assert TrainSpec.stored(plain.document()) == plain
    assert frozen.spec.words == "plain"
    with pytest.raises(ValueError, match="words is 'other', not one of unicode, plain"):
        TrainSpec(words="other")
