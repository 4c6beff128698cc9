"""Is a user's message a correction? Evidence that can be read off the words, and the part that is new.

A correction denies or contradicts what the assistant said *and* gives what is right. The message is cut into
sentences. A sentence that is no statement (a question, a request, praise, a bare denial, talk about the user's own
intent …) is set aside; each statement collects the weights of the cues that it shows (`CUES`: a contrast, a denial
before it, a negation of the assistant's words, another value than the assistant's …). The best statement, together
with what was set aside, is a first reading, its weights set by hand; weighing.py has the last word.

Pure text: it knows no model, no language but English (and the commonest denials of some others), and nothing of
the world, so it cannot tell who is right. To see what it reads:

    python -c "from lifelearn.learning.author.english.reading import cues
    print(cues.read_cues('no, Lyon', 'In Paris.', 'Where is it?'))"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lifelearn.learning.author.english.reading import phrases
from lifelearn.learning.author.english.reading.contrast import contrast_in
from lifelearn.learning.author.english.reading.sentences import CLOSE, masked, sentences, strip_denial, unmasked
from lifelearn.learning.author.english.reading.statement import Context, Statement, amounts, is_of
from lifelearn.learning.words import clean, normalise, stems

# At or above it a message is a correction.
THRESHOLD = 2.0


@dataclass(frozen=True)
class Cue:
    """A named piece of evidence: what it adds to a statement's score where it is found."""

    name: str
    weight: float
    found: Callable[[Statement], bool]


