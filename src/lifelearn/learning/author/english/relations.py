"""Ways of asking about common relations, in English: what makes paraphrases really different.

Wrapping a question in phrases is not paraphrasing; "Where is X headquartered?" has to be learned as
"Which city is X's head office in?" too. A small model cannot be trusted to write such questions, so
the commonest relations are listed with several wordings each and with the sentence that answers them.
A question is recognised by any of its wordings; the others are its paraphrases, and the wordings of
other relations are questions about the same subject that have other answers. The table is relations.toml;
augment.py uses it, and a question outside of it goes another way there.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

MAX_QUESTION = 400  # characters; a longer question is no wording of this table


@dataclass(frozen=True)
class Relation:
    """asks: wordings with {s} for the subject. states: sentences with {s} and {a}; the first is preferred.

    kinds: what the subject can be: person, organisation, work (book, film, song), place, product, team, rule, event,
    contest, species, substance, vessel, term, task ("the canteen"), activity ("travel bookings"), thing ("the spare
    keys"), action ("book a room"), moment ("I leave the office").
    rule: whether it is of a company or of what it sells, like its refund period, and no fact about the world; None if
    not known.
    """

    name: str
    kinds: tuple[str, ...]
    asks: tuple[str, ...]
    states: tuple[str, ...]
    rule: bool | None = None


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _read() -> tuple[Relation, ...]:
    table = tomllib.loads(files(__package__).joinpath("relations.toml").read_text("utf-8"))
    return tuple(
        Relation(name, tuple(each["kinds"]), tuple(each["asks"]), tuple(each["states"]), each.get("rule", False))
        for name, each in table.items()
    )


RELATIONS: tuple[Relation, ...] = _read()

# Relations that often have one answer: a question of one is no question with another answer for the others.
RELATED: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split(", "))
    for line in (
        "headquarters, location, formed in",
        "location, venue, water, state, country, continent, part of",
        "country, citizenship",
        "residence, workplace",
        "deathplace, burial place",
        "author, screenwriter, composer, performer",
        "actor, cast, character, performer",
        "production company, producer, network, record label, publisher",
        "manufacturer, designer, inventor, operator, owner, products, publisher",
        "architect, designer",
        "employer, member of, military branch, political party",
        "sport team, member of, league, draft",
        "profession, field",
        "sport, league",
        "series, part of, based on",
        "native language, place language, work language",
        "release date, event date, founded, schedule, deadline",
        "responsible, responsible approver, contact, leader, operator",
        "cause of death, illness",
        "founder, leader, owner",
        "industry, products",
        "built, opened, founded, release date, service entry, discovery date, event date, independence",
        "rank, office, profession, leader, gender, known for",
        "mountain range, part of, location, line, ends at, next station, minor planet group, airline alliance",
        "mouth, source, water, bridge over",
        "star type, genre, ship class, taxonomic rank",
        "subsidiary, products, known for",
        "spoken in, endemic to, country, location, continent",
        "sequel, successor, predecessor, series",
        "filming location, setting, location, country, venue",
        "coach, leader, commander",
        "sides, participants",
        "first team, sport team, member of, employer",
        "ethnic group, citizenship, native language, religion, allegiance",
        "editor, publisher, director, producer, cinematographer, illustrator, author, designer",
        "presenter, performer, cast, actor, character",
        "distributor, publisher, production company, record label, network",
        "based on, main subject",
        "programming language, platform, game engine, based on, work language",
        "diocese, location, state",
        "movement, genre, member of, field",
        "allegiance, country, military branch",
        "family, birth name, language family",
        "collection, location, owner, kept",
        "known for, profession, field, award, sport",
        "nomination, award",
        "capacity, population, staff",
        "opens, opening hours, check-in, support hours",
        "closes, opening hours, check-out, support hours",
        "backups, log retention",
        "support address, contact, incident channel",
        "delivery time, response time, refund period",
        "on call, maintainer, responsible, contact",
        "probation, notice period, schedule duration",
        "price, price per month, deposit",
        "vpn, tool, database",
        "residence, deathplace, birthplace, workplace",
        "storage, file size, seats, rate limit",
    )
)


def are_related(one: Relation, other: Relation) -> bool:
    """Whether two relations may have the same answer: the same, by name or by its first word, or often so."""
    return one.name.split()[0] == other.name.split()[0] or any({one.name, other.name} <= group for group in RELATED)


# "What city …", "In what city …": "Which city …".
_VERBS = "is|are|was|were|does|do|did|has|have|can|must|should|will|comes|happens"
_WHAT = re.compile(rf"(?i)^((?:in|on|at|by|for|to|of|with|from|under|until) )?what (?=[a-z])(?!(?:{_VERBS})\b)")


@cache
def _patterns() -> tuple[tuple[int, re.Pattern[str], Relation], ...]:
    """All wordings as patterns with their lengths, the most specific (longest) first; past tense as present."""
    found = []
    for relation in RELATIONS:
        for ask in relation.asks:
            present = re.sub(r"^(What|Who|Where|When|Which) (?:was|were) ", r"\1 is ", _WHAT.sub(r"\1which ", ask))
            fixed = re.escape(present.rstrip("?.")).replace(re.escape("{s}"), r"(?P<s>.+?)", 1)
            found.append((len(present), re.compile(fixed + r"[?.!\s]*", re.IGNORECASE), relation))
    return tuple(sorted(found, key=lambda entry: -entry[0]))


def recognise(question: str) -> tuple[Relation, str] | None:
    """The relation that a question asks about, and the subject; None if no wording fits.

    Several relations share a wording ("Who runs …?"): a subject in small letters ("the support hotline")
    is a thing or a task, a capitalised one a person or an organisation.
    """
    question = re.sub(
        r"(?i)\b(what|who|where|when)['’]s\b", r"\1 is", question.replace("’", "'").strip()[:MAX_QUESTION]
    )
    question = re.sub(r"(?i)^(what|who|where|when|which) (?:was|were)\b", lambda m: f"{m[1]} is", question)
    question = _WHAT.sub(r"\1which ", question)
    best: tuple[int, Relation, str] | None = None
    for fixed, pattern, relation in _patterns():
        if best is not None and fixed < best[0]:
            break
        found = pattern.fullmatch(question)
        if found and not (found.end("s") == len(question.rstrip("?.! ")) and _CLAUSE.fullmatch(found["s"])):
            subject = found["s"].strip()
            if _fits(relation, subject):
                return relation, subject
            if "term" not in relation.kinds:
                best = best or (fixed, relation, subject)
    if best is not None:
        return best[1], best[2]
    return _noun_relation(question)


# "Where was the first lighthouse built?" does not ask where a "first lighthouse built" is.
_CLAUSE = re.compile(
    r".+ (?:[a-z]{3,}(?<!e)ed|born|built|made|held|set|sold|kept|found|sung|shot|led|won|paid|sent|taught)[?.!\s]*"
)
# "the API rate limit", "name of the data protection officer"; no clause: "first thing to do when the alarm sounds".
_NOUN_WORD = r"(?!(?:that|who|which|to|when|if|before|after|on|in|at|by|for|from|with|called)\b)[a-z-]+"
_NOUN = rf"(?P<n>(?:[A-Z]+ )?{_NOUN_WORD}(?: {_NOUN_WORD}){{0,4}}?)"
_NOUN_OF = re.compile(
    r"(?P<wh>What|Which|Who) (?:is|are) (?:the )?(?:name of )?(?:the )?"
    rf"{_NOUN} (?P<of>of|for|at|in|on) (?P<s>(?!which\b|whom\b).+?)[?.!\s]*"
)
_NOUNS = re.compile(rf"(?P<wh>What|Which|Who) (?:is|are) (?P<s>[^?]+?)['’]s? {_NOUN}(?:'s name)?[?.!\s]*")


def _noun_relation(question: str) -> tuple[Relation, str] | None:
    """A relation made for "What is the N of S?" and "What is S's N?", whatever the noun."""
    found = _NOUN_OF.fullmatch(question) or _NOUNS.fullmatch(question)
    if not found:
        return None
    noun, subject, parts = found["n"], found["s"], found.groupdict()
    known = next((each for each in RELATIONS if each.name == noun), None)
    kinds, more = (known.kinds, known.asks) if known else (("organisation", "product"), ())
    asks = _PERSON_ASKS if found["wh"] == "Who" else _NOUN_ASKS
    if subject[:1].islower() and " at " in subject:  # "log files at Acme" has no possessive
        asks = tuple(ask for ask in asks if "{s}'s" not in ask and "does {s}" not in ask)
    of = parts.get("of") or "of"
    said = (ask.replace("{n}", noun).replace("{of}", of) for ask in asks)
    rule = known.rule if known else None
    return Relation(noun, kinds, (*said, *more), (f"The {noun} {of} {{s}} is {{a}}.",), rule), subject


_NOUN_ASKS = _lines(
    """What is the {n} {of} {s}?
    What is {s}'s {n}?
    Tell me the {n} {of} {s}.
    Which {n} does {s} have?
    What {n} belongs to {s}?
    I need to know {s}'s {n}. What is it?
    For {s}, what is the {n}?
    Do you know the {n} {of} {s}?
    {s}: what {n}?
    {s} {n}?"""
)
_PERSON_ASKS = _lines(
    """Who is the {n} {of} {s}?
    Who is {s}'s {n}?
    What is the name of the {n} {of} {s}?
    Tell me who the {n} {of} {s} is.
    Whom does {s} have as {n}?
    Who acts as {n} {of} {s}?
    Which person is the {n} {of} {s}?
    I need to speak to the {n} {of} {s}. Who is it?
    For {s}, who is the {n}?
    {s}: who is the {n}?
    {s} {n}?"""
)


def _fits(relation: Relation, subject: str) -> bool:
    if "term" in relation.kinds:
        return len(subject.split()) == 1
    words = subject.removeprefix("the ").removeprefix("The ").split()
    named = bool(words) and words[0][:1].isupper()
    return named or bool(
        {"task", "event", "contest", "product", "work", "term", "action", "moment", "activity", "thing", "substance"}
        & set(relation.kinds)
    )
