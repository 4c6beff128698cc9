"""Words of a text: normal forms, content words, stems. Pure text; it knows no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

# Longer texts are cut here: what a correction says, it says early, and patterns must not run away on a pasted book.
MESSAGE_LIMIT = 4_000

WORD = re.compile(r"[^\W_]+(?:['.,:/-][^\W_]+)*|[$€£%]")


def listed(text: str) -> list[str]:
    """The words of a list written as one text."""
    return text.split()


STOPWORDS = frozenset(
    listed(
        """a an the this that these those it its it's he she they him them his her their we you i me my your our us
        is are was were be been being am do does did done has have had having will would can could shall should may
        might must to of in on at by for from with about as into and or but so if then than too very just also only
        even not no nope yes yeah there here what which who whom whose when where why how per every each all any some
        well actually really please lol haha oh um hmm s t re ve ll d m don didn doesn isn wasn aren can't don't
        isn't wasn't aren't doesn't didn't won't you're i'm they're he's she's that's there's one"""
    )
)

SUFFIXES = listed("ations ation ingly edly ings ing ies ied ers ed es ly er s e y")

# Scripts without spaces between words: each of their characters is a word of its own.
UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and other marks that \w leaves out but that belong to their word.
MARKS = "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_NORMAL_WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_]|[{MARKS}])+")


_EMOTICON = re.compile(r"(?<!\S)[:;=]['-]?[()DPpOo|/](?!\S)")
_RUNS = re.compile(r"[^\S\n]++(?:\n\s*+)?|\n\s*+")


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text as the patterns expect it: NFKC, straight quotation marks, no control characters, cut at `limit`.

    White space in a row is one space, or one end of a line where it has such: patterns that take white space in
    several places would try all the ways to share out a long row of it.
    """
    text = unicodedata.normalize("NFKC", text[:limit])[:limit]
    text = text.translate(str.maketrans("’‘ʼ´`“”„«»", "'''''\"\"\"\"\""))
    text = _EMOTICON.sub(" ", text)
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    return _RUNS.sub(lambda run: "\n" if "\n" in run[0] else " ", text)


def capitalised(text: str) -> str:
    """The text with a capital at its start."""
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """A sentence within a sentence: its first letter small, unless it begins with an abbreviation or with "I"."""
    return text if text[:2] == "I " or text[1:2].isupper() else text[:1].lower() + text[1:]


def normalise(text: str) -> str:
    """Case-folded words with single spaces and without punctuation: the form in which texts are compared."""
    return " ".join(_NORMAL_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def content_words(text: str) -> list[str]:
    """The words that carry meaning, case-folded, in order."""
    words = (word.casefold() for word in WORD.findall(text.replace("’", "'")))
    return [word for word in words if word not in STOPWORDS]


def stem(word: str) -> str:
    """A crude stem, enough to match 'works' with 'worked' and 'tests' with 'test'."""
    end = len(word)
    while cut := next((len(each) for each in SUFFIXES if end >= len(each) + 3 and word.endswith(each, 0, end)), 0):
        end -= cut
    return word[:end]


def stems(text: str) -> set[str]:
    """The stems of the content words; a possessive counts as its owner ("Acme's" as "Acme")."""
    return {stem(word.removesuffix("'s")) for word in content_words(text)}


def distinct(texts: Iterable[str], but: Iterable[str] = ()) -> list[str]:
    """Texts in order, without repetitions and without those in `but`; case and punctuation don't count."""
    seen = {normalise(text) for text in but}
    found = []
    for text in texts:
        key = normalise(text)
        if key and key not in seen:
            seen.add(key)
            found.append(text)
    return found


def near_duplicates(one: str, other: str) -> bool:
    """Whether two wordings are the same but for a few letters: trigrams of the normalised texts overlap by 0.8."""
    first, second = _trigrams(one), _trigrams(other)
    return len(first & second) >= 0.8 * len(first | second)


def unlike(texts: Iterable[str], others: Sequence[str]) -> list[str]:
    """The texts that nearly duplicate none of the others."""
    return [text for text in texts if not any(near_duplicates(text, other) for other in others)]


@lru_cache(maxsize=256)  # each text is compared with many
def _trigrams(text: str) -> frozenset[str]:
    padded = f"  {normalise(text)}  "
    return frozenset(padded[index : index + 3] for index in range(len(padded) - 2))
