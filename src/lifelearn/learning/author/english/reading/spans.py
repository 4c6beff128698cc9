"""Which words of a statement say what is right: every span of a clause, by what it is and where it stands.

A span is up to `LONGEST` words of one clause, without stop words at its ends. What it shows (its kind and length, the
words beside it, what its clause says of the question and of the wrong answer, what the written rules would take) is
weighed; the weights are fitted to conversations whose right answer is known (bench/fitting.py writes spans.json).
Pure text, like the cues; knows nothing of detection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from lifelearn.learning.author.english.reading import phrases
from lifelearn.learning.author.english.reading.statement import amounts
from lifelearn.learning.author.english.reading.weights import load
from lifelearn.learning.examiner.marking import NUMBER_WORDS
from lifelearn.learning.words import STOPWORDS, listed, normalise, stems

WEIGHTS = "spans.json"
LONGEST = 8  # words
MOST_WORDS = 80  # of a statement, whose spans are looked at

_EDGES = re.compile(r"^(?:[\s\"'“”*,;:–—…=]|-(?!\d))+|[\s\"'“”*,;:–—…-]+$")  # a minus stays
_DASH = re.compile(r"^[-–—]+$")
_DAY, _YEAR = re.compile(r"\d{1,2},$"), re.compile(r"\d{4}\b")  # "May 9, 1998"
_BREAK = re.compile(r"[.!?;:,…]+[\"')\]]*$")
_SMALL = STOPWORDS - NUMBER_WORDS.keys() | {"now"}
_BEGINS_CLAUSE = frozenset(listed("and but so because since as which while though although when where if"))
_TELLING_HEADS = frozenset(
    listed(
        """because since as when if while though although which so and but not i my we you i've i'm it it's that's
        the"""
    )
)
_COPULAS = frozenset(listed("is are was were be been being am 's 're = equals means called named says said"))
_VERBS = frozenset(
    listed(
        """has have had gets get costs cost takes take uses use used makes make gives give got became becomes wants
        needs goes go went lies lives stands sits reads returns runs starts opens closes should must can does do did"""
    )
)
_ARTICLES = frozenset(listed("a an the our my your their his her its"))
_TIES = frozenset(
    listed("by to in at on of for with from under behind through via into after before until since about")
)
_PERSONS = frozenset(listed("i we you it he she they i'm that there"))
_PAST, _NOW = frozenset(listed("used old former last before")), frozenset(listed("now new nowadays today currently"))
# Words that say of a value that it is the one.
_POINTS = stems(
    """one ones right correct answer it that this there here other same real actual true city name way thing called
    instead too better longer bigger larger older now"""
)
_NEGATION = re.compile(r"n't$|^(?:not|never|no|nothing|none|cannot|without)$")
_DIGIT = re.compile(r"\d")
_NUMBER_WORDS = frozenset(NUMBER_WORDS) | frozenset(listed("noon midnight half twice once hundred thousand million"))
_UNIT = re.compile(
    r"(?:day|week|month|year|hour|minute|second|euro|dollar|pound|cent|percent|degree|metre|meter|mile|feet|point|page|"
    r"person|people|employee|time|floor|litre|kilo)s?$|%$|^(?:am|pm|km|kg|cm|mm|ml|gb|mb|tb|c)$"
)
_CODE = re.compile(r"[a-z][A-Z]|[_=/+()<>@#\\]|\w-\d|\d[a-z]|[a-z]\d")
_ASKS = {
    "who": re.compile(r"\bwho(?:m|se)?\b"),
    "when": re.compile(r"\bwhen\b|\b(?:what|which)\s+(?:\w+\s+){0,2}(?:day|date|year|month|time)\b"),
    "where": re.compile(r"\bwhere\b|\b(?:which|what)\s+(?:\w+\s+)?(?:city|country|town|place|room|floor)\b"),
    "number": re.compile(
        r"\bhow\s+(?:many|much|old|long|far|tall|high|deep|big|often|heavy|fast)\b|\b(?:number|sum)\b"
    ),
    "how": re.compile(r"\bhow\s+(?:do|does|can|should|to)\b"),
    "which": re.compile(r"\bwhich\b"),
    "what": re.compile(r"\bwhat\b"),
}


# ---------------------------------------------------------------------------------------------------------------------
# Spans


@dataclass(frozen=True)
class Clause:
    """Words of a statement between two breaks: punctuation, or a word that begins a reason or an addition."""

    words: tuple[str, ...]
    index: int  # from the first clause on
    left: int  # clauses that follow

    @cached_property
    def bare(self) -> tuple[str, ...]:
        return tuple(map(_bare, self.words))

    @cached_property
    def text(self) -> str:
        return " ".join(self.words)

    @cached_property
    def stems(self) -> set[str]:
        return stems(self.text)

    @cached_property
    def is_negated(self) -> bool:
        return any(map(_NEGATION.search, self.bare))

    @cached_property
    def is_praise(self) -> bool:
        return bool(phrases.PRAISE.match(self.text) or phrases.AGREEMENT.search(self.text))

    @property
    def place(self) -> str:
        if not self.index and not self.left:
            return "only"
        return "first" if not self.index else "middle" if self.left else "last"


@dataclass(frozen=True)
class Span:
    """Words `start` to `end` of a clause; `text` is without the punctuation around them."""

    clause: Clause
    start: int
    end: int
    text: str

    @property
    def words(self) -> tuple[str, ...]:
        return self.clause.bare[self.start : self.end]

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == len(self.clause.bare)

    @cached_property
    def stems(self) -> set[str]:
        return stems(self.text)

    @cached_property
    def normal(self) -> str:
        return normalise(self.text)


def spans_of(statement: str, beyond: str = "") -> list[Span]:
    """All spans of all clauses, none twice.

    beyond: a part of the statement that is a span, too, where it reaches beyond a clause: "Lyon, France".
    """
    found: dict[tuple[int, str], Span] = {}
    clauses = _clauses(statement)
    for clause in clauses:
        inner = [at for at, word in enumerate(clause.words) if not is_small(word) and _bare(word) not in _BEGINS_CLAUSE]
        for start in inner:
            for end in (at + 1 for at in inner if start <= at < start + LONGEST):
                text = trimmed(" ".join(clause.words[start:end]))
                if normalise(text):
                    found.setdefault((clause.index, normalise(text)), Span(clause, start, end, text))
    words = beyond.split()
    is_within = len(words) <= LONGEST and any(beyond in clause.text for clause in clauses)
    if clauses and words and not is_within:
        places = ((each, at) for each in clauses for at, word in enumerate(each.bare) if word == _bare(words[0]))
        clause, start = next(places, (clauses[0], 0))
        end = min(start + len(words), len(clause.words))
        found[clause.index, normalise(beyond)] = Span(clause, start, end, beyond)
    return list(found.values())


def _clauses(statement: str) -> list[Clause]:
    parts: list[list[str]] = [[]]
    words = statement.split()[:MOST_WORDS]
    for word, after in zip_longest(words, words[1:], fillvalue=""):
        if _DASH.match(word):
            parts.append([])
            continue
        if _bare(word) in _BEGINS_CLAUSE:
            parts.append([])
        parts[-1].append(word)
        if _BREAK.search(word) and not (_DAY.match(word) and _YEAR.match(after)):
            parts.append([])
    parts = [part for part in parts if part]
    return [Clause(tuple(part), index, len(parts) - index - 1) for index, part in enumerate(parts)]


def is_small(word: str) -> bool:
    """Whether it is a stop word; initials ("D W Griffith") and numbers are none."""
    bare = word.strip("\"',.")
    is_initial = len(bare) == 1 and bare.isupper() and bare not in "AI"
    return not is_initial and bare.casefold() in _SMALL


def trimmed(text: str) -> str:
    """Without the punctuation and brackets around it; those of "O(log n)" and "(0, 1)" are its own."""
    text = _EDGES.sub("", text).rstrip(".!?").strip(" \"'“”*")
    for opening, closing in ("()", "[]"):
        if closing not in text:
            text = text.removeprefix(opening)
        if opening not in text:
            text = text.removesuffix(closing)
        if text.startswith(opening) and text.endswith(closing) and "," not in text:
            text = text[1:-1]
    return text


def _bare(word: str) -> str:
    return word.strip("\"'“”()[]*,;:.!?…").casefold()


# ---------------------------------------------------------------------------------------------------------------------
# What a span shows


@dataclass(frozen=True)
class Asked:
    """What was asked and answered wrongly, as spans are held against it."""

    question: str
    wrong: str

    @cached_property
    def stems(self) -> set[str]:
        return stems(self.question)

    @cached_property
    def said(self) -> set[str]:
        return stems(self.wrong)

    @cached_property
    def value(self) -> set[str]:
        return self.said - self.stems

    @cached_property
    def amounts(self) -> frozenset[str]:
        return amounts(self.wrong)

    @cached_property
    def known_amounts(self) -> frozenset[str]:
        return amounts(self.question)

    @cached_property
    def normal(self) -> str:
        return normalise(f"{self.question} {self.wrong}")

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        text = self.question.casefold()
        return tuple(kind for kind, pattern in _ASKS.items() if pattern.search(text)) or ("otherwise",)

    @cached_property
    def has_name(self) -> bool:
        return any(word[:1].isupper() for word in self.wrong.split()[1:])


def features(span: Span, asked: Asked, rules: Mapping[str, Sequence[str]], new: set[str]) -> list[str]:
    """What a span shows. rules: what each written rule would take, normalised; new: what is new in the statement."""
    return [
        *_of_itself(span, asked),
        *_of_words_beside(span, asked),
        *_of_news(span, asked, new),
        *_of_clause(span, asked),
        *_of_rules(span, rules),
    ]


def _of_itself(span: Span, asked: Asked) -> Iterator[str]:
    clause, words, size = span.clause, span.words, len(span.words)
    own = clause.words[span.start : span.end]
    digits = any(map(_DIGIT.search, words))
    number = digits or not _NUMBER_WORDS.isdisjoint(words)
    # A capital at the start of a statement is no sign of a name.
    capital = any(word[:1].isupper() for word in own[span.start == 0 and clause.index == 0 :])
    name = capital and all(word[:1].isupper() or _DIGIT.search(word) or _bare(word) in _TIES for word in own)
    after = clause.bare[span.end] if span.end < len(clause.bare) else ""
    kinds = {
        "number": number,
        "name": name,
        "time": bool(amounts(span.text)) and not digits,
        "code": any(map(_CODE.search, span.text.split())),
    }
    shown = kinds | {
        "some of a name": capital,
        "one letter": len(span.text) == 1 and not number,
        "number like the wrong one": number and bool(asked.amounts),
        "no number where one was wrong": not number and bool(asked.amounts) and len(asked.value) <= 6,
        "name like the wrong one": capital and asked.has_name,
        "no name where one was wrong": not capital and asked.has_name,
        "holds a copula": any(word in _COPULAS or word.endswith("'s") for word in words),
        "holds a verb": not _VERBS.isdisjoint(words),
        "holds a tie": not _TIES.isdisjoint(words[1:-1]),
        "holds a negation": any(map(_NEGATION.search, words)),
        "holds a person": not _PERSONS.isdisjoint(words),
        "starts with a tie": words[0] in _TIES,
        "a unit": bool(_UNIT.search(words[-1])),
        "a unit follows": number and bool(_UNIT.search(after)),
        "its number goes on": number and bool(_DIGIT.match(after)),
        "quoted": own[0][:1] in "\"'“" and own[-1].rstrip(".,!?;:")[-1:] in "\"'”",
    }
    yield from (name for name, holds in shown.items() if holds)
    yield f"{min(size, 6)} words"
    for kind in asked.kinds:
        yield f"{kind}: {min(size, 4)} words"
        yield from (f"{kind}: {name}" for name, holds in kinds.items() if holds)
    if size == 1:
        yield f"word: {words[0]}"
    yield f"first word: {words[0]}"
    yield f"last word: {words[-1]}"


def _of_words_beside(span: Span, asked: Asked) -> Iterator[str]:
    bare, start = span.clause.bare, span.start
    if start and bare[start - 1] in _ARTICLES:
        yield "after an article"
        start -= 1
    for side, word in (
        ("before", bare[start - 1] if start else ""),
        ("after", bare[span.end] if span.end < len(bare) else ""),
    ):
        yield f"{side}: {word}"
        yield f"{side}: {_kind_of_word(word, asked)}"
    if span.end < len(bare) and stems(bare[span.end]) & asked.stems:
        yield "a word of the question follows"


def _kind_of_word(word: str, asked: Asked) -> str:
    if not word:
        return "nothing"
    if word in _COPULAS or word.endswith(("'s", "'re")):
        return "a copula"
    if word in _VERBS:
        return "a verb"
    if _NEGATION.search(word):
        return "a negation"
    if word in _TIES:
        return "a tie"
    if word in STOPWORDS:
        return "a small word"
    if stems(word) & asked.stems:
        return "the question's"
    if stems(word) & asked.said:
        return "the answer's"
    return "perhaps a verb" if word.endswith(("ed", "s")) else "a word"


def _of_news(span: Span, asked: Asked, statement: set[str]) -> Iterator[str]:
    own = span.stems
    new, old, said = own - asked.stems - asked.said, own & asked.stems, own & asked.value
    is_new = bool(new) or (not own and span.normal not in asked.normal)
    yield "new" if is_new else "nothing new"
    if new:
        yield "all that is new" if new == statement else "some of what is new"
        if new == own:
            yield "all new"
    if old:
        at = "starts" if stems(span.words[0]) & old else "ends" if stems(span.words[-1]) & old else "within"
        yield "of the question"
        yield f"of the question: {'all' if old == own else at}"
    if said:
        yield "all of the wrong answer" if said == own else "of the wrong answer"
    held = amounts(span.text)
    if held & asked.amounts:
        yield "the wrong number"
    if held & asked.known_amounts:
        yield "the question's number"


def _of_clause(span: Span, asked: Asked) -> Iterator[str]:
    clause = span.clause
    others = clause.stems - span.stems
    rest = others - asked.stems - _POINTS
    further = rest - asked.said
    shown = {
        "starts its clause": span.start == 0,
        "ends its clause": span.end == len(clause.bare),
        "is its clause": span.is_whole,
        "is its clause but for small words": all(map(is_small, _others(span))),
        "starts a later clause": span.start == 0 and clause.index > 0,
        "clause: negated": clause.is_negated,
        "clause: praise": clause.is_praise,
        "clause: of the wrong answer": bool(others & asked.value),
        "clause: of the question": bool(others & (asked.stems - asked.said)),
        "clause: of the question, as the answer": not others & (asked.stems - asked.said)
        and bool(others & asked.stems),
        "clause: of the past": not _PAST.isdisjoint(clause.bare),
        "clause: of now": not _NOW.isdisjoint(clause.bare),
        # "Venus is hotter": the rest says no more than that this is the one.
        "clause: points back": not rest,
        "clause: points back to it": not rest and span.start == 0 and not span.is_whole,
        "clause: nothing else new": bool(rest) and not further,
        f"clause: {min(len(further), 3)} else new": bool(further),
    }
    yield from (name for name, holds in shown.items() if holds)
    kind = "wh" if set(asked.kinds) - {"otherwise", "how"} else asked.kinds[0]
    yield f"{kind}, {clause.place} clause, {'whole' if span.is_whole else 'part'}"
    if clause.place != "only":
        yield f"in the {clause.place} clause"
        yield f"in clause {min(clause.index, 3)}"
        yield f"clauses after: {min(clause.left, 2)}"
    if clause.bare[0] in _TELLING_HEADS:
        yield f"clause: begins with {clause.bare[0]}"


def _others(span: Span) -> tuple[str, ...]:
    return (*span.clause.words[: span.start], *span.clause.words[span.end :])


def _of_rules(span: Span, rules: Mapping[str, Sequence[str]]) -> Iterator[str]:
    text = span.normal
    for name, taken in rules.items():
        for index, each in enumerate(taken):
            if each == text:
                yield f"rule: {name}"
                yield f"rule: {name}, {'later' if index else 'first'}"
            elif each and each in text:
                yield f"more than rule: {name}"
            elif text in each.split():
                yield f"less than rule: {name}"


def score(shown: Iterable[str], weights: Mapping[str, float]) -> float:
    """What a span that shows this weighs; what has no weight says nothing."""
    return sum(weights.get(name, 0.0) for name in shown)


def fitted() -> dict[str, float]:
    return load(WEIGHTS)
