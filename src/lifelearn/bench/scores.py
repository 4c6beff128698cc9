"""The figures of the corrections bench, over what became of its rows. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from lifelearn.bench.figures import NOTHING, Figure, clustered, mean, median, share
from lifelearn.bench.outcomes import Asked, Outcome
from lifelearn.bench.rows import Row
from lifelearn.learning.recipe import Thresholds


def figures(outcomes: Sequence[Outcome], thresholds: Thresholds, *, at_the_end: bool = False) -> dict[str, Figure]:
    """The figures over all outcomes. at_the_end: `asked` holds the last version's answers, whoever was promoted."""

    answered = [
        (outcome, [each.after if at_the_end else outcome.served(each) for each in outcome.asked])
        for outcome in outcomes
    ]
    trained = [outcome for outcome in outcomes if outcome.version is not None]
    promoted = [outcome for outcome in trained if outcome.promoted]
    good = [outcome for outcome in trained if outcome.holds(thresholds)]
    return {
        "detected": share([outcome.correction is not None for outcome in outcomes]),
        "extracted": share([o.row.right(o.correction.answer) for o in outcomes if o.correction is not None]),
        "promoted": share([outcome.promoted for outcome in outcomes]),
        **_by_question(answered),
        "drift": mean([outcome.drift for outcome in promoted if outcome.drift is not None]),
        "retention": NOTHING,
        "gate_precision": share([outcome.holds(thresholds) for outcome in promoted]),
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
    """The figures of the rows' own questions, from each row's answers in the order of its questions."""

    def over(kind: str, judged: Callable[[Asked, Row, str], bool]) -> Figure:
        return clustered(
            [
                [
                    judged(each, outcome.row, answer)
                    for each, answer in zip(outcome.asked, answers, strict=True)
                    if each.question.kind == kind
                ]
                for outcome, answers in answered
            ]
        )

    return {
        "efficacy": over("question", Asked.ok),
        "generalisation": over("paraphrase", Asked.ok),
        "hops": over("hop", Asked.ok),
        "locality": over("locality", Asked.ok),
        "leak": over("locality", Asked.leaked),
    }
