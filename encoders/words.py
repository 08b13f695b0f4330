"""The words of a text, and the vocabulary of an encoder.

An encoder is bound to the rule it was trained with, `encoders.config.TrainSpec.words`:

unicode
    Texts are normalised (NFKC, case folded), so that composed and decomposed accents, wide
    and narrow forms, and ligatures are one. Words follow UAX #29: runs of letters and digits
    with their combining marks. Chinese, Japanese, Thai, Lao, Khmer and Burmese, written
    without spaces, become single characters and pairs of neighbours. Emoji and flags are
    words. The vowel points of Arabic and Hebrew are dropped, as most texts leave them out; so
    are joiners, variation selectors, soft hyphens, directional marks and skin tones.
    Where UAX #29 joins, this rule parts: at underscores, full stops, commas and colons; and,
    in Latin script, at apostrophes, so that "dog's" has "dog" and "l'homme" has "homme".
plain
    Runs of letters and digits, in lower case. Encoders had this rule before there was a
    choice: marks cut words, and what has no spaces is one word.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from ssah_index.errors import ItemError

SHOWN_WORDS = 5
SHOWN_CHARACTERS = 80
"""Characters of a text, or of a word, that a message shows."""

_PLAIN = re.compile(r"[^\W_]+")


def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.VERSION1 | regex.VERBOSE)


_DROPPED = _compiled(r"(?!\u200b)[\p{Default_Ignorable_Code_Point}\p{Emoji_Modifier}\p{Me}]+")
"""All that has no shape of its own; U+200B, which parts words, stays."""
_MARKS = _compiled(r"(\p{M}{30})\p{M}+")
"""More marks than any word has: NFKC takes the square of their number in time (UAX #15)."""
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew
    "\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670"  # Arabic, and its long dash
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
    "|(?<=i)\u0307"  # of a Turkish capital I, which has a dot, in lower case
)
"""Vowel points and other marks that most texts leave out."""
_UNSPACED = (
    r"[[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Line_Break=Complex_Context}]"
    r"&&[\p{L}\p{N}]]"
)
_ELSEWHERE = rf"[\p{{L}}--[\p{{Latin}}{_UNSPACED}]]"
"""Letters of the scripts in which an apostrophe is one of them."""
_RUN = _compiled(
    rf"""[\p{{L}}\p{{N}}][\p{{L}}\p{{N}}\p{{M}}]*+
        (?:(?: (?<=[{_ELSEWHERE}\p{{M}}])['\u2019](?={_ELSEWHERE})
             | (?<=\p{{Latin}})·(?=\p{{Latin}})
             | (?<=\p{{Hebrew}})["״](?=\p{{Hebrew}}))
           [\p{{L}}\p{{N}}\p{{M}}]++)*+
    | \p{{Regional_Indicator}}{{2}}
    | [\p{{Extended_Pictographic}}--[©®]]"""
)
"""Letters, digits and marks that no space parts; a flag; an emoji."""
_PARTS = _compiled(rf"(?P<unspaced>{_UNSPACED}[{_UNSPACED}\p{{M}}]*+)|(?:(?!{_UNSPACED}).)++")
_CHARACTERS = _compiled(r".\p{M}*+")


def words_of(text: str, rule: str) -> list[str]:
    """The words of a text, each once, in the order in which they appear first.

    Parameters
    ----------
    text : str
    rule : {"unicode", "plain"}
    """
    return list(dict.fromkeys(_RULES[rule](text)))


def _plain(text: str) -> Iterable[str]:
    return _PLAIN.findall(text.lower())


def _unicode(text: str) -> Iterable[str]:
    # Both rules are one where there is nothing but ASCII, and this one is slower.
    return _plain(text) if text.isascii() else _unicode_parts(_normalised(text))


