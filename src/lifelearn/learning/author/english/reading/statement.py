"""A sentence of a message beside what was said before it: which of its words are new, whether it has another value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice

from lifelearn.learning.author.english.reading import phrases
from lifelearn.learning.author.english.reading.contrast import Contrast
from lifelearn.learning.author.english.reading.sentences import SENTENCE
from lifelearn.learning.examiner.marking import NUMBER_WORDS
from lifelearn.learning.words import clean, normalise, stem, stems

ASSISTANT_LIMIT = 20_000
ALIKE = 0.8  # share of letters in common, from which a word is another spelling
LONGEST_WORD = 40  # letters; longer ones are no words, and comparing them takes the square of their length
MOST_PAIRS = 300  # of a sentence's words and the assistant's that are compared

_SQUARE = re.compile(r"(?<=[a-z])[a-h][1-8]\b")  # "Qd8" speaks of d8


def amounts(text: str) -> frozenset[str]:
    """Its numbers, days and months; number words as figures."""
    found = (match[0].casefold() for match in phrases.AMOUNT.finditer(text))
    return frozenset(str(NUMBER_WORDS.get(word, word)) for word in found)


@dataclass(frozen=True)
class Context:
    """What the message answers: the stems and features of the assistant's turn and of the question before it."""

    question: str
    assistant: str
    asked: frozenset[str]
    said: frozenset[str]
    wh: bool
    factual: bool  # the question asks for a value, in whatever form
    how: bool  # it asks for a way to do something
    yes_no: bool
    quantity: bool  # it asks for a number or a time
    board: bool  # a game of chess is on
    creative: bool
    explains: bool
    asks_back: bool  # the assistant's turn ends in a question to the user
    only_asks: bool  # … and it states nothing else
    declined: bool  # it says that it doesn't know
    wishes: bool

    @cached_property  # asked for by each cue of each sentence
    def value(self) -> frozenset[str]:
        """What the assistant said beside the question's own words."""
        return self.said - self.asked

    @cached_property
    def by_beginning(self) -> dict[str, list[str]]:
        """Its words of five letters and more by their first two, as other spellings are looked for among them."""
        found: dict[str, list[str]] = {}
        for word in sorted(self.value):
            if 4 < len(word) <= LONGEST_WORD:
                found.setdefault(word[:2], []).append(word)
        return found

    @cached_property
    def known(self) -> frozenset[str]:
        return self.said | self.asked

    @classmethod
    def of(cls, question: str, assistant: str) -> Context:
        question, assistant = clean(question, ASSISTANT_LIMIT), clean(assistant, ASSISTANT_LIMIT)
        parts = [part.strip() for part in SENTENCE.split(assistant) if normalise(part)]
        last = parts[-1] if parts else ""
        asks = last.rstrip(" \"')").endswith("?") and bool(phrases.ASKS.match(last)) and not phrases.OFFER.search(last)
        return cls(
            question=question,
            assistant=assistant,
            asked=frozenset(stems(question)),
            said=frozenset(stems(assistant) | set(_SQUARE.findall(assistant.casefold()))),
            wh=bool(phrases.WH.search(question[:400])),
            factual=bool(
                phrases.WH.search(question[:400])
                or phrases.VALUE_TASK.match(question)
                or phrases.ELLIPTIC.match(question)
            ),
            how=bool(phrases.HOW.match(question)),
            yes_no=bool(phrases.YES_NO.match(question)),
            quantity=bool(phrases.QUANTITY.search(question[:400])),
            board=bool(phrases.CHESS.search(assistant) or phrases.CHESS.search(question)),
            creative=bool(phrases.CREATIVE.match(question)),
            explains=bool(phrases.EXPLAIN.match(question)),
            asks_back=asks,
            only_asks=asks and sum(not part.endswith(("?", "!")) for part in parts) == 0,
            declined=bool(phrases.DECLINED.search(assistant[:300])),
            wishes=bool(phrases.WISH.search(assistant[:300])),
        )


