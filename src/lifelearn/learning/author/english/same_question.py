"""Whether two questions ask for one thing, by rules of English: the same but for its wording.

A doubt speaks against it: what is told of another question does more harm than what is not told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lifelearn.learning.author.english.relations import Relation, recognise
from lifelearn.learning.words import WORD, clean, content_words, normalise, stem, stems

QUESTION_CHARS = 1_000  # of a question that are compared
KEPT = 2_000  # questions that are taken apart once: the same stored ones are compared with each that is asked

# Words that come and go when a question is put in another way, as stems.
_LIGHT = stems(
    """get got give tell told say know want need like find call called name named number amount many much exactly
    exact currently current now today total altogether right correct remind question answer use used using take takes
    go goes come comes let look think sure mean means happen usually normally generally really company team office
    person somebody someone thing kind sort type people"""
)
_NEGATED = re.compile(r"\b(?:not|no|never|without|except|neither|nor|none|cannot)\b|n't\b", re.IGNORECASE)
_PERSONS = {
    "i": re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE),
    "you": re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE),
    "he": re.compile(r"\b(?:he|him|his)\b", re.IGNORECASE),
    "she": re.compile(r"\b(?:she|her|hers)\b", re.IGNORECASE),
}
_POLITE = re.compile(
    r"^\W*(?:(?:hi|hello|hey|please|ok(?:ay)?|so|thanks?)\b[\s,.!]*)*"
    r"(?:(?:can|could|would|will)\s+you\s+(?:please\s+)?(?:tell|remind|say|explain)(?:\s+(?:me|us))?(?:\s+again)?\s*,?\s*"
    r"|(?:do|does)\s+(?:you|anyone|anybody)\s+know\s*,?\s*|(?:please\s+)?(?:tell|remind)\s+(?:me|us)(?:\s+again)?\s*[,:]?\s*"
    r"|(?:i|we)(?:'d|\s+would|\s+want|\s+need|\s+'d)?\s*(?:like\s+|want\s+)?to\s+know\s*,?\s*)?",
    re.IGNORECASE,
)
_HANGING = re.compile(r"\b(?:of|to|for|by|from|with|under|over)\W*$", re.IGNORECASE)
_TAIL = re.compile(r"\b(?:please|again|thanks?(?:\s+you)?|right\s+now|these\s+days)$", re.IGNORECASE)
_MARKS = " \n,?.!"
# What is asked for; the first that fits. "what" asks for anything.
_ASKS = (
    ("count", r"how\s+(?:many|much)\b|(?:what|which)\s+(?:is|are|was|were)\s+the\s+(?:total\s+)?(?:number|amount)\b"),
    ("when", r"when\b|(?:at\s+|on\s+)?(?:what|which)\s+(?:week)?(?:day|date|time|month|year|hour)s?\b|since\s+when\b"),
    ("where", r"where\b|(?:in\s+)?(?:what|which)\s+(?:city|town|place|country|room|building|floor)\b"),
    ("who", r"who(?:m|se)?\b|(?:what|which)\s+(?:person|colleague)\b"),
    ("why", r"why\b|what\s+for\b"),
    ("how", r"how\b"),
    ("what", r"(?:to|for|by|with|from|on|in|at)?\s*(?:what|which)\b|name\b|(?:the|a|an|our)\b"),
    ("whether", r"(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|may|must|isn't|aren't)\b"),
)
_KINDS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _ASKS)


# It says little without what was said before: "And in Munich?"
_LEANS = re.compile(
    r"\W*(?:and|or|but|what\s+about|how\s+about|same)\b|\W*(?:why|how\s+(?:so|come)|when|where|who|which|what)\W*$",
    re.IGNORECASE,
)


def leans(question: str) -> bool:
    """Whether the question needs what was said before it, and would be learned without that."""
    return bool(_LEANS.match(question)) or not normalise(question) or (len(content_words(question)) == 0)


def is_same_question(one: str, other: str) -> bool:
    """Whether two questions ask for the same thing in words that may differ.

    Other subjects, other relations, another number, person, order or negation make another question: the words that
    only one of the two has must be such that say nothing by themselves.
    """
    return are_same(Asked.of(one), Asked.of(other))


@dataclass(frozen=True)
class Asked:
    """A question as it is compared. plain: without politeness. The rest is of that, and empty where it leans."""

    leans: bool
    normal: str
    plain: str = ""
    plain_normal: str = ""
    relation: tuple[Relation, str] | None = None
    stems: frozenset[str] = frozenset()

    @staticmethod
    @lru_cache(maxsize=KEPT)
    def of(text: str) -> Asked:
        text = text[:QUESTION_CHARS]
        normal = normalise(text)
        if leans(text):
            return Asked(True, normal)
        plain = _plain(text)
        return Asked(False, normal, plain, normalise(plain), recognise(_asking(plain)), frozenset(stems(plain)))


def are_same(one: Asked, other: Asked) -> bool:
    if one.leans or other.leans:
        return False
    if one.normal == other.normal or one.plain_normal == other.plain_normal != "":
        return True
    if one.relation and other.relation:
        (first, of), (second, of_other) = one.relation, other.relation
        same = first.name == second.name and _subject(of) == _subject(of_other)
        return same and _agree(one.plain, other.plain)
    shared = (one.stems & other.stems) - _LIGHT
    if not shared or not one.stems ^ other.stems <= _LIGHT:
        return False
    return _kinds_agree(one.plain, other.plain) and _agree(one.plain, other.plain)


def _agree(one: str, other: str) -> bool:
    if bool(_NEGATED.search(one)) != bool(_NEGATED.search(other)):
        return False
    if any(bool(form.search(one)) != bool(form.search(other)) for form in _PERSONS.values()):
        return False
    if re.findall(r"\d+(?:[.,:]\d+)*", one) != re.findall(r"\d+(?:[.,:]\d+)*", other):
        return False
    if _kind(one) in ("who", "whether"):
        # "Does Anna report to Bert?" has the words of its opposite, and so has "Who is Anna the manager of?"
        hang = bool(_HANGING.search(one)) == bool(_HANGING.search(other))
        return hang and _order(one, other) == _order(other, one)
    return True


def _order(one: str, within: str) -> list[str]:
    """The stems of a text that both have, in its order, each once."""
    common = stems(within) - _LIGHT
    return list(
        dict.fromkeys(word for word in (stem(each.removesuffix("'s")) for each in content_words(one)) if word in common)
    )


def _kinds_agree(one: str, other: str) -> bool:
    first, second = _kind(one), _kind(other)
    return first == second or {first, second} == {"what", ""}


def _kind(text: str) -> str:
    return next((name for name, pattern in _KINDS if pattern.match(text)), "")


def _plain(text: str) -> str:
    """Without what is said for politeness at both ends."""
    text = _POLITE.sub("", clean(text, QUESTION_CHARS), count=1).rstrip(_MARKS)
    text = _TAIL.sub("", text).rstrip(_MARKS)
    return re.sub(r"^(what|who|where|when|how)(?:'s|s)\b", r"\1 is", text, flags=re.IGNORECASE)


def _asking(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}?"


def _subject(name: str) -> str:
    return " ".join(word for word in WORD.findall(name.casefold()) if word not in ("the", "our", "a", "an"))