def _unicode_parts(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        if run[0].isascii():
            yield run[0]
            continue
        for part in _PARTS.finditer(run[0].replace("\u2019", "'")):
            if part["unspaced"] is None:
                yield part[0]
            else:
                yield from _with_neighbours(_CHARACTERS.findall(part[0]))


def _with_neighbours(characters: Sequence[str]) -> Iterator[str]:
    """Single characters, and each with the one behind it."""
    yield from characters
    yield from map("".join, itertools.pairwise(characters))


_RULES: dict[str, Callable[[str], Iterable[str]]] = {"unicode": _unicode, "plain": _plain}


def _normalised(text: str) -> str:
    text = _MARKS.sub(r"\1", _DROPPED.sub("", text))
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _POINTS.sub("", unicodedata.normalize("NFKC", folded))


def check_text(text: object) -> str:
    """The text itself.

    Raises
    ------
    ItemError
        If it is no string, or holds what no file can: half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise ItemError(
            f"a text of type {type(text).__name__}", "a string", "Give it as one, or leave it out."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ItemError(
            f"text {shown(text)} holds half of a surrogate pair, U+{ord(text[error.start]):04X}",
            "text in Unicode",
            "Repair its encoding, or leave it out.",
        ) from error
    return text


def check_words(text: str, rule: str) -> list[str]:
    """The words of a text, at least one.

    Raises
    ------
    ItemError
        If it is no string, no Unicode, or has no words.
    """
    words = words_of(check_text(text), rule)
    if not words:
        raise ItemError(
            f"text {shown(text)} has no words",
            "at least one word",
            "Give it words, or leave it out.",
        )
    return words


def shown(text: str) -> str:
    """A text as a message shows it: quoted, of bearable length."""
    if len(text) <= SHOWN_CHARACTERS:
        return repr(text)
    return f"{text[:SHOWN_CHARACTERS]!r}... ({len(text):,} characters)"


def _listed(words: Sequence[str]) -> str:
    """The first of some words, for a message."""
    cut = [w if len(w) <= SHOWN_CHARACTERS else f"{w[:SHOWN_CHARACTERS]}..." for w in words]
    more = len(words) - SHOWN_WORDS
    return ", ".join(cut[:SHOWN_WORDS]) + (f" and {more:,} more" if more > 0 else "")


class Vocabulary:
    """Words with a place in the bag; part of the encoder.

    Parameters
    ----------
    words : sequence of str
        In order of their columns.
    rule : {"unicode", "plain"}
        How texts are split, as `words_of` takes it.
    """

    def __init__(self, words: Sequence[str], rule: str) -> None:
        self.words = tuple(words)
        self.rule = rule
        self._columns = {word: column for column, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def bag(self, text: str) -> NDArray[np.float32]:
        """Bag of words, of unit length.

        Returns
        -------
        float32 (words,)

        Raises
        ------
        ItemError
            If the text is empty or no Unicode, or none of its words is known.
        """
        words = check_words(text, self.rule)
        known = [self._columns[word] for word in words if word in self._columns]
        if not known:
            raise ItemError(
                f"none of the words of {shown(text)} is known to the encoder ({_listed(words)})",
                f"at least one of its {len(self)} words",
                "Use other words, or train on texts that have these.",
            )
        bag = np.zeros(len(self), np.float32)
        bag[known] = 1
        return bag / np.float32(np.sqrt(bag.sum()))

    def warnings(self, text: str) -> list[str]:
        """A sentence about the words of a text that `bag` leaves out."""
        words = words_of(text, self.rule)
        unknown = [word for word in words if word not in self._columns]
        if not unknown:
            return []
        of = f"{len(unknown):,} of {len(words):,} words"
        verb = "is" if len(unknown) == 1 else "are"
        return [f"{of} {verb} unknown to the encoder and left out: {_listed(unknown)}"]


class WordCounts:
    """In how many texts each word stands: what a vocabulary is chosen by.

    Parameters
    ----------
    texts : iterable of str
    rule : {"unicode", "plain"}
    """

    def __init__(self, texts: Iterable[str], rule: str) -> None:
        self._rule = rule
        counts = Counter(word for text in texts for word in words_of(text, rule))
        self._ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))

    def vocabulary(self, min_texts: int, max_words: int) -> Vocabulary:
        """The words that stand in at least ``min_texts`` texts, the most frequent first."""
        words = [word for word, count in self._ranked[:max_words] if count >= min_texts]
        return Vocabulary(words, self._rule)

    def left_out(self, min_texts: int, max_words: int) -> list[str]:
        """Sentences about the words that `vocabulary` leaves out, with the options to change."""
        frequent = sum(count >= min_texts for _, count in self._ranked)
        sentences = []
        if rare := len(self._ranked) - frequent:
            sentences.append(
                f"the vocabulary leaves out {rare:,} of {len(self._ranked):,} words, which stand "
                f"in fewer than {min_texts:,} texts; min_word_texts changes it"
            )
        if frequent > max_words:
            sentences.append(
                f"the vocabulary keeps the {max_words:,} most frequent of {frequent:,} words; "
                "max_words changes it"
            )
        return sentences
