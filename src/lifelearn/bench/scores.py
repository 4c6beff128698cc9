"""The figures of the corrections bench, over what became of its rows. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from lifelearn.bench.figures import NOTHING, Figure, clustered, mean, median, share
from lifelearn.bench.outcomes import Asked, Outcome
from lifelearn.bench.rows import Row


def figures(outcomes: Sequence[Outcome], *, at_the_end: bool = False) -> dict[str, Figure]:
    """The figures over all outcomes. at_the_end: `asked` holds the last version's answers, whoever was promoted."""

    answered = [
        (outcome, [each.after if at_the_end else outcome.served(each) for each in outcome.asked])
        for outcome in outcomes
    ]
    trained = [outcome for outcome in outcomes if outcome.version is not None]
    promoted = [outcome for outcome in trained if outcome.promoted]
    good = [outcome for outcome in trained if outcome.holds()]
    return {
        "detected": share([outcome.correction is not None for outcome in outcomes]),
        "extracted": share([o.row.says(o.correction.answer) for o in outcomes if o.correction is not None]),
        "promoted": share([outcome.promoted for outcome in outcomes]),
        "holds": share([outcome.promoted and outcome.holds() for outcome in outcomes]),
        **_by_question(answered),
        "unmarked": share(
            [
                outcome.row.marked(outcome.served(each)) == "not mine"
                for outcome in outcomes
                for each in outcome.asked
                if each.asks_the_fact
            ]
        ),
        "drift": mean([outcome.drift for outcome in promoted if outcome.drift is not None]),
        "retention": NOTHING,
        "gate_precision": share([outcome.holds() for outcome in promoted]),
        "gate_recall": share([outcome.promoted for outcome in good]),
        "seconds_median": median([outcome.seconds["total"] for outcome in trained]),
        "candidate_efficacy": clustered([o.oks("question", candidate=True) for o in trained]),
        "candidate_generalisation": clustered([o.oks("paraphrase", candidate=True) for o in trained]),
        "steps": mean([float(o.version.training.steps) for o in trained if o.version and o.version.training]),
        "completion_tokens": mean(
            [float(o.version.training.completion_tokens) for o in trained if o.version and o.version.training]
        ),
        "peak_gib": mean([max(outcome.peak_gib for outcome in outcomes)]) if outcomes else NOTHING,
    }


def baseline_figures(outcomes: Sequence[Outcome], name: str) -> dict[str, Figure]:
    """A baseline's figures, over the rows that it was run on; it has no gate, so all of it counts."""
    ran = [(outcome, outcome.baselines[name]) for outcome in outcomes if name in outcome.baselines]
    return {
        "detected": share([outcome.correction is not None for outcome, _ in ran]),
        "promoted": NOTHING,
        **_by_question([(outcome, played["answers"]) for outcome, played in ran]),
        "drift": mean([played["drift"] for _, played in ran if played["drift"] is not None]),
        "retention": NOTHING,
        "gate_precision": NOTHING,
        "gate_recall": NOTHING,
        "seconds_median": median([played["seconds"] for _, played in ran]),
    }


def stage_seconds(outcomes: Sequence[Outcome]) -> dict[str, Figure]:
    """The median of each stage."""
    stages: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.version is not None:
            for stage, value in outcome.seconds.items():
                stages[stage].append(value)
    return {stage: median(values) for stage, values in stages.items()}


def _by_question(answered: Sequence[tuple[Outcome, Sequence[str]]]) -> dict[str, Figure]:
    """The figures of the rows' own questions, from each row's answers in the order of its questions.

    near: of the locality questions, those that share a word with the row's; the others are unrelated.
    """

    def over(judged: Callable[[Asked, Row, str], bool], *kinds: str) -> Figure:
        return clustered(
            [
                [
                    judged(each, outcome.row, answer)
                    for each, answer in zip(outcome.asked, answers, strict=True)
                    if {each.question.kind, "near" if outcome.is_near(each) else "far", *_known(each)} >= {*kinds}
                ]
                for outcome, answers in answered
            ]
        )

    return {
        "efficacy": over(Asked.ok, "question"),
        "generalisation": over(Asked.ok, "paraphrase"),
        "hops": over(Asked.ok, "hop"),
        "locality": over(Asked.ok, "locality"),
        "leak": over(Asked.leaked, "locality"),
        "near_broken": over(lambda each, _, answer: each.broken(answer), "locality", "near", "known"),
        "near_leaked": over(Asked.leaked, "locality", "near"),
        "near_harmed": over(lambda each, row, answer: not each.ok(row, answer), "locality", "near"),
        "unrelated_changed": over(lambda each, row, answer: not each.ok(row, answer), "locality", "far"),
    }


def _known(asked: Asked) -> tuple[str, ...]:
    return ("known",) if asked.question.answer else ()
