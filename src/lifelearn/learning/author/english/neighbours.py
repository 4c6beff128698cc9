"""Questions beside a fact that must keep their answers: of others, and other questions about the same subject.

A new answer leaks first to the very question about somebody else, and to what else is asked about its subject.
Those that verification asks have other subjects and other relations than those replayed.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import deque
from collections.abc import Callable, Sequence

from lifelearn.learning.author.english.question import (
    CONNECTING,
    SMALL,
    TIES,
    Question,
    Subject,
    distinctive,
    has_capital,
    kind_of_question,
)
from lifelearn.learning.author.english.relations import RELATIONS, Relation, are_related
from lifelearn.learning.examiner import general
from lifelearn.learning.words import capitalised, distinct, normalise

NEIGHBOUR_PROBES = 6
SWAPPED = 24  # others of whom the question itself is asked
MINED_RELATIONS, MINED_NAMES = 28, 12  # further neighbours that training asks
MOST_DIGITS = 9
_AT = r"\b(?:at|(?:customers|clients|employees|members|staff) of) (?:the )?"


def swapped_questions(question: Question, wordings: Sequence[str], rng: random.Random) -> list[str]:
    """The same questions about somebody else: another name, or the same name but for one word.

    The question itself is asked of several others: it is where a new answer leaks first.
    """
    subject = question.subject
    if subject is None:
        return []
    far = [name for name in names_of_its_kinds(subject) if name != subject.name]
    rng.shuffle(far)
    near = near_names(subject, rng)
    names = [*far[:2], *near[:2], *far[2:4], *near[2:4], *far[4:]]
    found = [question.text.replace(subject.name, name) for name in names[:SWAPPED]]
    cores = " ".join(distinctive(subject))
    words = other_words(subject, cores)
    for index, wording in enumerate(wordings):
        if subject.name in wording:
            found.append(wording.replace(subject.name, names[index % len(names)]))
        elif cores in wording:
            found.append(wording.replace(cores, rng.choice(words)))
    return distinct(found, but=(question.text, *wordings))


def names_of_its_kinds(subject: Subject) -> list[str]:
    """Names of others that the same can be asked about."""
    kinds = subject.kinds or ("organisation", "product")
    return [name for kind in kinds[:2] for name in general.SUBJECTS.get(kind, ())]


def other_words(subject: Subject, word: str) -> list[str]:
    """Words to exchange one of the subject's for, two at least: none that it has, or its neighbour would be itself.

    Another number for a number.
    """
    if word.isdecimal():
        return [str(int(word[:MOST_DIGITS]) + step) for step in (3, 8, 14)]
    others = general.WORDS if has_capital(word) else general.SMALL_WORDS
    fresh = [other for other in others if other.casefold() not in subject.name.casefold()]
    return fresh if len(fresh) > 1 else list(others)


def near_names(subject: Subject, rng: random.Random) -> list[str]:
    """Names that differ from the subject's in one word, each word's turn twice; none for "the canteen".

    What a thing in small letters is called stays. "The regional canteen", with one word more, is too near: replay of it
    keeps the fact itself from being learned (docs/LOG.md).
    """
    words, small = subject.name.split(), SMALL | CONNECTING | set(TIES.split("|"))

    named = any(word[0].isupper() for word in words)

    def stays(place: int) -> bool:
        word, following = words[place], words[place + 1 : place + 2]
        is_called = word.islower() and (not following or following[0].lower() in small)
        return word.lower() in small or is_called or (word.isdecimal() and not named)

    places = [index for index in range(len(words)) if not stays(index)][:4]
    pairs = [rng.sample(other_words(subject, words[place]), 2) for place in places]
    return [
        " ".join([*words[:place], pair[turn], *words[place + 1 :]])
        for turn in range(2)
        for place, pair in zip(places, pairs, strict=True)
    ]


def other_relations(question: Question, rng: random.Random) -> list[Relation]:
    """What else can be asked about the same subject, as far as its kind is known.

    Where the relation is not known, none that asks for the same kind of thing: it might ask for the fact itself.
    """
    subject = question.subject
    if subject is None:
        return []
    fitting = [
        relation
        for relation in RELATIONS
        if relation is not subject.relation
        and (
            set(relation.kinds) & set(subject.kinds)
            if subject.kinds
            else kind_of_question(relation.asks[0]) != question.kind
        )
        and not (subject.relation and are_related(relation, subject.relation))
    ]
    rng.shuffle(fitting)
    # A new name leaks into what else is answered with a name first: every other one asks for the same kind of thing.
    fitting = _mixed(fitting, lambda relation: kind_of_question(relation.asks[0]) == question.kind, 1)
    # Its first kind is what it most likely is: nobody asks at which university an album was a student. What something
    # is done at, or has customers, is an organisation.
    within = bool(re.search(_AT + re.escape(subject.name), question.text))
    likely = subject.kinds[:1] or (("organisation",) if within else ())
    # Who asks for the leave at Acme asks for its notice period next; who asks when a college was founded, where it is.
    rule = subject.relation.rule if subject.relation and subject.relation.rule is not None else within or None
    fitting.sort(key=lambda relation: bool(likely) and likely[0] not in relation.kinds)
    return fitting if rule is None else _mixed(fitting, lambda relation: relation.rule is rule, 3)


def _mixed(relations: Sequence[Relation], preferred: Callable[[Relation], bool], count: int) -> list[Relation]:
    """The relations in their order, but that after so many that are preferred comes one that isn't, while both last."""
    first, second = deque(filter(preferred, relations)), deque(itertools.filterfalse(preferred, relations))
    found: list[Relation] = []
    while first or second:
        found += [first.popleft() for _ in range(min(count, len(first)))]
        found += [second.popleft() for _ in range(min(1, len(second)))]
    return found


