"""`lifelearn bench judge|kept|same-fact|marker`: is what reads replies and questions right about them?

Each row is a case with its label. What the product serves is asked: the examiner about a reply and about an earlier
answer, the chat about two questions. `marker` asks the benches' own marker instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lifelearn.bench.figures import Figure, share
from lifelearn.bench.marker import mark
from lifelearn.bench.report import Report, Say
from lifelearn.bench.rows import Case, Judged, KeptCase, Pair
from lifelearn.learning.examiner.marking import holds
from lifelearn.learning.types import Probe

NEAR_OTHERS = 0.03  # of near pairs that ask for something else, how many may be taken for one fact


def judge(rows: Sequence[Judged], say: Say = print) -> Report:
    """Whether replies are right, by the examiner."""
    told = [
        (row, holds(Probe(kind="efficacy", question=row.question, answer=row.wanted), "", row.reply)) for row in rows
    ]
    return {
        "figures": _of(
            accuracy=[said == row.right for row, said in told],
            wrong_accepted=[said for row, said in told if not row.right],
            right_refused=[not said for row, said in told if row.right],
        ),
        **_sorted_out(told, say),
    }


def kept(rows: Sequence[KeptCase], say: Say = print) -> Report:
    """Whether an earlier answer survived, by the examiner."""

    def survived(row: KeptCase) -> bool:
        probe = Probe(kind="neighbour", question=row.question, answer=row.known, forbidden=row.forbidden)
        return holds(probe, row.before, row.after)

    told = [(row, survived(row)) for row in rows]
    return {
        "figures": _of(
            accuracy=[said == row.kept for row, said in told],
            damaged_accepted=[said for row, said in told if not row.kept],
            kept_refused=[not said for row, said in told if row.kept],
        ),
        **_sorted_out(told, say),
    }


def same_fact(rows: Sequence[Pair], alike: Callable[[str, str], float], threshold: float, say: Say = print) -> Report:
    """Whether two questions ask for one fact; they are taken for one from `threshold` on.

    auc: of a same and a near other pair, how often the same one is more alike (ties: half). opened: of the same, how
    many are at least as alike as the threshold at which `NEAR_OTHERS` of the near others are; far_opened: of the far.
    """
    scored = [(row, alike(row.question, row.other)) for row in rows]
    told = [(row, score >= threshold) for row, score in scored]
    near = sorted((score for row, score in scored if row.near and not row.same), reverse=True)
    least = near[int(NEAR_OTHERS * len(near))] if near else 0.0  # opened are those above it
    same = [score for row, score in scored if row.same]
    wins, pairs = sum((a > b) + (a == b) / 2 for a in same for b in near), len(same) * len(near)
    auc = Figure(value=wins / pairs if pairs else None, n=wins, of=pairs, low=None, high=None)
    return {
        "figures": {
            "auc": auc.model_dump(),
            **_of(
                opened=[score > least for score in same],
                far_opened=[score > least for row, score in scored if not row.near and not row.same],
                accuracy=[said == row.same for row, said in told],
            ),
        },
        **_sorted_out(told, say),
    }


def marker(rows: Sequence[Judged], say: Say = print) -> Report:
    """How often the marker says what people said; `mine`: of how many it says anything."""
    told = [(row, mark(row.reply, row.answers, row.not_answers, question=row.question, lang=row.lang)) for row in rows]
    mine = [(row, verdict == "right") for row, verdict in told if verdict != "not mine"]
    english = [verdict for row, verdict in told if row.lang == "en"]
    return {
        "figures": _of(
            agreement=[said == row.right for row, said in mine],
            wrong_accepted=[said for row, said in mine if not row.right],
            right_refused=[not said for row, said in mine if row.right],
            mine=[verdict != "not mine" for verdict in english],
        ),
        **_sorted_out(mine, say),
        "rows": [{"id": row.id, "verdict": verdict, "right": row.right} for row, verdict in told],
    }


def _of(**outcomes: Sequence[bool]) -> dict[str, Any]:
    return {name: share(each).model_dump() for name, each in outcomes.items()}


def _sorted_out(told: Sequence[tuple[Case, bool]], say: Say) -> Report:
    """What was said of each row, and the share that is right by language and by kind; says which rows are wrong."""
    groups: Mapping[str, Callable[[Case], str]] = {"by_language": lambda row: row.lang, "by_kind": lambda row: row.kind}
    for row, said in told:
        if said != row.label:
            say(f"{row.id}: {said}, wrongly")
    return {
        **{name: _grouped(told, key) for name, key in groups.items()},
        "rows": [{"id": row.id, "said": said, "label": row.label} for row, said in told],
    }


def _grouped(told: Sequence[tuple[Case, bool]], key: Callable[[Case], str]) -> dict[str, Any]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for row, said in told:
        groups[key(row)].append(said == row.label)
    return {name: {"rows": len(each), "right": sum(each)} for name, each in sorted(groups.items())}
