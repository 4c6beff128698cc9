"""Does a text state an answer? By words, numbers and their order, and not where it denies it. And does a probe hold?

Used wherever an answer is judged: by the gate, by verification, by the bench. Pure text; it knows no model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from lifelearn.learning.types import Probe
from lifelearn.learning.words import MARKS, STOPWORDS, UNSPACED, content_words, listed, stem, stems

TEXT_LIMIT = 20_000  # characters of an answer and of a text that are read

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        listed(
            """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
            seventeen eighteen nineteen twenty"""
        )
    )
}
_TENS = {word: str(10 * n) for n, word in enumerate(listed("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound"}
_TOKEN = re.compile(
    rf"[$€£]|\d+(?:[.,:]\d+)*(?=\s*(?:am|pm|km|kg|cm|mm|m|h|min|gb|mb|tb|%|[^\w]|_|$))|[{UNSPACED}]"
    rf"|(?:(?![{UNSPACED}])[^\W_]|[{MARKS}])+|%|[.;!?,:。、，]"
)
_BREAK = "|"
_NEGATORS = frozenset(("not", "never", "instead", "rather", "neither", "nor", "cannot", "without"))
_STEP_END = re.compile(r"[,;\n]|(?<=\w)\.\s|\b(?:then|finally|next|before|after)\b", re.IGNORECASE)
_ORDER = re.compile(r"\b(?:then|after(?:wards)?|before|first(?:ly)?|finally|next|last(?:ly)?)\b", re.IGNORECASE)


def _folded(text: str) -> str:
    """Case and accents folded, contracted negations written out."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold().replace("’", "'"))
    text = unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", text))
    return re.sub(r"n't\b", " not", re.sub(r"\bcan't\b", "cannot", text))


def tokens_of(text: str) -> list[str]:
    """Comparable words: plurals, number words and currency signs folded too; `_BREAK` ends a clause."""
    tokens: list[str] = []
    currency = ""
    for word in _TOKEN.findall(_folded(text)):
        if word in _CURRENCIES:
            if tokens and tokens[-1][0].isdigit():  # "49 €"
                tokens.append(_CURRENCIES[word])
            else:  # "$49": the sign is said after the number
                currency = _CURRENCIES[word]
            continue
        digit = NUMBER_WORDS.get(word, "")
        if len(digit) == 1 and tokens and tokens[-1] in _TENS.values():
            tokens[-1] = tokens[-1][0] + digit  # "twenty-five"
        elif digit or word in _TENS:
            tokens.append(digit or _TENS[word])
        elif word[0].isdigit() and word[-1].isdigit():
            tokens.append(re.sub(r",(?=\d{3}\b)", "", word))
        elif word == "%":
            tokens.append("percent")
        elif not word[0].isalnum():
            tokens.append(_BREAK)
        else:
            is_plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
            tokens.append(word[:-1] if is_plural else word)
        if currency and tokens[-1][0].isdigit():
            tokens.append(currency)
            currency = ""
    return tokens


def _negated(tokens: Sequence[str], start: int, end: int) -> bool:
    """Whether the words before or after tokens[start:end] deny them: "not in Lyon", "Lyon is wrong"."""
    before = list(tokens[max(0, start - 4) : start])
    for stop in (_BREAK, "but", "only", "just"):
        if stop in before:
            before = before[len(before) - before[::-1].index(stop) :]
    if _NEGATORS & set(before) or (before and before[-1] == "no"):
        return True
    after = list(tokens[end : end + 2])
    return len(after) == 2 and after[0] in ("is", "was", "are") and after[1] in ("not", "wrong", "incorrect", "false")


def _occurrences(wanted: Sequence[str], tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where `wanted` occurs in order; with a number in it, two other words may stand between ("25 paid days")."""
    gap = 2 if any(word[0].isdigit() for word in wanted) else 0
    for start, token in enumerate(tokens):
        if token != wanted[0]:
            continue
        position = start
        for word in wanted[1:]:
            window = tokens[position + 1 : position + 2 + gap]
            if word not in window or _BREAK in window[: window.index(word)]:
                break
            position += 1 + window.index(word)
        else:
            yield start, position + 1


def _order_kept(answer: str, text: str) -> bool:
    """Whether the first step of the answer comes before its last one in the text, as far as both are told apart."""
    steps = [stems(part) for part in _STEP_END.split(answer)]
    steps = [step for step in steps if step]
    if len(steps) < 2 or not _ORDER.search(answer):
        return True
    words = [stem(word) for word in content_words(text)]
    first = [i for i, word in enumerate(words) if word in steps[0] - steps[-1]]
    last = [i for i, word in enumerate(words) if word in steps[-1] - steps[0]]
    return not first or not last or first[0] < last[-1]


def stated(answer: str, text: str) -> bool:
    """Whether `text` states `answer`.

    Up to five content words, the answer's words must occur together, and not denied; case, punctuation, accents,
    plurals and the spelling of small numbers do not matter, and "25" is not found in "125". Of a longer answer, at
    least 70 % of the content words must occur, the first step before the last one where it is in steps.
    """
    answer, text = answer[:TEXT_LIMIT], text[:TEXT_LIMIT]
    said = tokens_of(answer)
    wanted = [token for token in said if token != _BREAK]
    core = [token for token in wanted if token not in STOPWORDS] or wanted
    if not core:
        return False
    tokens = tokens_of(text)
    if len(wanted) > 1 and _BREAK in said[said.index(wanted[0]) : len(said) - said[::-1].index(wanted[-1])]:
        tokens = [token for token in tokens if token != _BREAK]  # "December 29, 1998": its commas end no clause
    if len(core) > 5:
        present = {stem(token) for token in tokens}
        found = sum(stem(token) in present for token in dict.fromkeys(core))
        return found >= 0.7 * len(dict.fromkeys(core)) and _order_kept(answer, text)
    while wanted[0] in STOPWORDS - _NEGATORS and wanted != core and len(wanted) > 1:
        wanted = wanted[1:]
    own_negation = bool(_NEGATORS & set(wanted))
    return any(own_negation or not _negated(tokens, start, end) for start, end in _occurrences(wanted, tokens))


def holds(probe: Probe, before: str, after: str) -> bool:
    """Whether an answer passes.

    efficacy, generalisation, retention: it states what is right. neighbour, unrelated: what is right stays
    right, and the corrected answer appears only where the parent already gave it.
    """
    if probe.kind in ("efficacy", "generalisation", "retention"):
        return stated(probe.answer, after)
    leaked = bool(probe.forbidden) and stated(probe.forbidden, after) and not stated(probe.forbidden, before)
    lost = bool(probe.answer) and stated(probe.answer, before) and not stated(probe.answer, after)
    return not leaked and not lost
