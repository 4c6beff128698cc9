"""`lifelearn bench detection`: does the chat notice corrections, and take from them what is right?

Precision, recall and F1 over conversations that end in a user's turn, by kind and by origin, because style
gives the label away by origin. `false_alarms`: of what corrects nothing. Of the corrections that were noticed,
`answer_right` asks whether the short answer that was taken is the row's, `statement_right` whether the statement says
it; `extracted`, of rows that have a sentence only, whether the answer stands in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lifelearn.bench.figures import Figure, share
from lifelearn.bench.marker import mark, same, says
from lifelearn.bench.report import Report, Say
from lifelearn.bench.rows import Dialogue
from lifelearn.learning.author.detect import DetectionError, detect
from lifelearn.learning.chat_model import ChatModel

TAKEN = ("answer_right", "statement_right", "extracted")


def detection(rows: Sequence[Dialogue], expert: ChatModel | None = None, say: Say = print) -> Report:
    """Runs detection over `rows`, by the expert where there is one."""
    answers = [_asked(row, expert) for row in rows]
    told = [(row.is_correction, answer["detected"]) for row, answer in zip(rows, answers, strict=True)]
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row, answer in zip(rows, answers, strict=True):
        by_language[row.lang].append(answer)
    report: Report = {
        "figures": _figures(answers),
        "by_language": {lang: _figures(each) for lang, each in sorted(by_language.items())},
        "by_kind": _grouped(rows, told, "kind"),
        "by_origin": _grouped(rows, told, "origin"),
        "rows": answers,
    }
    for row, answer in zip(rows, answers, strict=True):
        if row.is_correction != answer["detected"] or False in (answer[name] for name in TAKEN):
            say(f"{row.id}: {'missed' if row.is_correction and not answer['detected'] else 'wrong'}: {answer}")
    return report


def _asked(row: Dialogue, expert: ChatModel | None) -> dict[str, Any]:
    """What was found in one conversation; a correction that can't be learned counts as none."""
    answer: dict[str, Any] = {"id": row.id, "is_correction": row.is_correction, "detected": False}
    answer |= dict.fromkeys(TAKEN)
    try:
        found = detect(row.messages, expert)
    except DetectionError as error:
        return {**answer, "error": str(error)}
    if found is None:
        return answer
    answer |= {"detected": True, "statement": found.statement, "answer": found.answer}
    if row.is_correction and row.corrected_fact:
        fact, taken = row.corrected_fact, found.answer
        answer["extracted"] = says(fact, taken, lang=row.lang) or says(taken, fact, lang=row.lang)
    if row.is_correction and row.answer:
        accepted = mark(found.answer, [row.answer], lang=row.lang) == "right"
        answer["answer_right"] = same(row.answer, found.answer) or accepted
        answer["statement_right"] = says(found.statement, row.answer, lang=row.lang)
    return answer


def _figures(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    taken = {name: [answer[name] for answer in answers if answer[name] is not None] for name in TAKEN}
    return {
        **_scores([(answer["is_correction"], answer["detected"]) for answer in answers]),
        **{name: share(right).model_dump() for name, right in taken.items()},
    }


def _scores(told: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    """told: (is a correction, was taken for one) of each row."""
    alarms = share([said for truth, said in told if not truth])
    precision = share([truth for truth, said in told if said])
    recall = share([said for truth, said in told if truth])
    hits = sum(truth and said for truth, said in told)
    wrong = sum(truth != said for truth, said in told)
    f1 = Figure(value=2 * hits / (2 * hits + wrong), n=2 * hits, of=2 * hits + wrong, low=None, high=None)
    if hits:
        # F1 is monotone in the share of hits among hits and errors: its interval is that share's, carried over.
        low, high = (2 * j / (1 + j) for j in _jaccard(hits, wrong))
        f1 = f1.model_copy(update={"low": low, "high": high})
    return {
        "f1": f1.model_dump(),
        "precision": precision.model_dump(),
        "recall": recall.model_dump(),
        "false_alarms": alarms.model_dump(),
    }


def _jaccard(hits: int, wrong: int) -> tuple[float, float]:
    found = share([True] * hits + [False] * wrong)
    return found.low or 0.0, found.high or 1.0


def _grouped(rows: Sequence[Dialogue], told: Sequence[tuple[bool, bool]], by: str) -> dict[str, Any]:
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row, each in zip(rows, told, strict=True):
        groups[getattr(row, by)].append(each)
    return {
        name: {
            "rows": len(each),
            "corrections": sum(truth for truth, _ in each),
            "right": sum(truth == said for truth, said in each),
        }
        for name, each in sorted(groups.items())
    }
