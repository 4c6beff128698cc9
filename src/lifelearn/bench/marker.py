"""Marks replies for benches alone: is this reply right? No model, and nothing of what it measures.

It compares values: numbers with their units, dates, times of day, sums of money, names, codes and short phrases, each
in any of its usual English forms, in whole words. A value counts where it is said, not where it is denied ("not 25"),
is one end of a range, or stands beside what makes a reply wrong, unless that is rejected ("it was 20, now it's 25").

Limits, and so "not mine": other languages, answers of more than six words, lists and steps, a reply that hedges, half
a name, half a phrase, a number whose unit can't be told, a second value of the same unit. What is said in another unit
("3 years" for 36 months) or by description ("the day after Monday") is wrong to it, unless it is an accepted form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from lifelearn.bench.values import END, REACH, Token, plain, tokens, unit_names

Verdict = Literal["right", "wrong", "not mine"]

_ARTICLES = re.compile(
    r"\b(?:the|an?|der|die|das|den|dem|ein|eine|le|la|les|un|une|el|los|las|una|il|lo|gli|i|o|os|as|um|uma|de|het|een)\b"
)
STEM = 4  # letters that two forms of a word share
LONGEST = 6  # words of an answer that is compared as a value

_BETWEEN = frozenset({"of", "in", "on", "at"})  # may differ: "the second Saturday of August"
# May be left out before a value: "until 2 pm".
_LEADING = frozenset({"at", "on", "in", "of", "within", "until", "till", "by", "from", "to", "up", "for"})
_JOINING = frozenset({"to", "and", "between", "from", "up"})  # the ends of a range
_NEGATORS = frozenset({"not", "never", "no", "neither", "nor", "nothing", "cannot", "without"})
_BOUNDS = re.compile(r"only|before|until|till|more|less|later|earlier|fewer|just|least|sooner")  # "not before 10:30"
# What may follow a number that has no unit.
_LINKS = re.compile(
    "and|or|but|in|at|on|per|for|from|to|is|are|was|with|without|if|each|every|as|when|so|than|by|that|which|who"
)
_REJECTED = re.compile(
    r"\b(?:instead of|rather than|other than|except(?: for)?|apart from|(?:any|every)(?:thing|one|body)? but"
    r"|used to|formerly|previously|no longer|former)\b"
)
_PAST = re.compile(
    r"\b(?:was|were|been|before|until|till|old|once|earlier|out of|from|replac\w+|chang\w+|mov\w+|switch\w+|last)\b"
)
_DENIED_AFTER = re.compile(
    r"(?:(?!and |but |so )\w+ ){0,3}(?:not|never|cannot|wrong|incorrect|false|outdated|mistaken|no longer|used to)\b"
)
_PAST_AFTER = re.compile(r"(?:was|were|used to|until|till|before|in the past|did|came)\b|(?:\w+ )?(?:before|earlier)$")
_HEDGE = re.compile(
    r"\b(?:might be|may be|maybe|perhaps|possibly|probably|presumably|unsure|uncertain|not (?:\w+ )?(?:sure|certain)"
    r"|(?:can|could) ?not (?:say|tell|confirm)|i (?:think|believe|guess|assume)|depend(?:s|ing)? on|some(?:one|body)"
    r"|reportedly|rumou?r\w*|no,? sorry|make that|i mean|scratch that|correction)\b"
)


def mark(
    reply: str, answers: Sequence[str], wrong: Sequence[str] = (), *, question: str = "", lang: str = "en"
) -> Verdict:
    """Whether a reply is right.

    answers: accepted forms, any of which will do. wrong: forms that make a reply wrong where they are asserted: the
    old value, another unit, a neighbour's answer. question: its words may be left out of an answer: "7" to "Which
    gate?" for "gate 7". lang: an ISO 639 code.
    """
    if not reply.strip():
        return "wrong"
    values = [answer for answer in answers if _comparable(answer)]
    if lang != "en" or not values:
        return "not mine"
    return _Reply(reply, any(map(_on_the_clock, values))).marked(values, wrong, question)


def same(one: str, other: str) -> bool:
    """Whether two short answers are one, in any language: case, articles, punctuation and number format evened out."""
    return _evened(one) == _evened(other) != ""


def says(text: str, value: str, *, lang: str = "en") -> bool:
    """Whether a sentence, in any language, has a value in it, evened out likewise or as the marker reads it."""
    short, whole = _evened(value), _evened(text)
    return (bool(short) and f" {short} " in f" {whole} ") or mark(text, [value], lang=lang) == "right"


def _evened(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<=\d)[ .,'’](?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    return " ".join(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+|[%€$£°]", _ARTICLES.sub(" ", text)))


def _comparable(answer: str) -> bool:
    """Whether an answer is a value, not a list, steps, or a sentence."""
    return len(answer.split()) <= LONGEST and ";" not in answer and len(re.findall(r", | and | then ", answer)) < 2


def _on_the_clock(answer: str) -> bool:
    return any(token.kind == "time" for token in tokens(answer, clock=False))


class _Core(NamedTuple):
    """What must be said of an answer. unit: of its number, if any; things: what is counted, which may be left out."""

    said: tuple[Token, ...]
    unit: str = ""
    things: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # beside a number and its unit: "working", "a week"
    asked: frozenset[str] = frozenset()  # units that the question names
    named: bool = False  # a name, which has no other form

    @property
    def values(self) -> set[tuple[str, str]]:
        return {(token.kind, token.value) for token in self.said if token.kind != "word"}


class _Reply:
    def __init__(self, text: str, clock: bool) -> None:
        self.tokens = tokens(text, clock)
        self.hedged = bool(_HEDGE.search(plain(text)))

    def marked(self, answers: Sequence[str], wrong: Sequence[str], question: str) -> Verdict:
        if re.fullmatch(r"yes|no", answers[0].strip(" ."), re.IGNORECASE):
            return self._yes_or_no(answers[0].strip(" .").lower())
        asked = frozenset(token.value for token in tokens(question))
        cores = [core for core in (_core(answer, asked) for answer in answers) if core.said]
        found = [self._found(core) for core in cores]
        values = [core.values for core in cores]
        denials = [
            place
            for core in (_core(each, asked) for each in wrong)
            for place in self._asserted(core, by_unit=core.values in values)
        ]
        if "right" in found:
            places = [place for core in cores for place in self._asserted(core)]
            if denials:  # in one clause, "25 or 30"; in two, it takes reading
                return "wrong" if any(self._one_clause(a, b) for a in places for b in denials) else "not mine"
            return "not mine" if self.hedged else "right"
        if denials:
            return "wrong"
        return "not mine" if "not mine" in found or not cores else "wrong"

    def _yes_or_no(self, wanted: str) -> Verdict:
        said = {token.value for token in self.tokens} & {"yes", "no"}
        first = self.tokens[0].value if self.tokens else ""
        if first not in said or len(said) > 1:
            return "not mine"
        return "right" if first == wanted else "wrong"

    def _found(self, core: _Core) -> Verdict:
        """Whether the answer is said: right, wrong (not said, or denied), or not mine."""
        unclear = another = False
        for start, end in self._runs(core.said):
            if self._denied(start, end) or self._in_a_range(start, end, core):
                another = True
                continue
            verdict = self._measured(start, end, core)
            if verdict == "right" and not self._second_value(start, end) and not self._denied_later(end):
                return "right"
            unclear |= verdict != "wrong"
            another |= verdict == "wrong"
        if unclear or self._dated(core) or (not another and self._half_said(core)):
            return "not mine"
        return "wrong"

    def _dated(self, core: _Core) -> bool:
        """Whether a day of the month is said with a month that nobody asked for: "25th", "on 25 January"."""
        days = {token.value.split("-")[1] for token in self.tokens if token.kind == "date"}
        return len(core.said) == 1 and core.said[0].half == "th" and core.said[0].value in days

    def _runs(self, wanted: Sequence[Token]) -> Iterator[tuple[int, int]]:
        """Where the tokens stand one after the other; words may be written as one ("smart-casual", "oat loom")."""
        several = sum(token.kind == "number" for token in wanted) > 1
        sought = _key(wanted, several)
        for start, first in enumerate(self.tokens):
            if not _key([first], several):
                continue
            for end in range(start + 1, len(self.tokens) + 1):
                if self.tokens[end - 1].kind == "end":
                    break
                key = _key(self.tokens[start:end], several)
                if key == sought and _halves_agree(wanted, self.tokens[start:end]):
                    yield start, end
                    break
                if len(key) > len(sought):
                    break

    def _measured(self, start: int, end: int, core: _Core) -> Verdict:
        """Whether the number at a place is of the unit, or of the things, that the answer is of."""
        number = next((at for at in range(start, end) if self.tokens[at].kind == "number"), None)
        if number is None:
            return "right"
        if not (core.unit or core.things):
            unit = self._unit_after(number)
            return "wrong" if unit and unit not in core.asked and _kind(unit) in map(_kind, core.asked) else "right"
        for token in self.tokens[number + 1 : number + 1 + REACH]:
            if token.kind == "unit" and core.unit:
                if not _one_unit(token.value, core.unit):
                    return "wrong"
                return "right" if core.words <= {each.value for each in self.tokens} else "not mine"
            if token.kind in ("pause", "end"):
                break
            if token.value in core.things:
                return "right"
        following = self.tokens[end] if end < len(self.tokens) else END
        bare = following.kind in ("pause", "end") or bool(_LINKS.fullmatch(following.value))
        return "right" if bare and not core.words else "not mine"

    def _second_value(self, start: int, end: int) -> bool:
        """Whether another number of the same unit is asserted, too."""
        at_hand = next((at for at in range(start, end) if self.tokens[at].kind == "number"), None)
        unit = None if at_hand is None else self._unit_after(at_hand)
        return unit is not None and any(
            token.kind == "number"
            and not start <= at < end
            and token.value != self.tokens[at_hand or 0].value
            and self._unit_after(at) == unit
            and not self._denied(at, at + 1, past=True)
            for at, token in enumerate(self.tokens)
        )

    def _unit_after(self, number: int) -> str | None:
        return next((token.value for token in self.tokens[number + 1 : number + 3] if token.kind == "unit"), None)

    def _in_a_range(self, start: int, end: int, core: _Core) -> bool:
        """Whether a number is one end of a range that the answer is not: "2 to 4", "between 150 and 200"."""
        if sum(token.kind == "number" for token in core.said) != 1 or self.tokens[start].kind != "number":
            return False
        before = [token for token in self.tokens[max(0, start - 5) : start] if token.kind != "unit"]
        after = [*(token for token in self.tokens[end : end + 3] if token.kind != "unit"), END, END]
        joined = before[-1:] and before[-1].value in ("to", "–") and before[-2:-1] and before[-2].kind == "number"
        between = any(token.value == "between" for token in before)
        return bool(joined) or between or (after[0].value in ("to", "–") and after[1].kind == "number")

    def _denied(self, start: int, end: int, past: bool = False) -> bool:
        """Whether what stands there is denied or, past, said of another time."""
        before, after = self._clause(start, end)
        if re.search(r"\b(?:any|every|all|nothing|nobody)\w* (?:\w+ )?but\b", before):
            return True
        words = re.sub(r"^.*\bbut\b", "", before).split()
        before = " ".join(words[:-1] if words[-1:] and words[-1] in _LEADING else words)
        negators = [at for at, word in enumerate(words) if word in _NEGATORS]
        negated = any(not any(map(_BOUNDS.fullmatch, words[at + 1 : at + 3])) for at in negators)
        if negated or _REJECTED.search(before) or _DENIED_AFTER.match(after):
            return True
        return past and bool(_PAST.search(before) or _PAST_AFTER.match(after))

    def _denied_later(self, end: int) -> bool:
        """Whether the clause goes on to deny something: "is the only one that can't …" takes reading."""
        _, after = self._clause(end, end)
        return bool(set(re.split(r"\b(?:and|but|so|because)\b", after)[0].split()) & _NEGATORS)

    def _clause(self, start: int, end: int) -> tuple[str, str]:
        """The words before and after, up to the next pause."""
        first = next((at + 1 for at in range(start - 1, -1, -1) if self._pauses(at)), 0)
        last = next((at for at in range(end, len(self.tokens)) if self._pauses(at)), len(self.tokens))
        return (
            " ".join(token.value for token in self.tokens[first:start]),
            " ".join(token.value for token in self.tokens[end:last]),
        )

    def _pauses(self, at: int) -> bool:
        return self.tokens[at].kind in ("pause", "end") and self.tokens[at].value != "–"

    def _one_clause(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return not any(self._pauses(at) for at in range(min(one[1], other[1]), max(one[0], other[0])))

    def _asserted(self, core: _Core, by_unit: bool = False) -> list[tuple[int, int]]:
        """Where a value is said, and not as what it was or isn't. by_unit: of two with one number, the unit tells."""
        return [
            (start, end)
            for start, end in (self._runs(core.said) if core.said else ())
            if not self._denied(start, end, past=True)
            and self._measured(start, end, core) != "wrong"
            and not (by_unit and core.unit and self._unit_after(start) is None)
        ]

    def _half_said(self, core: _Core) -> bool:
        """Whether part of it is said, or another measure that may be as long: words alone don't decide that."""
        if core.unit:
            others = {token.value for token in self.tokens if token.kind == "unit"} - {core.unit}
            return _kind(core.unit) in map(_kind, others)
        if core.values:
            all_said = core.values <= {(token.kind, token.value) for token in self.tokens}
            return all_said and any(token.kind == "word" for token in core.said)
        words = {token.value for token in core.said}
        said = {token.value for token in self.tokens if token.kind == "word"}
        return bool(words & said) or (not core.named and any(_alike(word, each) for word in words for each in said))