@dataclass(frozen=True)
class Statement:
    """One sentence of the message, and how it stands to what was said before."""

    text: str  # without the interjections and the denial that open it
    denied: bool  # a denial opens it
    softly: bool  # … but only "actually"
    after_denial: bool  # an earlier sentence was a denial
    after_placing: bool  # an earlier one said what the assistant's answer is instead
    after_request: bool  # it explains a request or a question before it
    conceded: bool  # it follows faint praise: "Good guess, but …"
    stems: frozenset[str]
    contrast: Contrast | None
    context: Context

    @property
    def new(self) -> frozenset[str]:
        return self.stems - self.context.said - self.context.asked - phrases.META

    @property
    def shared(self) -> frozenset[str]:
        return self.stems & self.context.known

    @property
    def wrong_was_said(self) -> bool:
        return self.contrast is not None and bool(stems(self.contrast.wrong) & self.context.said)

    def has(self, pattern: re.Pattern[str]) -> bool:
        return bool(pattern.search(self.text))

    def has_in_prose(self, pattern: re.Pattern[str]) -> bool:
        """Whether it has the pattern, and not within a name: "fun", but not "It should be Fun Boy Three"."""
        return any(
            not found[0][0].isupper() or (found.start() == 0 and not self.text[found.end() :].lstrip()[:1].isupper())
            for found in pattern.finditer(self.text)
        )

    @property
    def other_value(self) -> bool:
        """It restates the question's or answer's subject, or "it", with a value that the assistant did not give."""
        if (
            not self.new
            or len(self.stems) > 14
            or not (self.has(phrases.COPULA) or self.has(phrases.SOMEONE_DID))
            or (phrases.NEGATION.search(phrases.PARTS.split(self.text)[0]) and not self.contrast)
        ):
            return False
        if self.context.wh and self.has(phrases.SOMEONE_DID):
            return True
        value = self.context.value
        if self.has(phrases.NO_VALUE) or (self.has(phrases.NOBODY) and phrases.WHO.match(self.context.question)):
            return False
        if self.has(phrases.IT_IS):
            return self.context.factual or self.context.yes_no or self.text.casefold().startswith("that")
        return bool(self.shared) and self.context.factual and not (value and value <= self.stems)

    @property
    def same_subject(self) -> bool:
        """It says something else of the subject of one of the assistant's claims: "Whales are mammals!" """
        found = phrases.SUBJECT.match(self.text)
        if not found or not self.new or len(self.stems) > 8 or self.has(phrases.NEGATION):
            return False
        claimed = rf"\b{re.escape(found['subject'].removesuffix('s'))}s?\s+(?:is|are|was|were|means)\b"
        return bool(re.search(claimed, self.context.assistant, re.IGNORECASE))

    @property
    def tells(self) -> bool:
        """It says what the assistant did not know."""
        context = self.context
        if not (context.declined and context.factual and self.new) or context.asks_back or len(self.stems) > 14:
            return False
        if self.has(phrases.OF_ONESELF) or self.has(phrases.NEGATION) or self.has(phrases.AT_THE_MOMENT):
            return False
        return self.has(phrases.IT_IS) or len(self.text.split()) <= 6 or bool(self.stems & context.asked)

    @property
    def switched(self) -> bool:
        """What the assistant named was given up for something else: "We moved from Toggl to Clockify." """
        found = phrases.SWITCHED.search(self.text)
        old = next((part for part in found.groups() if part), "") if found else ""
        return bool(stems(old) & self.context.said) and bool(self.new)

    @property
    def other_amount(self) -> bool:
        """It has a number or a time where the assistant had another: "We get paid on the 25th." """
        if not self.context.quantity or self.context.asks_back or len(self.stems) > 14 or self.has(phrases.OF_ONESELF):
            return False
        clauses = [part for part in phrases.PARTS.split(self.text) if self.contrast or not phrases.NOT.search(part)]
        own = amounts(" ; ".join(clauses))
        return bool(own) and not amounts(self.text) & (amounts(self.context.assistant) | amounts(self.context.question))

    @property
    def plain_amount(self) -> bool:
        """It says little but such a number: "10 km/h.", "eight, since Pluto does not count", "There are only eight"."""
        value = re.sub(r"^\W*(?:(?:on|at|in|only)\s+)?", "", phrases.PARTS.split(self.text)[0])
        bare = len(value.split()) <= 4 and bool(phrases.AMOUNT.match(value)) and not re.search(r"\bnow\b", value)
        return (
            self.other_amount
            and (bare or self.has(phrases.IT_IS) or self.has(phrases.THERE_ARE))
            and not self.has(phrases.COMPUTES)
        )

    @property
    def plain(self) -> bool:
        """It can hardly be anything else: "wrong, Lyon", "it's twenty-eight", "It's Otis Vane.", "No, it isn't." """
        context, count = self.context, len(self.text.split())
        if context.asks_back or context.creative or count > 8:
            return False
        if self.after_denial or (self.denied and not self.softly):
            return (bool(self.new) and count <= 3 and context.factual) or (
                self.has(phrases.ELLIPSIS) and context.yes_no
            )
        named = bool(phrases.NAMED_VALUE.search(self.text)) and bool(phrases.WHO.match(context.question))
        return self.other_value and self.has(phrases.IT_IS) and (self.other_amount or named)

    @property
    def it_does(self) -> bool:
        """It says of "it" what was asked: "It hangs in Amsterdam." """
        found = phrases.IT_DOES.match(self.text)
        if found is None or stem(found["did"].casefold()) not in self.context.known:
            return False
        return self.context.factual and bool(self.new) and not (self.has(phrases.NEGATION) or self.context.asks_back)

    @property
    def respells(self) -> bool:
        """A word of it is one of the assistant's with another letter or two: "Schmetterling" for "Schmetling"."""
        pairs = (
            (word, other)
            for word in sorted(self.new)
            if 4 < len(word) <= LONGEST_WORD
            for other in self.context.by_beginning.get(word[:2], ())
        )
        return any(SequenceMatcher(None, *pair).ratio() >= ALIKE for pair in islice(pairs, MOST_PAIRS))

    @property
    def places(self) -> bool:
        """It says what the assistant's answer really is, then what is right: "T-7 is for phones, T-12 for these"."""
        first, *rest = re.split(r"[,;]\s+", self.text, maxsplit=1)
        begins = self.after_placing or (bool(rest) and self.has(phrases.COPULA) and is_of(first, self.context))
        return begins and bool(stems(rest[0] if rest else self.text) - self.context.said - phrases.META)

    @property
    def believes(self) -> bool:
        """It says modestly what is right: "I think it was Lyon"."""
        return self.has(phrases.I_THINK_IT_IS) and self.context.wh and self.other_value

    @property
    def did_it(self) -> bool:
        """It names who did what was asked: "Rembrandt painted it." """
        found = phrases.DOES_IT.match(self.text)
        return found is not None and stem(found["did"]) in self.context.known and bool(self.new)

    @property
    def answers_anew(self) -> bool:
        """It says something new in the question's words, without what the assistant said: "Employees park there." """
        context = self.context
        if not (context.wh or context.how) or context.asks_back or not self.new or self.contrast:
            return False
        if (
            len(self.text.split()) <= 2
            or len(self.stems) > 9
            or len(self.stems & context.asked) < len(context.asked) / 2
        ):
            return False
        speaks_otherwise = (phrases.COMPUTES, phrases.COPULA, phrases.NEGATION, phrases.OF_ONESELF, phrases.GOES_ON)
        return not context.value <= self.stems and not any(self.has(each) for each in speaks_otherwise)

    @property
    def ties_anew(self) -> bool:
        """It says something new of the question's subject in the assistant's terms: "A cello has strings." """
        asked, said = self.context.asked, self.context.said
        if not (self.stems & (asked - said) and self.stems & (said - asked) and self.new) or len(self.stems) > 8:
            return False
        return self.has(phrases.COPULA) and not (self.has(phrases.NEGATION) or self.has(phrases.OF_ONESELF))

    @property
    def denies_of_oneself(self) -> bool:
        """The assistant said something of the user, or of the chat, that the user denies."""
        if self.context.asks_back:
            return False
        if self.has(phrases.I_AM_NOT):
            return True
        found = phrases.I_DID_NOT.search(self.text)
        if not found:
            return False
        return bool(phrases.SPEECH.match(found["verb"])) or stem(found["verb"].casefold()) in self.context.said

    @property
    def bare_value(self) -> bool:
        """A bare value of the kind that the assistant gave: "56." or "Lyon!" after a factual question."""
        words = self.text.split()
        if not self.new or not self.context.factual or self.context.asks_back:
            return False
        if self.context.wh and not self.shared and phrases.NAME_FIRST.match(self.text):
            return True
        if len(words) > 3:
            return False
        if phrases.TASTE.search(self.context.question) or self.text.endswith(("...", ",")):
            return False
        if self.shared and not self.text.endswith("!"):
            return False
        if all(phrases.NUMBER.match(word.lstrip("$€£")) for word in words):
            return bool(phrases.NUMBER.search(self.context.assistant)) and bool(
                re.fullmatch(r"[$€£]?[\d.,:%/ ]+[.!]?", self.text)
            )
        if len(words) == 1 and phrases.CODE.fullmatch(self.text) and re.search(r"[A-Za-z][\w.-]*\d", self.text):
            return bool(re.search(r"\b[A-Za-z]{1,4}[-.]?\d", self.context.assistant))
        if self.text.endswith("!") and self.context.quantity and amounts(self.text) - amounts(self.context.assistant):
            return True
        named = all(word[0].isupper() for word in words) and any(
            w[0].isupper() for w in self.context.assistant.split()[1:] or ["A"]
        )
        return named and self.text.endswith("!") and len(self.context.asked) >= 2


def is_of(text: str, context: Context) -> bool:
    """Whether it begins with what the assistant answered: "T-7 is for phones." """
    return bool(stems(" ".join(text.split()[:3])) & context.value)
