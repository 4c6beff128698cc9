"""`lifelearn demo`: a whole correction on the real model, from the wrong answer to the verified version.

Only the user's side is written down (facts.py); every answer, the detection, the lesson and the report
are the model's and the pipeline's own. Run it with `lifelearn demo --fact price --seed 1 --json out.json`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Correction, ModelVersion
from lifelearn.terminal.chat import expected_seconds
from lifelearn.terminal.errors import sentence
from lifelearn.terminal.facts import Fact
from lifelearn.terminal.screen import Screen
from lifelearn.terminal.session import Session, SessionError
from lifelearn.terminal.text import duration, plural

Outcome = dict[str, Any]
SHORT = Sampling(max_tokens=64)


class DemoError(Exception):
    """The demo could not go on. The text says at what it stopped."""


def demo(session: Session, screen: Screen, fact: Fact) -> Outcome:
    """Plays `fact`; gives back what `--json` writes. Its "passed" says whether all went as promised."""
    outcome: Outcome = {
        "question": fact.question,
        "before": "",
        "correction": fact.correction,
        "after": "",
        "unseen": [],
        "neighbours": [],
        "report": None,
        "seconds": {},
        "version": None,
        "passed": False,
        "error": None,
    }
    started = time.monotonic()
    try:
        _play(session, screen, fact, outcome)
    except Exception as error:
        outcome["error"] = sentence(error)
        if outcome["error"] is None:
            raise
        screen.error(outcome["error"])
    outcome["passed"] = _passed(outcome, fact)
    outcome["seconds"]["total"] = round(time.monotonic() - started, 2)
    _sum_up(screen, outcome)
    return outcome


def _play(session: Session, screen: Screen, fact: Fact, outcome: Outcome) -> None:
    seconds = outcome["seconds"]
    screen.user(fact.question)
    with _timed(seconds, "answer"):
        outcome["before"] = screen.answer(session.answer(fact.question))
    with screen.busy("asking its neighbours …"):
        neighbours_before = session.ask_all(fact.neighbours, SHORT)
    screen.user(fact.correction)
    corrected = time.monotonic()
    with _timed(seconds, "detect"), screen.busy("reading …"):
        correction = session.noticed(fact.correction)
    if correction is None:
        raise DemoError("The message was not recognised as a correction.")
    screen.correction(correction)
    version = _learned(session, screen, correction)
    seconds.update({stage: round(value, 2) for stage, value in version.seconds.items()})
    seconds["correction_to_result"] = round(time.monotonic() - corrected, 2)
    outcome["report"] = version.report.model_dump(mode="json")
    outcome["version"] = version.number
    session.reset()
    screen.note("\nAsked again in fresh contexts, and questions that training never saw:")
    with _timed(seconds, "questions"):
        _ask_again(session, screen, fact, outcome, neighbours_before)


def _learned(session: Session, screen: Screen, correction: Correction) -> ModelVersion:
    try:
        with screen.learning(expected_seconds(session)) as on_progress:
            version = session.learn(correction, on_progress)
    except KeyboardInterrupt:
        raise SessionError("Learning was stopped.") from None
    screen.result(version, session.number)
    return version


def _ask_again(session: Session, screen: Screen, fact: Fact, outcome: Outcome, before: list[str]) -> None:
    """Fills in the answers after learning, each in a fresh context."""
    outcome["after"] = _asked(session, screen, fact.question)
    for question in fact.unseen:
        answer = _asked(session, screen, question)
        outcome["unseen"].append({"question": question, "answer": answer, "ok": _right(fact, answer)})
    screen.note("\nIts neighbours:")
    answers = session.ask_all(fact.neighbours, SHORT)
    for question, earlier, after in zip(fact.neighbours, before, answers, strict=True):
        ok = _right(fact, earlier) or not _right(fact, after)
        screen.comparison(question, {"before": earlier, "after": after})
        outcome["neighbours"].append({"question": question, "before": earlier, "after": after, "ok": ok})


def _asked(session: Session, screen: Screen, question: str) -> str:
    screen.user(question)
    session.reset()
    answer = screen.answer(session.answer(question))
    session.reset()
    return answer


def _right(fact: Fact, answer: str) -> bool:
    return any(stated(accept, answer) for accept in fact.accept)


def _passed(outcome: Outcome, fact: Fact) -> bool:
    """Verified and live, the question answered, all unseen questions but one too, no neighbour taken over."""
    report = outcome["report"]
    verified = report is not None and all(check["passed"] for check in report["checks"])
    unseen = _count(outcome["unseen"]) >= len(fact.unseen) - 1
    neighbours = _count(outcome["neighbours"]) == len(fact.neighbours)
    return verified and _right(fact, outcome["after"]) and unseen and neighbours


def _count(rows: Iterable[dict[str, Any]]) -> int:
    return sum(row["ok"] for row in rows)


def _sum_up(screen: Screen, outcome: Outcome) -> None:
    seconds: dict[str, float] = outcome["seconds"]
    if outcome["report"] is not None:
        unseen, neighbours = outcome["unseen"], outcome["neighbours"]
        screen.note(
            f"\n{_count(unseen)} of {plural(len(unseen), 'unseen question')} right, "
            f"{_count(neighbours)} of {plural(len(neighbours), 'neighbour')} free of the new answer."
        )
    screen.note(" · ".join(f"{stage.replace('_', ' ')} {duration(value)}" for stage, value in seconds.items()))
    if outcome["passed"]:
        screen.note("The demo passed.")
    else:
        screen.error("The demo did not pass.")


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = round(time.monotonic() - started, 2)