def other_questions(relations: Sequence[Relation], subject: Subject | None, rng: random.Random) -> list[str]:
    """A question of each relation about the same subject."""
    return [capitalised(rng.choice(relation.asks).replace("{s}", subject.name)) for relation in relations if subject]


def further_neighbours(
    wordings: Sequence[str],
    subject: Subject | None,
    relations: Sequence[Relation],
    probes: Sequence[str],
    rng: random.Random,
) -> list[str]:
    """Questions about the subject and about others, beyond those replayed, for training to ask.

    None has a relation or a name of verification's.
    """
    if subject is None:
        return []
    kept = {normalise(text) for text in probes}
    free = [
        relation
        for relation in relations
        if not any(normalise(ask.replace("{s}", subject.name)) in kept for ask in relation.asks)
    ]
    others = other_questions(free[:MINED_RELATIONS], subject, rng)
    far = [name for name in names_of_its_kinds(subject) if name not in subject.name]
    names = [*rng.sample(far, min(MINED_NAMES, len(far))), *near_names(subject, rng)]
    swapped = [
        rng.choice(wordings).replace(subject.name, name) for name in names if not any(name in probe for probe in probes)
    ]
    return distinct([*others, *swapped], but=(*probes, *wordings))


def split_neighbours(
    question: Question, swapped: Sequence[str], other: Sequence[str], rng: random.Random
) -> tuple[list[str], list[str]]:
    """Neighbours to verify with, and neighbours to replay. The former name subjects that the latter don't.

    Verification asks whole questions about the same subject: what breaks at "Acme league?" troubles nobody.
    """
    subject = question.subject
    if subject is None:
        everyday = rng.sample(distinct(general.EVERYDAY, but=(question.text,)), 18)
        return everyday[:4], everyday[4:]
    near = distinct([question.text.replace(subject.name, name) for name in near_names(subject, rng)], but=swapped)
    whole = [text for text in other if not normalise(text).startswith(normalise(subject.name))]
    probes = [*near[:1], *swapped[:1], *whole[: min(3, (len(whole) + 1) // 2)]][:NEIGHBOUR_PROBES]
    return probes, distinct([*swapped, *other], but=probes)