def _core(answer: str, asked: frozenset[str]) -> _Core:
    """Of a number with a unit, these two; else what the question hasn't said already, where that holds a number.

    asked: the words of the question.
    """
    read = [token for token in tokens(answer, _on_the_clock(answer)) if token.kind != "end" and token.value != ","]
    while len(read) > 1 and read[0].value in _LEADING:
        read = read[1:]
    units = [token.value for token in read if token.kind == "unit"]
    numbers = tuple(token for token in read if token.kind == "number")
    words = [token for token in read if token.kind == "word"]
    if units and len(numbers) == 1:
        beside = frozenset((*units[1:], *(word.value for word in words)))
        return _Core(numbers, units[0], words=beside - asked - _BETWEEN - _LEADING)
    rest = tuple(token for token in read if token.kind != "unit")
    if len(numbers) == 1 and all(token.kind == "number" or token.value in asked for token in rest):
        named = frozenset(unit for word in asked if (unit := unit_names().get(word)))
        return _Core(numbers, things=frozenset(word.value for word in words), asked=named)
    return _Core(rest, named=answer[:1].isupper())


def _key(run: Sequence[Token], several: bool) -> str:
    """Words as one, values apart. several: of a range or a list of numbers, however its ends are joined."""
    return "".join(
        token.value if token.kind == "word" else f"<{token.kind} {token.value}>"
        for token in run
        if token.kind not in ("pause", "unit", "end")
        and token.value not in _BETWEEN
        and not (several and token.value in _JOINING)
    )


def _alike(one: str, other: str) -> bool:
    return len(one) > STEM and one[:STEM] == other[:STEM]


def _kind(unit: str) -> str:
    """What a unit measures: "duration-day" a duration."""
    return unit.split("-", maxsplit=1)[0]


def _halves_agree(one: Sequence[Token], other: Sequence[Token]) -> bool:
    halves = [[token.half for token in run if token.kind == "time"] for run in (one, other)]
    return all(a == b or "" in (a, b) for a, b in zip(*halves, strict=True))


def _one_unit(one: str, other: str) -> bool:
    """A degree is one of any temperature."""
    return one == other or ("angle-degree" in (one, other) and "temperature" in map(_kind, (one, other)))
