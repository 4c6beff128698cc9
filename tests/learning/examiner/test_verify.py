"""What passes verification and what does not; and that a model is not found to differ from itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import holds
from lifelearn.learning.examiner.verify import drift_check, share_check, verify
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Message, Probe, ProbeAnswer, ProbeKind, Progress

LYON, OSLO, BOTH, NEITHER = "It is in Lyon.", "It is in Oslo.", "From Oslo it moved to Lyon.", "I don't know."


def probe(kind: ProbeKind, answer: str = "", forbidden: str = "") -> Probe:
    return Probe(kind=kind, question="Where is Norvik Labs?", answer=answer, forbidden=forbidden)


@pytest.mark.parametrize("kind", ["efficacy", "generalisation", "retention"])
@pytest.mark.parametrize("before", [LYON, OSLO, ""])
@pytest.mark.parametrize(
    ("after", "passes"), [(LYON, True), (BOTH, True), (OSLO, False), (NEITHER, False), ("", False)]
)
def test_what_was_corrected_holds_where_the_new_answer_states_it(
    kind: ProbeKind, before: str, after: str, passes: bool
) -> None:
    assert holds(probe(kind, "Lyon"), before, after) is passes


@pytest.mark.parametrize("kind", ["neighbour", "unrelated"])
@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [
        (NEITHER, NEITHER, True),
        (NEITHER, OSLO, True),
        (NEITHER, LYON, False),
        (LYON, LYON, True),
        (LYON, NEITHER, True),
        ("", "", True),
        ("", LYON, False),
    ],
    ids=str,
)
def test_a_neighbour_holds_unless_the_corrected_answer_leaks_into_it(
    kind: ProbeKind, before: str, after: str, passes: bool
) -> None:
    assert holds(probe(kind, forbidden="Lyon"), before, after) is passes


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [
        (OSLO, OSLO, True),
        (OSLO, BOTH, True),
        (OSLO, NEITHER, False),
        (OSLO, LYON, False),
        (NEITHER, NEITHER, True),
        (NEITHER, OSLO, True),
        (NEITHER, LYON, True),
        (OSLO, "", False),
    ],
    ids=str,
)
def test_what_the_parent_knew_must_stay_known(before: str, after: str, passes: bool) -> None:
    assert holds(probe("unrelated", answer="Oslo"), before, after) is passes


def test_leak_and_loss_are_both_looked_at() -> None:
    asked = probe("unrelated", answer="Oslo", forbidden="Lyon")
    assert holds(asked, OSLO, OSLO)
    assert not holds(asked, OSLO, BOTH)
    assert not holds(asked, OSLO, NEITHER)


def answered(kind: ProbeKind, passed: int, of: int) -> list[ProbeAnswer]:
    return [ProbeAnswer(probe=probe(kind, "Lyon"), before="", after="", passed=index < passed) for index in range(of)]


@pytest.mark.parametrize(
    ("passed", "of", "threshold", "passes"),
    [
        (0, 0, 1.0, True),
        (0, 1, 0.0, True),
        (0, 1, 0.1, False),
        (1, 1, 1.0, True),
        (2, 3, 2 / 3, True),
        (2, 3, 0.67, False),
        (4, 5, 0.8, True),
        (3, 4, 0.8, False),
        (1, 2, 0.5, True),
        (7, 10, 0.7, True),
        (29, 30, 1.0, False),
    ],
)
def test_a_share_passes_at_its_threshold_and_above(passed: int, of: int, threshold: float, passes: bool) -> None:
    answers = [*answered("generalisation", passed, of), *answered("retention", 0, 3)]
    check = share_check("generalisation", answers, Thresholds(generalisation=threshold))
    assert check.passed is passes
    assert (check.numerator, check.denominator, check.threshold) == (passed, of, threshold)
    assert check.value == (passed / of if of else 1.0)
    assert check.answers == tuple(answers[:of]), "only its own probes, with their answers"


def test_drift_is_zero_for_equal_and_the_mean_over_all_tokens_otherwise() -> None:
    even, skewed = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    parent = [even.repeat(3, 1), even.repeat(1, 1)]
    assert drift_check(parent, parent, 0.1).value == 0
    check = drift_check(parent, [even.repeat(3, 1), skewed.repeat(1, 1)], 0.1)
    one = 0.5 * (torch.tensor([0.5 / 0.9, 0.5 / 0.1]).log()).sum().item()
    assert check.value == pytest.approx(one / 4, rel=1e-4)
    assert check.numerator == pytest.approx(one, rel=1e-4)
    assert check.denominator == 4
    assert not check.passed
    assert drift_check(parent, parent, 0.0).passed


def test_a_version_that_gives_no_numbers_does_not_pass_as_unchanged() -> None:
    parent = [torch.tensor([[0.5, 0.5]]).log()]
    assert not drift_check(parent, [torch.full((1, 2), float("nan"))], 0.1).passed


PROBES = (
    probe("efficacy", "Lyon"),
    probe("generalisation", "Lyon"),
    probe("generalisation", "Lyon"),
    probe("neighbour", forbidden="Lyon"),
    probe("unrelated", answer="Rome", forbidden="Lyon"),
)


def trained(tiny: Any, folder: Path, by: float) -> Path:
    student = make_student(tiny.base, tiny.decoder, Recipe(), None)
    torch.manual_seed(1)
    for parameter in student.parameters:
        parameter.data += by * torch.randn_like(parameter)
    student.save(folder)
    student.close()
    return folder


class Wavering:
    """Answers otherwise beside other questions, as rounding has it; `weights` None is the parent."""

    name = "wavering"

    def __init__(self, together: str, alone: str) -> None:
        self.together, self.alone = together, alone
        self.weights: Path | None = None

    def use(self, weights: Path | None) -> None:
        self.weights = weights

    def answer(self, conversations: Any, sampling: Sampling) -> list[str]:
        if self.weights is None:
            return [OSLO] * len(conversations)
        return [self.together if len(conversations) > 1 else self.alone] * len(conversations)

    def text_logprobs(self, texts: Any) -> list[torch.Tensor]:
        return [torch.zeros(2, 3).log_softmax(-1) for _ in texts]


@pytest.mark.parametrize(
    ("together", "alone", "passes"), [(LYON, LYON, True), (LYON, NEITHER, False), (NEITHER, LYON, False)]
)
def test_what_was_corrected_must_hold_alone_as_beside_others(
    tmp_path: Path, together: str, alone: str, passes: bool
) -> None:
    model: Any = Wavering(together, alone)
    report = verify(model, PROBES[:2], parent_weights=None, weights=tmp_path, thresholds=Thresholds())
    efficacy, generalisation = report.checks[:2]
    assert efficacy.passed is passes
    assert efficacy.answers[0].after == (LYON if passes else NEITHER)
    assert generalisation.answers[0].after == together
    assert model.weights is None


def test_an_untrained_version_drifts_by_nothing_and_learned_nothing(tiny: Any, tmp_path: Path) -> None:
    weights = trained(tiny, tmp_path / "same", by=0)
    seen: list[Progress] = []
    report = verify(
        tiny, PROBES, parent_weights=None, weights=weights, thresholds=Thresholds(), on_progress=seen.append
    )
    figures = {check.name: (check.numerator, check.denominator, check.passed) for check in report.checks}
    tokens = figures.pop("drift")[1]
    assert figures == {
        "efficacy": (0, 1, False),
        "generalisation": (0, 2, False),
        "locality": (2, 2, True),
        "retention": (0, 0, True),
    }
    assert report.checks[-1].value == pytest.approx(0, abs=1e-4)
    assert report.checks[-1].value >= 0
    assert tokens > 100
    assert not report.passed
    assert [check.name for check in report.failed] == ["efficacy", "generalisation"]
    assert [answer.probe for check in report.checks for answer in check.answers] == list(PROBES)
    assert {progress.stage for progress in seen} == {"verify"}


def test_a_changed_version_drifts_and_the_parent_answers_afterwards(tiny: Any, tmp_path: Path) -> None:
    one, two = trained(tiny, tmp_path / "1", by=0.05), trained(tiny, tmp_path / "2", by=0.3)
    asked = [(Message(role="user", content="Hello"),)]
    tiny.use(one)
    with torch.no_grad():
        expected = tiny.network.logits([[5, 6, 7]], [3])
    answer = tiny.answer(asked, Sampling(max_tokens=8))
    report = verify(tiny, PROBES, parent_weights=one, weights=two, thresholds=Thresholds(drift=1e-6))
    assert report.checks[-1].value > 0
    assert "drift" in [check.name for check in report.failed]
    with torch.no_grad():
        assert torch.equal(tiny.network.logits([[5, 6, 7]], [3]), expected)
    assert tiny.answer(asked, Sampling(max_tokens=8)) == answer


def test_a_version_that_cannot_be_loaded_leaves_the_parent(tiny: Any, tmp_path: Path) -> None:
    one = trained(tiny, tmp_path / "1", by=0.05)
    tiny.use(one)
    with torch.no_grad():
        expected = tiny.network.logits([[5, 6, 7]], [3])
    with pytest.raises(Exception, match="nowhere"):
        verify(tiny, PROBES, parent_weights=one, weights=tmp_path / "nowhere", thresholds=Thresholds())
    with torch.no_grad():
        assert torch.equal(tiny.network.logits([[5, 6, 7]], [3]), expected)


def test_the_report_survives_json(tiny: Any, tmp_path: Path) -> None:
    weights = trained(tiny, tmp_path / "1", by=0.05)
    report = verify(tiny, PROBES, parent_weights=None, weights=weights, thresholds=Thresholds())
    assert type(report).model_validate_json(report.model_dump_json()) == report


def test_nothing_to_ask_is_verified_by_drift_alone(tiny: Any, tmp_path: Path) -> None:
    report = verify(tiny, (), parent_weights=None, weights=trained(tiny, tmp_path / "1", by=0), thresholds=Thresholds())
    assert report.passed
    assert [check.denominator for check in report.checks[:4]] == [0, 0, 0, 0]
