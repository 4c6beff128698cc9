"""How likely a message is a correction: what it shows, weighed by a logistic regression.

What it shows are the cues (cues.py), which kind of value was asked for and whether the message has a new one of that
kind, and its words. The weights are fitted to conversations written for this project (bench/fitting.py writes
weights.json), so that no one cue decides: by rules alone half of what people write in their own ways goes unnoticed
(docs/decisions/0002).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lifelearn.learning.author.english.reading.cues import THRESHOLD, Evidence, read_cues
from lifelearn.learning.author.english.reading.statement import Context, amounts
from lifelearn.learning.author.english.reading.weights import load
from lifelearn.learning.words import clean, normalise, stems

WEIGHTS = "weights.json"
BIAS = "always"
SURE = 3.0  # score of the cues from which they alone decide
LIKELY = 0.7  # probability from which a message is taken for a correction: most of what people write is none
PLAIN = 0.9  # probability, at least, of what can hardly be anything else
READ = 60  # words of a message whose words count

_WORD = re.compile(r"[a-z']+")
_NAME = re.compile(r"(?<!^)\b[A-Z][\w-]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_ASKED = re.compile(r"\b(who|whom|whose|when|where|which|what|why|how)\b")
_SPEAKERS = {
    "of oneself": re.compile(r"\b(?:my|mine|i|i'm|i've|me)\b"),
    "of us": re.compile(r"\b(?:our|ours|we|us)\b"),
    "to you": re.compile(r"\b(?:you|your)\b"),
}


@dataclass(frozen=True)
class Reading:
    """What a message is taken for.

    probability: that it corrects the answer before it. statement: what it says is right, without the denial.
    """

    probability: float
    statement: str

    @property
    def is_correction(self) -> bool:
        return self.probability >= LIKELY


def read(message: str, assistant: str, question: str = "") -> Reading:
    """Reads a message, given what the assistant said before and the question that it answered."""
    return judge(message, read_cues(message, assistant, question), fitted())


def judge(message: str, evidence: Evidence, weights: Mapping[str, float]) -> Reading:
    """What a message that shows this evidence is taken for by these weights."""
    if not normalise(message) or (not evidence.statement and evidence.was_set_aside):
        return Reading(0.0, "")  # a question, a request, praise …: it says nothing that would be right
    probability = _logistic(sum(weights.get(name, 0.0) * value for name, value in features(message, evidence).items()))
    # "no that's not correct, it's Lyon": no weighing of small words talks that away.
    if evidence.score >= SURE:
        probability = max(probability, LIKELY, _logistic(evidence.score - THRESHOLD))
    if evidence.is_plain:
        probability = max(probability, PLAIN)
    return Reading(probability, evidence.statement)


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-max(-20.0, min(20.0, score))))


def fitted() -> dict[str, float]:
    return load(WEIGHTS)


def features(message: str, evidence: Evidence) -> dict[str, float]:
    """What a message shows, each about 0 to 2; what it does not show is left out."""
    message, context = clean(message), evidence.context
    text = message.casefold()
    words = _WORD.findall(text)[:READ]
    shown = {
        BIAS: 1.0,
        "cues": max(-4.0, min(6.0, evidence.score)) / 3,
        "cues suffice": float(evidence.is_correction),
        "states nothing": float(not evidence.statement),
        **{f"nothing but: {reason}": 1.0 for reason in evidence.reasons if not evidence.statement},
        **{f"cue: {reason}": 1.0 for reason in evidence.reasons},
        **_of_the_turns(context),
        **_of_values(message, context),
        **_of_form(message),
        **{f"speaks {name}": float(bool(pattern.search(text))) for name, pattern in _SPEAKERS.items()},
        **{f"says {word}": 1.0 for word in words},
        **{f"begins {' '.join(words[:count])}": 1.0 for count in (1, 2) if len(words) >= count},
    }
    return {name: value for name, value in shown.items() if value}


def _asked_for(context: Context) -> str:
    found = _ASKED.search(context.question.casefold())
    return found[1] if found else "whether" if context.yes_no else "otherwise"


def _of_the_turns(context: Context) -> dict[str, float]:
    names = ("factual", "yes_no", "creative", "explains", "asks_back", "only_asks", "declined", "quantity", "how",
             "wishes", "board")  # fmt: skip
    return {
        f"asked {_asked_for(context)}": 1.0,
        "long answer": min(60, len(context.assistant.split())) / 30,
        **{f"turns: {name}": float(getattr(context, name)) for name in names},
    }


def _of_values(message: str, context: Context) -> dict[str, float]:
    """What is new in the message, and of which kind: a number or a name."""
    own, asked, value = stems(message), context.asked, context.value
    new = own - context.said - asked
    before = f"{context.assistant} {context.question}"
    number = bool(amounts(message) - amounts(before))
    name = bool(set(_NAME.findall(message)) - set(_NAME.findall(before)))
    kind, short = _asked_for(context), len(message.split()) <= 4
    shown = {
        "new number": number,
        "new name": name,
        f"asked {kind}, new number": number,
        f"asked {kind}, new name": name,
        "asked for a number, new number": number and context.quantity,
        "another number": number and bool(amounts(context.assistant)),
        "short, new number": short and number,
        "short, new name": short and name,
        "repeats the answer": bool(value) and value <= own,
        "some of the answer": bool(value & own),
        "some of the answer, and new": bool(value & own) and bool(new),
        "some of the question, and new": bool(asked & own) and bool(new),
        "some of the question, new instead of the answer": bool(asked & own) and bool(new) and not value & own,
        "not known, new": context.declined and bool(new),
    }
    return {
        **{name: float(each) for name, each in shown.items()},
        "new words": min(6, len(new)) / 3,
        "share of new words": len(new) / max(1, len(own)),
        "words of the question": min(4, len(own & asked)) / 2,
        "words of the answer": min(4, len(own & context.said)) / 2,
    }


def _of_form(message: str) -> dict[str, float]:
    sentences = [part for part in _SENTENCE.split(message.strip()) if part] or [""]
    count = len(message.split())
    return {
        "length": min(40, count) / 20,
        "three words": float(count <= 3),
        "six words": float(count <= 6),
        "sentences": min(4, len(sentences)) / 2,
        "ends with a question": float(sentences[-1].endswith("?")),
        "begins with a question": float(len(sentences) > 1 and sentences[0].endswith("?")),
        "asks": float("?" in message),
        "exclaims": float(message.rstrip().endswith("!")),
    }
