"""What a question is about: its subject, the relation that it asks for, and the kind of thing that answers it.

By rules alone, so that a question of any kind has one. A corrected question is taken apart once, as a `Question`, which
the stages hand on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from lifelearn.learning.author.english.relations import RELATIONS, Relation, recognise
from lifelearn.learning.words import capitalised, content_words, lowered, stem

SMALL = frozenset(
    "what which who whom whose where when why how is are was were do does did the a an of in on at to for by from "  # noqa: SIM905
    "with get be been has have many much".split()
)
_FIRST = SMALL | {"can", "could", "should", "would", "will", "may", "must", "had", "if", "as", "and", "but", "i", "we",
                   "my", "our", "your", "tell", "name", "give", "hi", "hello", "please"}  # fmt: skip
_SMALL_IN_TITLES = frozenset(("a", "an", "the", "of", "and", "in", "on", "at", "to", "for", "by", "from", "with"))
_NAMED = frozenset(("person", "organisation", "work", "place"))  # kinds of subject that have proper names
_OF_WHAT = re.compile(
    r"(?P<what>the (?:(?:tv|television|radio|video) )?(?:album|band|book|film|game|movie|musical|novel|opera|play|poem|"
    r"series|show|song) )(?P<own>.+)",
    re.IGNORECASE,
)
CONNECTING = frozenset(("of", "the", "&", "de", "la", "van", "von", "and", "for", "on", "no"))
TIES = "of|in|on|at|to|for|by|from|with|over|under|above|below|between|before|after|during|without|within|about|per"
SETTING = r"(?:In|At|For|On|With|As) [^,?]+"  # "At Acme, who approves …?"
_TAIL = re.compile(r" (?:in|on|at|for|with) (?:our|the|my|this|these) [a-z][a-z -]*(?=[?.!\s]*$)")
SET = re.compile(rf"(?P<where>{SETTING}), (?P<rest>[^?]+\?)", re.IGNORECASE)
_KINDS = (
    ("number", r"\bhow (?:many|much|long|old|far|often|big)\b|\bnumber of\b|\bprice\b|\bcost\b|\bfee\b"),
    ("time", r"\bwhen\b|\b(?:day|date|year|month|time)\b"),
    ("place", r"\bwhere\b|\b(?:city|town|place|country|location|state)\b"),
    ("person", r"\bwho(?:m|se)?\b|\bteam\b|\bname\b"),
)
# What says no more than the kind of question does.
_OF_THE_KIND = frozenset(("name", "year", "date", "day", "city", "town", "place", "person"))
_AUXILIARY = {"is": "be", "are": "be", "was": "be", "were": "be", "do": "do", "does": "do", "did": "do"}
_Gist = tuple[str, str, bool, frozenset[str]]


@dataclass(frozen=True)
class Subject:
    """What a question is about.

    name: as it stands in the question; kinds: see relations.py; relation: if recognised.
    """

    name: str
    kinds: tuple[str, ...]
    relation: Relation | None

    @property
    def short(self) -> str:
        """What one calls it the second time: "our staff meeting" for "the weekly staff meeting"; a name stays whole."""
        if "moment" in self.kinds:
            return gerund(self.name)
        if self.is_small_name:
            return titled(self.name)
        thing = re.split(rf" (?:{TIES}) ", re.sub(r"^(?:the|our|my|an?) ", "", self.name))[0].split()
        if has_capital(self.name) or len(thing) > 3:
            return self.name
        return " ".join(["the" if {"work", "product"} & set(self.kinds) else "our", *thing[-2:]])

    @property
    def is_small_name(self) -> bool:
        """Whether it is a name in small letters: "lord have mercy on the working man", if one asks who wrote it."""
        return bool(self.kinds) and set(self.kinds) <= _NAMED and not has_capital(self.name)


@dataclass(frozen=True)
class Question:
    """A question taken apart. kind: of thing that answers it, "" if not known."""

    text: str
    subject: Subject | None
    kind: str

    @classmethod
    def of(cls, text: str) -> Question:
        return cls(text, find_subject(text), kind_of_question(text))


def find_subject(question: str) -> Subject | None:
    """What the question is about: by its relation, else its longest capitalised span; None if it has neither.

    Where a relation stands in a setting ("At Acme, who approves …?"), the setting is what it is about; one that is
    no name and comes last ("… in our reports?") does not count.
    """
    found = recognise(question) or recognise(_TAIL.sub("", question))
    if found and len(found[1].split()) <= 9:
        relation, name = found
        return Subject(name, relation.kinds, relation)
    name = named_in(question)
    if alike := _asked_alike(question, name):
        return Subject(name, alike.kinds, alike)
    setting = SET.fullmatch(question)
    within = recognise(setting["rest"]) if setting else None
    if setting and within and (name := named_in(setting["where"])):
        return Subject(name, (), _set(setting["where"].replace(name, "{s}"), *within))
    return Subject(name, (), None) if name else None


def _asked_alike(question: str, name: str) -> Relation | None:
    """The only relation of which a wording asks with the same words: "What was Ann's nationality" as "What is …"."""
    gist = _gist(question.replace(name, "{s}", 1)) if name else None
    found = _relations_by_gist().get(gist, ()) if gist else ()
    return found[0] if len(found) == 1 else None


@cache
def _relations_by_gist() -> dict[_Gist, tuple[Relation, ...]]:
    found: dict[_Gist, tuple[Relation, ...]] = {}
    for relation in RELATIONS:
        for gist in filter(None, map(_gist, relation.asks)):
            if relation not in found.get(gist, ()):
                found[gist] = (*found.get(gist, ()), relation)
    return found


def _gist(ask: str) -> _Gist | None:
    """What remains of a wording without order and small words; None if that is nothing.

    Which kind of thing it asks for, and what stands before and after the subject, tell "By whom was Ann taught?" from
    "Who was taught by Ann?".
    """
    before, _, after = ask.replace("’", "'").partition("{s}")
    said = f"{before} {after}".replace(" 's", " ")
    kind, last = kind_of_question(ask), (before.split() or ["first"])[-1].lower()
    tie = last if last in ("first", "by") else _AUXILIARY.get(last, "")
    if kind == "time" and last == "did":  # "When did the shop open?" asks for no hour
        tie = last
    words = frozenset(stem(word) for word in content_words(said) if word not in _OF_THE_KIND)
    return (kind, tie, after.startswith("'"), words) if words else None


def _set(where: str, relation: Relation, about: str) -> Relation:
    """A relation in a setting, which is now what it is about: "In the {s} team, what do I do before I deploy?" """
    asks = []
    abouts = (about, gerund(about) if "moment" in relation.kinds else about)
    for index, ask in enumerate(relation.asks):
        said = ask.replace("{s}", abouts[index % 2])
        first, mark, rest = said.partition("? ")
        after = f"{first.rstrip('?')} {where[0].lower()}{where[1:]}?"
        asks += [f"{where}, {lowered(said)}", f"{after} {rest}" if mark else after]
    return Relation(relation.name, (), tuple(asks), ())


def gerund(clause: str) -> str:
    """ "pushing to production" for "I push to production"; the clause itself where it is none of that form."""
    found = re.fullmatch(r"(?:I|we|you|they) ([a-z]+)( .*)?", clause)
    if not found:
        return clause
    verb, rest = found[1], found[2] or ""
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb):
        verb += verb[-1]  # "run": running
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        verb = verb[:-1]
    return f"{verb}ing{rest}"


def named_in(question: str) -> str:
    """The longest capitalised span; "" if there is none."""
    spans: list[list[str]] = [[]]
    words = question.rstrip("?.!, ").split()
    for index, word in enumerate(words):
        capital = word[0].isupper() or word[0].isdigit() or word[0] in "\"“'"
        if index == 0:  # every sentence begins with a capital: "Jonas Steur is …", not "Does Steur …"
            capital = capital and word.lower() not in _FIRST and words[1:2] != [] and words[1][0].isupper()
        if capital and index and word.lower() in _FIRST and words[index - 1][-1] in ".?!":
            spans.append([])  # another sentence begins
            capital = False
        linked = bool(spans[-1]) and word.lower() in CONNECTING and words[index + 1 : index + 2] != []
        if capital or (linked and words[index + 1][0].isupper()):
            spans[-1].append(word)
        elif spans[-1]:
            spans.append([])
    return re.sub(r"['’]s?$", "", max((" ".join(span) for span in spans), key=len).strip("?.,!:;\"“”'"))


def distinctive(subject: Subject | None) -> list[str]:
    """The words of a subject that name it: capitalised ones and numbers; else all of a name, or a thing's longest."""
    if subject is None:
        return []
    words = [word.strip("?.,!:;") for word in subject.name.split()]
    named = [word for word in words if has_capital(word)]
    if not any(word[0].isalpha() for word in named):  # the 500 of "travel over 500 euros"
        named = []
    return named or (words if subject.is_small_name else [max(words, key=len)])


def has_capital(name: str) -> bool:
    """Whether a word of it begins with a capital or a digit."""
    return any(word[:1].isupper() or word[:1].isdigit() for word in name.split())


def titled(name: str) -> str:
    """A name with capitals, as in print: "Lord Have Mercy on the Working Man", "the movie The Wizard of Oz"."""
    what, own = taken_apart(name)
    small = _SMALL_IN_TITLES
    words = [capitalised(word) if word not in small or not index else word for index, word in enumerate(own.split())]
    return what + " ".join(words)


def taken_apart(name: str) -> tuple[str, str]:
    """What a title is the title of, if it says so, and the title: "the song ", "hey jude"."""
    found = _OF_WHAT.fullmatch(name)
    return (found["what"], found["own"]) if found else ("", name)


def kind_of_question(text: str) -> str:
    lowered = text.lower()
    return next((kind for kind, pattern in _KINDS if re.search(pattern, lowered)), "")