CUES: tuple[Cue, ...] = (
    # It opposes what was said.
    Cue("denial", 2.0, lambda s: s.denied and not s.softly and bool(s.stems)),
    Cue("soft denial", 1.25, lambda s: s.denied and s.softly and bool(s.stems)),
    Cue("denial before", 2.0, lambda s: s.after_denial and not s.denied and bool(s.stems)),
    Cue(
        "denies in two words",
        2.25,
        lambda s: s.has(phrases.ELLIPSIS) and (s.context.yes_no or (s.denied and not s.context.wh)),
    ),
    Cue("after faint praise", 1.5, lambda s: s.conceded and bool(s.stems)),
    Cue("contrast", 1.5, lambda s: s.contrast is not None),
    Cue("contrast with the assistant's words", 1.0, lambda s: s.wrong_was_said),
    Cue("negates what was said", 1.25, lambda s: s.has(phrases.NEGATION) and bool(s.shared) and not s.contrast),
    Cue("strong negation", 1.25, lambda s: s.has(phrases.STRONG_NEGATION) and bool(s.stems)),
    Cue("false claim", 1.75, lambda s: s.has(phrases.YOUR_FALSE_CLAIM) and bool(s.shared or s.new)),
    Cue("blame", 2.0, lambda s: s.has(phrases.BLAME) and bool(s.stems)),
    Cue("asks whether it is not", 2.0, lambda s: s.text.endswith("?") and s.has(phrases.MAY_I_SAY)),
    Cue("you mean", 3.0, lambda s: s.has(phrases.YOU_MEAN)),
    Cue("starred", 3.0, lambda s: bool(phrases.STAR.match(s.text)) and bool(s.new)),
    Cue("sets the matter right", 2.0, lambda s: s.has(phrases.CONTRARY) and bool(s.stems)),
    Cue("denies what was said of oneself", 2.25, lambda s: s.denies_of_oneself),
    # It says what is right.
    Cue("should be", 2.0, lambda s: s.has(phrases.SHOULD_BE)),
    Cue(
        "prescribes",
        1.5,
        lambda s: (
            s.has(phrases.PRESCRIBES) and not s.has(phrases.SHOULD_BE) and bool(s.shared or s.denied or s.after_denial)
        ),
    ),
    Cue("actually", 2.0, lambda s: s.has(phrases.ACTUALLY) and bool(s.new) and not (s.denied or s.after_request)),
    Cue(
        "emphasis",
        2.0,
        lambda s: s.has(phrases.EMPHASIS) and bool(s.shared) and bool(phrases.NEGATION.search(s.context.assistant)),
    ),
    Cue("about the board", 1.0, lambda s: s.context.board and s.has(phrases.BOARD)),
    Cue("ties the question to the answer anew", 1.25, lambda s: s.ties_anew),
    Cue("authority", 2.0, lambda s: s.has(phrases.AUTHORITY) and bool(s.new)),
    Cue("record of the chat or of oneself", 1.25, lambda s: s.has(phrases.RECORD)),
    Cue("definition", 1.0, lambda s: s.has(phrases.CORRECTS_NAME) and bool(s.shared) and bool(s.new)),
    Cue("another value", 2.0, lambda s: s.other_value),
    Cue("bare value", 2.0, lambda s: s.bare_value),
    Cue("the assistant's subject", 1.25, lambda s: s.same_subject),
    Cue("same subject, new content", 0.75, lambda s: bool(s.shared) and bool(s.new)),
    Cue("a reason", 0.5, lambda s: s.has(phrases.REASON) and bool(s.stems)),
    Cue("what the assistant did not know", 2.0, lambda s: s.tells),
    Cue(
        "of the moment",
        -1.0,
        lambda s: s.has(phrases.AT_THE_MOMENT) and not phrases.AT_THE_MOMENT.search(s.context.question),
    ),
    Cue("computes on", -1.0, lambda s: s.has(phrases.COMPUTES) and not s.denied),
    Cue(
        "tells of oneself as the assistant was asked to",
        -2.0,
        lambda s: s.has(phrases.OF_ONESELF) and not s.denied and bool(phrases.OF_YOU.search(s.context.question)),
    ),
    Cue("finds it so", -2.0, lambda s: s.has(phrases.THAT_IS_SO) and not (s.denied or s.after_denial)),
    Cue("given up for something else", 2.0, lambda s: s.switched),
    Cue("changed it", 1.25, lambda s: s.has(phrases.CHANGED_TO) and bool(s.new)),
    Cue("with us", 1.25, lambda s: s.has(phrases.WITH_US) and bool(s.new) and not s.context.asks_back),
    Cue("it does", 2.0, lambda s: s.it_does),
    Cue("another spelling", 2.0, lambda s: s.respells),
    Cue("gives the answer another place", 1.25, lambda s: s.places),
    Cue("the right one is", 2.0, lambda s: s.has(phrases.RIGHT_IS) and bool(s.new or amounts(s.text))),
    Cue(
        "does the job",
        2.0,
        lambda s: s.has(phrases.WORKS) and bool(s.new) and not s.has(phrases.NEGATION) and s.context.factual,
    ),
    Cue("only", 1.25, lambda s: s.has(phrases.ONLY) and s.context.yes_no and bool(s.new)),
    Cue(
        "went to",
        1.25,
        lambda s: s.has(phrases.WENT_TO) and bool(s.new) and s.context.factual and not s.has(phrases.OF_ONESELF),
    ),
    Cue("names who did it", 2.0, lambda s: s.did_it),
    Cue("answers the question anew", 1.25, lambda s: s.answers_anew),
    Cue("a plain amount", 0.75, lambda s: s.plain_amount),
    Cue("another amount", 1.25, lambda s: s.other_amount),
    Cue("what we do", 0.75, lambda s: s.has(phrases.WE) and bool(s.new) and (s.context.factual or s.context.yes_no)),
    Cue(
        "a value, not another",
        0.75,
        lambda s: (
            s.contrast is not None and s.context.wh and not s.context.asks_back and len(s.contrast.right.split()) <= 4
        ),
    ),
    Cue("changed state", 0.75, lambda s: s.has(phrases.NEW_STATE) and bool(s.shared) and bool(s.new)),
    Cue(
        "about your things",
        2.0,
        lambda s: s.has(phrases.YOUR_THING) and bool(s.shared),
    ),
    # It speaks of something else.
    Cue("doubt", -1.0, lambda s: s.has(phrases.DOUBT) and not (s.has(phrases.YOU_MEAN) or s.believes)),
    Cue("evaluation", -3.5, lambda s: s.has_in_prose(phrases.EVALUATION) and not s.wrong_was_said),
    Cue(
        "speaks of oneself",
        -1.0,
        lambda s: (
            s.has(phrases.OF_ONESELF)
            and not (
                s.believes or s.has(phrases.RECORD) or s.denies_of_oneself or s.has(phrases.AUTHORITY) or s.contrast
            )
        ),
    ),
    Cue("addition", -1.5, lambda s: s.has(phrases.ADDITION)),
    Cue("explains a request", -1.0, lambda s: s.after_request and not s.denied),
    Cue("style", -2.5, lambda s: s.has_in_prose(phrases.STYLE) and (s.context.creative or s.context.explains)),
    Cue("third party", -3.0, lambda s: s.has(phrases.THIRD_PARTY) and not s.other_amount),
    Cue(
        "answers the assistant's question",
        -3.0,
        lambda s: (
            s.context.asks_back
            and (s.denied or s.context.only_asks)
            and not (s.wrong_was_said or s.has(phrases.YOU_DO_NOT))
        ),
    ),
)


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a correction.

    score: sum of the weights; at or above `THRESHOLD` it is a correction.
    statement: the sentences that say what is right, without the denial; "" if there are none.
    reasons: the names of the cues found, in the order of finding.
    was_set_aside: whether a sentence of it was no statement about the answer at all.
    is_plain: whether a statement of it can hardly be anything but a correction.
    """

    context: Context
    score: float
    statement: str
    reasons: tuple[str, ...]
    was_set_aside: bool = False
    is_plain: bool = False

    @property
    def is_correction(self) -> bool:
        return self.score >= THRESHOLD


def read_cues(message: str, assistant: str, question: str = "") -> Evidence:
    """Weighs the cues in `message`, given what the assistant said before and the question it answered."""
    context = Context.of(question, assistant)
    text_only, quotes = masked(clean(message))
    total, best = 0.0, 0.0
    reasons: list[str] = []
    kept: list[str] = []
    after_denial = after_request = after_placing = set_aside = plain = False
    for sentence, after_but in sentences(text_only):
        text, denied = strip_denial(sentence)
        if (wrong := phrases.IS_WRONG.match(text)) and stems(wrong["what"]) & context.value:
            text, denied = wrong["right"] or "", True
        conceded = after_but or bool(CLOSE.match(sentence))
        words = frozenset(stems(text))
        statement = Statement(
            text=text,
            denied=denied,
            softly=denied and bool(phrases.SOFT_DENIAL.match(sentence)),
            after_denial=after_denial,
            after_placing=after_placing,
            after_request=after_request,
            conceded=conceded,
            stems=words,
            contrast=contrast_in(text),
            context=context,
        )
        after_denial = after_denial or denied or conceded or bool(phrases.IT_IS_NOT.match(text))
        if not normalise(text):
            reasons.append("denial without content")
            continue
        if sentence.endswith("?") and len(text.split()) <= 3 and words and words <= context.value:
            reasons.append("echoes the answer")  # "30? It's been 45 since January."
            after_denial = True
            continue
        aside = _set_aside(sentence, text, statement)
        if aside:
            reasons.append(aside[0])
            set_aside = True
            total += aside[1]
            after_denial = after_denial or aside[0] == "denial without content"
            if aside[0] in ("question", "request"):
                after_denial, after_request = False, True
            continue
        plain = plain or statement.plain
        found = [cue for cue in CUES if cue.found(statement)]
        score = sum(cue.weight for cue in found)
        reasons += [cue.name for cue in found]
        if denied and not statement.softly:
            total = max(total, -1.0)  # "yeah, will watch it. No, his brother did it": the later word counts
        after_placing = after_placing or (
            statement.has(phrases.COPULA) and bool(statement.new) and is_of(text, context)
        )
        if score > 0:
            before = phrases.IT_IS.match(text)
            lead = before["before"] if before else None
            said = unmasked(text[len(lead) :] if lead and not stems(lead) & context.asked else text, quotes)
            # "That's water. Ethanol boils at 78 degrees": the former says what the assistant took it for.
            if words & context.asked:
                kept = [each for each in kept if not phrases.THAT_IS.match(each)]
            kept.append(said)
        best = max(best, score) if kept else min(best, score)
    if not kept:
        return Evidence(context, min(total + best, 0.0), "", tuple(reasons), set_aside)
    return Evidence(context, total + best, " ".join(kept), tuple(reasons), set_aside, plain)


def _set_aside(sentence: str, text: str, statement: Statement) -> tuple[str, float] | None:
    """Why a sentence is no statement about the assistant's answer, and what that adds to the message's score."""
    context, contrast = statement.context, statement.contrast
    if sentence.rstrip(" )").endswith(("?", "？")):
        asks = phrases.MAY_I_SAY.match(text)
        value = stems((asks["value"] or asks["surely"]) if asks else "")
        if value - context.said - context.asked - phrases.META and context.wh and not context.asks_back:
            return None  # "Isn't it Lyon?" says what is right, politely
        return "question", -0.5
    if phrases.HYPOTHETICAL.search(text):
        return "hypothetical or future", -2.0
    if phrases.SAID_BUT.search(text):
        return "points at a contradiction", -1.0
    if phrases.YOU_MEAN.search(text) or phrases.STAR.match(text):
        return None
    if context.board and phrases.OWN_MOVE.match(text) and not phrases.NEGATION.search(text):
        return "a move", 0.0
    if phrases.AGREEMENT.search(sentence):
        return "agreement", -2.5
    if phrases.PRAISE.match(sentence) and not contrast:
        return "praise", -0.25
    if phrases.INTENT.search(text) and not (
        phrases.RECORD.search(text) and not contrast and re.search(r"\b(?:only|never|didn't|not)\b", text, re.I)
    ):
        googled = re.search(r"\bi\s+(?:tried|looked|checked|googled)\b", text, re.I)
        if not googled:
            return "own intent", -2.0
    if phrases.ATTITUDE.search(text):
        return "attitude", -2.0
    if phrases.REQUEST.search(text) and not (
        statement.wrong_was_said and not (context.creative or phrases.STYLE.search(text) or context.asks_back)
    ):
        return "request", -1.5 if context.creative else -0.5
    if phrases.TROUBLE.search(text):
        return "trouble report", -1.0
    if _is_bare_denial(text, statement):
        return "denial without content", 0.0
    return None


def _is_bare_denial(text: str, statement: Statement) -> bool:
    """It denies, but all its words are the question's, the assistant's or about the answer as such."""
    context = statement.context
    if statement.contrast or statement.has(phrases.ELLIPSIS):
        return statement.contrast is None and context.wh
    if phrases.SOMETHING_IS_WRONG.match(text):
        return True
    if statement.new or statement.has(phrases.REASON) or not phrases.JUDGEMENT.search(text):
        return False
    names_which = context.wh and not context.yes_no
    return names_which or statement.stems <= phrases.META
