"""What a sentence says against what: "X, not Y"; and messages that say what excludes each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lifelearn.learning.author.english.reading import phrases
from lifelearn.learning.author.english.reading.sentences import sentences
from lifelearn.learning.examiner.marking import tokens_of
from lifelearn.learning.words import STOPWORDS, clean, normalise, stems

_CONTRAST_MARK = phrases.pattern(
    r"""(?:^|[\s,;:(–—-])(?P<mark>(?:(?:and\s+|but\s+)?not|and\s+never|rather\s+than|instead\s+of|in\s+place\s+of|
        as\s+opposed\s+to|versus))(?=\s)"""
)
_CLAUSE_END = re.compile(r"[.;!?,\n()]")
_NOT_BUT = phrases.pattern(
    r"""(?:\bnot|n't)\s+(?P<wrong>[^,.;!?]{1,80})[\s,;–—.-]+(?:but|it's|it\s+is|they're|rather|
        instead)\s+(?P<right>[^,.;!?]{1,120})"""
)
_VERB_BEFORE_NOT = phrases.pattern(
    r"""\b(?:is|are|was|were|(?<!\d\s)am|be|do|does|did|has|have|had|can|could|will|would|should|may|might|must|but|
        's|'re|'m)$"""
)
_IS_CLAUSE = phrases.pattern(
    r"""^\W*(?:(?:no|wrong|actually|well|and|but)\W+)*(?P<subject>\w[\w' -]{0,60}?)(?:\s+(?:is|are|was|were)|'s|
        're)\s+(?P<no>not\s+)?(?P<value>\S.*)$"""
)
_BOTH_WAYS = phrases.pattern(
    r"""\b(?:right\s+and\s+(?:also\s+)?wrong|wrong\s+and\s+(?:also\s+)?right|true\s+and\s+(?:also\s+)?false|
        false\s+and\s+(?:also\s+)?true)\b"""
)


@dataclass(frozen=True)
class Contrast:
    """ "X, not Y": what is right, what is wrong. Each is a part of the sentence; `right` may be a whole clause."""

    right: str
    wrong: str


def contrast_in(sentence: str) -> Contrast | None:
    """The contrast that a sentence draws, if it draws one: "X, not Y", "X instead of Y", "not Y but X"."""
    for found in _CONTRAST_MARK.finditer(sentence):
        right, rest = sentence[: found.start()].strip(" ,;:–—-("), sentence[found.end() :].strip()
        wrong = _CLAUSE_END.split(rest, maxsplit=1)[0].strip()
        if _VERB_BEFORE_NOT.search(right) and found["mark"].casefold().endswith("not"):
            continue  # "is not Y" is a plain negation
        if wrong and (stems(right) - phrases.META or phrases.NUMBER.search(right)):
            return Contrast(right, wrong)
    found_but = _NOT_BUT.search(sentence)
    if found_but and stems(found_but["right"]) and not phrases.NEGATION.search(found_but["right"]):
        return Contrast(found_but["right"].strip(), found_but["wrong"].strip())
    return None


def contradicts_itself(message: str) -> bool:
    """Whether a message says what excludes each other: "It is Lyon, not Lyon", "It's 25. It's 30." """
    message = clean(message)
    if _BOTH_WAYS.search(message):
        return True
    for sentence, _ in sentences(message):
        contrast = contrast_in(sentence)
        wrong = tokens_of(contrast.wrong) if contrast else []
        right = tokens_of(contrast.right) if contrast else []
        if wrong and right[-len(wrong) :] == wrong and set(right[: -len(wrong)][-1:]) <= STOPWORDS:
            return True  # but not "mezzo soprano, not soprano"
    values: dict[str, set[str]] = {}
    denied: dict[str, set[str]] = {}
    for clause in re.split(r"[,;.!?\n](?!\d)", message):
        found = _IS_CLAUSE.match(re.sub(r"\b(is|are|was|were)n't\b", r"\1 not", clause, flags=re.IGNORECASE))
        if found:
            of = denied if found["no"] else values
            of.setdefault(normalise(found["subject"]), set()).add(normalise(found["value"]))
    for subject, said in values.items():
        numbers = {value for value in said if re.fullmatch(r"\d[\d ]*", value)}
        if said & denied.get(subject, set()) or len(numbers) > 1:
            return True
    return False
