"""The whole way on the tiny model: resumable at each stage, building on what was learned, and safe on a full disk."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning import rounds
from lifelearn.learning.author.english.question import find_subject
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute.cpu.adapter import ADAPTER_WEIGHTS
from lifelearn.learning.examiner import general
from lifelearn.learning.examiner import verify as verification
from lifelearn.learning.history import with_history
from lifelearn.learning.learn import LearnError, learn
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.rounds import next_round
from lifelearn.learning.sdft.lesson_loop import RateError, train
from lifelearn.learning.steps import FileSteps
from lifelearn.learning.types import (
    Check,
    CheckName,
    Correction,
    Message,
    ModelVersion,
    Progress,
    Report,
    Row,
    Stage,
)
from lifelearn.learning.version import VersionStore, sha256
from lifelearn.learning.words import normalise

ANYTHING = Thresholds(efficacy=0, generalisation=0, locality=0, retention=0, drift=1e9)
QUICK = Recipe(
    lora_rank=2,
    learning_rate=1e-3,
    max_steps=2,
    min_steps=1,
    cold_start_steps=1,
    on_policy_steps=1,
    facts_per_step=2,
    replay_per_step=2,
    training_prompts=6,
    max_completion_tokens=16,
    rollout_tokens=6,
    thresholds=ANYTHING,
)
STEPS = ("augment-c1", "demonstrate-c1", "lesson-c1", "lesson", "train", "verify", "version")


def correction(number: int = 1, question: str = "Where is Norvik based?", answer: str = "Lyon") -> Correction:
    return Correction(
        id=f"c{number}",
        question=question,
        wrong="In Oslo.",
        message=f"No, {answer}.",
        statement=answer,
        answer=answer,
    )


@pytest.fixture(autouse=True)
def _short_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less text and shorter answers: what verification finds is tested elsewhere."""
    monkeypatch.setattr(verification, "TEXT", general.TEXT[:3])
    monkeypatch.setattr(verification, "ANSWER_TOKENS", 6)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "data")


@pytest.fixture
def talkative(tiny: Any) -> Any:
    """The tiny model with larger random weights, which answers with more than nothing."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tiny.base.parameters():
            if parameter.dim() == 2:
                parameter.add_((0.15 * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype))
    return LocalChatModel(tiny.base, tiny.codec, tiny.name)  # which takes the new weights


@pytest.fixture(scope="module")
def learned_once(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the correction learned and live as version 1."""
    from lifelearn.chat_models.local import LocalChatModel

    store = VersionStore(tmp_path_factory.mktemp("learned"))
    run(LocalChatModel.load(str(tiny_model_folder), store.root), store)
    store.activate(1)
    return store.root


@pytest.fixture
def grown(learned_once: Path, tmp_path: Path) -> VersionStore:
    """A copy of it."""
    return VersionStore(Path(shutil.copytree(learned_once, tmp_path / "grown")))


class Watched(FileSteps):
    """Keeps results in files, as `learn` does by itself; knows which steps ran, and breaks off at one of them.

    breaks: the step that is interrupted, before it has begun, or after it was done and before that is noted.
    """

    def __init__(self, store: VersionStore, breaks: str = "", of: str = "c1", *, after: bool = False) -> None:
        super().__init__(store.root / "work" / of)
        self.breaks, self.after = breaks, after
        self.ran: list[str] = []

    def __call__(self, name: str, kind: Any, stage: Callable[[], Any]) -> Any:
        def watched() -> Any:
            self.ran.append(name)
            if name == self.breaks and not self.after:
                raise KeyboardInterrupt
            result = stage()
            if name == self.breaks:
                raise KeyboardInterrupt
            return result

        return super().__call__(name, kind, watched)


def run(
    model: Any, store: VersionStore, *corrections: Correction, recipe: Recipe = QUICK, **named: Any
) -> ModelVersion:
    given = corrections or (correction(),)
    return learn(model, given, store=store, recipe=recipe, work=store.root / "work" / given[0].id, **named)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.network.logits([[5, 9, 60, 70, 80]], [5])
    return found


def usable(model: Any, store: VersionStore, active: int = 0) -> bool:
    """The active version is the one it was, and can be loaded."""
    model.use(store.weights(store.active()))
    return store.active() == active


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_correction_becomes_a_version_with_all_that_belongs_to_it(
    tiny: Any, store: VersionStore, method: Any
) -> None:
    base = logits(tiny)
    seen: list[Progress] = []
    version = run(tiny, store, recipe=QUICK.model_copy(update={"method": method}), on_progress=seen.append)
    assert (version.number, version.parent, version.base, version.method) == (1, 0, tiny.name, method)
    assert version.corrections == (correction(),)
    assert version.demonstrations
    assert [check.name for check in version.report.checks] == [
        "efficacy",
        "generalisation",
        "locality",
        "retention",
        "drift",
    ]
    stages: list[Stage] = ["augment", "demonstrate", "lesson", "train", "verify"]
    assert list(version.seconds) == stages
    assert list(dict.fromkeys(progress.stage for progress in seen)) == [*stages, "version"]
    # Half as many steps again as planned: this model does not learn its correction.
    assert [p.step for p in seen if p.stage == "train" and p.loss is not None and not p.message] == [1, 2, 3]
    assert store.get(1) == version
    assert store.lesson(1).corrections == version.corrections
    assert torch.equal(logits(tiny), base), "the model is left on the active version"
    assert not (store.root / "work" / "c1").exists()
    tiny.use(store.weights(1))
    assert not torch.equal(logits(tiny), base)


def test_a_version_that_fails_verification_is_a_candidate_with_its_report(tiny: Any, store: VersionStore) -> None:
    version = run(tiny, store, recipe=QUICK.model_copy(update={"thresholds": Thresholds()}))
    assert not version.report.passed
    assert "efficacy" in [check.name for check in version.report.failed]
    efficacy = version.report.checks[0]
    assert (efficacy.numerator, efficacy.denominator) == (0, 1)
    assert efficacy.answers[0].probe.question == correction().question
    assert [known.number for known in store.versions()] == [1]
    assert store.active() == 0
    assert not (store.root / "work" / "c1").exists()


def failing(*names: CheckName) -> Report:
    every: tuple[CheckName, ...] = ("efficacy", "generalisation", "locality", "retention", "drift")
    values = {"threshold": 1.0, "numerator": 0.0, "denominator": 1}
    right = ((name, name not in names) for name in every)
    return Report(checks=tuple(Check(name=name, passed=holds, value=float(holds), **values) for name, holds in right))


class Trained:
    """What training began with and came to, one entry for each time: the student's weights."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[list[torch.Tensor]] = []
        self.made: list[list[torch.Tensor]] = []
        monkeypatch.setattr(rounds, "train", self._train)

    def _train(self, student: Any, *arguments: Any) -> Any:
        self.begun.append([parameter.detach().clone() for parameter in student.parameters])
        training = train(student, *arguments)
        self.made.append([parameter.detach().clone() for parameter in student.parameters])
        return training


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    return Trained(monkeypatch)


def near(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """The same weights, but for the precision in which they are kept."""
    return all(torch.allclose(a, b, rtol=1e-2, atol=1e-5) for a, b in zip(one, other, strict=True))


@pytest.mark.check("engine")
def test_a_version_that_fails_is_trained_once_more_from_where_it_is(
    tiny: Any, store: VersionStore, trained: Trained
) -> None:
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    version = run(tiny, store, recipe=strict)
    assert not version.report.passed
    assert near(trained.begun[1], trained.made[0])
    assert not near(trained.begun[1], trained.begun[0])
    assert version.training is not None
    assert version.training.steps == len(version.training.losses) == 6  # two, and half as many again, in each round
    once = run(tiny, VersionStore(store.root / "once"), recipe=strict.model_copy(update={"rounds": 1}))
    assert once.training is not None
    assert once.training.losses == version.training.losses[:3]
    assert len(trained.begun) == 3


@pytest.mark.check("engine")
def test_a_second_round_that_was_interrupted_continues_there(tiny: Any, store: VersionStore) -> None:
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    whole = run(tiny, VersionStore(store.root / "whole"), recipe=strict)
    seen = 0

    def interrupted(progress: Progress) -> None:
        nonlocal seen
        seen += progress.stage == "verify" and progress.step == 1
        if seen == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, recipe=strict, on_progress=interrupted)
    steps = Watched(store)
    assert run(tiny, store, recipe=strict, step=steps).sha256 == whole.sha256
    assert steps.ran == ["verify-2", "version"]


def unseen(right: int, neighbours: int = 4, drift: float = 0.01, *, kept: int = 4) -> Report:
    """A report of four unseen wordings, four neighbours and four earlier corrections; two of each are enough."""
    counts: dict[CheckName, int] = {"generalisation": right, "locality": neighbours, "retention": kept}
    checks = [
        Check(name=name, passed=n >= 2, value=n / 4, threshold=0.5, numerator=n, denominator=4)
        for name, n in counts.items()
    ]
    told = Check(name="drift", passed=True, value=drift, threshold=0.1, numerator=drift, denominator=1)
    return Report(checks=(*checks, told))


@pytest.mark.parametrize(
    ("report", "more"),
    [
        (failing("efficacy"), -1),
        (failing("efficacy", "generalisation"), -1),
        (failing("locality"), 1),
        (failing("retention", "drift"), 1),
        (failing("generalisation", "locality"), 0),
    ],
)
def test_what_failed_weighs_more_in_the_next_round(report: Report, more: int) -> None:
    """more: whether what holds the model to its parent weighs more, less or the same."""
    recipe = Recipe()
    following = next_round(recipe, report, 1)
    for before, now in (
        (recipe.replay_weight, following.replay_weight),
        (recipe.retained_weight, following.retained_weight),
    ):
        assert (now > before) - (now < before) == more
    assert following.learning_rate < recipe.learning_rate
    assert following.max_steps < recipe.max_steps
    assert following.seed != recipe.seed
    assert following.thresholds == recipe.thresholds


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (unseen(2), None, 0),
        (unseen(1), unseen(4), 1),
        (unseen(1), unseen(0), 0),
        (unseen(1), unseen(1, drift=0.02), 0),
        (unseen(1), unseen(1, drift=0.005), 1),
        (unseen(1), unseen(2, neighbours=1), 0),
        (unseen(1, kept=4), unseen(2, kept=1), 0),
        (unseen(4, kept=1), unseen(2, kept=2), 1),
    ],
    ids=["passes", "better", "worse", "drifts more", "drifts less", "another broke", "forgets", "forgets less"],
)
def test_the_better_of_two_rounds_is_taken(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch, first: Report, second: Report | None, taken: int
) -> None:
    """One that fails is trained once more; that may be worse."""
    reports = [report for report in (first, second) if report is not None]
    verified: list[str] = []

    def told(*arguments: Any, weights: Path, **named: Any) -> Report:
        verified.append(sha256(weights / ADAPTER_WEIGHTS))
        return reports[len(verified) - 1]

    monkeypatch.setattr(verification, "verify", told)
    version = run(tiny, store)
    assert len(verified) == len(reports)
    assert version.report == reports[taken]
    assert version.sha256 == verified[taken]
    assert len(set(verified)) == len(verified)


def test_a_third_round_goes_on_from_the_best(
    tiny: Any, store: VersionStore, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = iter((unseen(1), unseen(0), unseen(4)))
    monkeypatch.setattr(verification, "verify", lambda *arguments, **named: next(reports))
    version = run(tiny, store, recipe=QUICK.model_copy(update={"rounds": 3}))
    _, second, third = trained.begun
    assert near(third, second), "the second was worse than the first"
    assert near(third, trained.made[0])
    assert not near(third, trained.made[1])
    assert version.report == unseen(4)


@pytest.mark.check("engine")
def test_a_rate_too_high_is_lowered(tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training begins again, as if that had been the rate; a second round is slower still."""
    rates: list[float] = []

    def limited(student: Any, codec: Any, lesson: Any, recipe: Recipe, on_progress: Any) -> Any:
        rates.append(recipe.learning_rate)
        if recipe.learning_rate > 5e-3:
            next(iter(student.parameters)).data.fill_(float("nan"))
            raise RateError("rises to 9.9 nats per token", 3, recipe.learning_rate)
        return train(student, codec, lesson, recipe, on_progress)

    monkeypatch.setattr(rounds, "train", limited)
    told: list[Progress] = []
    recipe = QUICK.model_copy(update={"learning_rate": 2.7e-2, "rounds": 2, "thresholds": Thresholds(efficacy=1)})
    version = run(tiny, store, recipe=recipe, on_progress=told.append)
    *refused, taken, second = rates
    assert refused[0] == 2.7e-2
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert taken <= 5e-3 < min(refused)
    assert version.training is not None
    assert version.training.learning_rate == taken
    assert [each.message for each in told if "begins again" in each.message] == [
        f"the loss rises to 9.9 nats per token at step 3; training begins again at a learning rate of {rate:.2g}"
        for rate in rates[1:-1]
    ]
    low = run(tiny, VersionStore(store.root / "low"), recipe=recipe.model_copy(update={"learning_rate": taken}))
    assert rates[-2:] == [taken, second]
    assert low.training is not None
    assert low.training.losses == version.training.losses


def test_a_rate_that_is_too_high_at_any_rate_is_an_error(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def never(student: Any, codec: Any, lesson: Any, recipe: Recipe, on_progress: Any) -> Any:
        rates.append(recipe.learning_rate)
        raise RateError("is not finite", 1, recipe.learning_rate)

    monkeypatch.setattr(rounds, "train", never)
    with pytest.raises(LearnError, match=r"not finite at step 1\. Lower the learning rate \(LL_TRAIN_LR, now ") as told:
        run(tiny, store, recipe=QUICK.model_copy(update={"learning_rate": 2.7e-2}))
    assert len(rates) > 1
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert f"now {rates[-1]:g})" in str(told.value)
    assert not store.versions()


@pytest.mark.check("engine")
def test_the_same_seed_gives_the_same_version(tiny: Any, tmp_path: Path) -> None:
    hashes = [run(tiny, VersionStore(tmp_path / name)).sha256 for name in ("one", "two")]
    assert hashes[0] == hashes[1]
    other = run(tiny, VersionStore(tmp_path / "three"), recipe=QUICK.model_copy(update={"seed": 1}))
    assert other.sha256 != hashes[0]


@pytest.mark.parametrize("broken", STEPS)
def test_an_interrupted_job_continues_at_the_first_step_that_is_missing(
    tiny: Any, store: VersionStore, broken: str
) -> None:
    base = logits(tiny)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, broken))
    assert torch.equal(logits(tiny), base), "the model answers as before at once"
    assert store.versions() == []
    steps = Watched(store)
    assert run(tiny, store, step=steps).number == 1
    assert steps.ran == list(STEPS[STEPS.index(broken) :])


def test_a_job_interrupted_between_the_versions_folder_and_its_note_does_not_add_it_twice(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = VersionStore.add

    def killed(self: VersionStore, *arguments: Any, **named: Any) -> ModelVersion:
        add(self, *arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VersionStore, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, store)
    assert run(tiny, store).number == 1
    assert [version.number for version in store.versions()] == [1]


def test_a_rejected_version_whose_caller_died_before_noting_it_is_not_lost(tiny: Any, store: VersionStore) -> None:
    """As in the workspace, where the notes are the worker's and outlive the folder of the stages."""
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    noted: dict[str, Any] = {}

    def step(name: str, kind: Any, stage: Callable[[], Any]) -> Any:
        if name not in noted:
            result = stage()
            if name == "version":
                return result  # the caller dies here
            noted[name] = result
        return noted[name]

    first = run(tiny, store, recipe=strict, step=step)
    assert not first.report.passed
    assert run(tiny, store, recipe=strict, step=step) == first
    assert len(store.versions()) == 1


def test_a_job_interrupted_after_everything_gives_the_same_version(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        first = run(tiny, store)
    steps = Watched(store)
    assert run(tiny, store, step=steps) == first
    assert steps.ran == []
    assert len(store.versions()) == 1


def test_weights_cut_off_while_they_were_written_are_trained_again(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, "train", after=True))
    for file in (store.root / "work" / "c1" / "weights").iterdir():
        file.write_bytes(file.read_bytes()[:10])
    assert run(tiny, store).number == 1
    assert usable(tiny, store)
    tiny.use(store.weights(1))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prompts": []}'])
def test_a_steps_result_that_cannot_be_read_is_made_again(tiny: Any, store: VersionStore, text: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, "lesson-c1"))
    (store.root / "work" / "c1" / "augment-c1.json").write_text(text)
    steps = Watched(store)
    run(tiny, store, step=steps)
    assert steps.ran == ["augment-c1", *STEPS[2:]]


def test_a_work_folder_of_another_parent_or_other_settings_is_not_reused(tiny: Any, grown: VersionStore) -> None:
    first, *_ = names = [name.replace("c1", "c2") for name in STEPS]
    for parent in (0, 1):
        grown.activate(parent)
        steps = Watched(grown, "lesson-c2", of="c2")
        with pytest.raises(KeyboardInterrupt):
            run(tiny, grown, correction(2), step=steps)
        assert steps.ran[0] == first, "begun from the start"
    steps = Watched(grown, of="c2")
    version = run(tiny, grown, correction(2), recipe=QUICK.model_copy(update={"seed": 5}), step=steps)
    assert steps.ran == names
    assert version.parent == 1


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_second_correction_builds_on_the_first_and_keeps_it(talkative: Any, store: VersionStore, method: Any) -> None:
    recipe = QUICK.model_copy(update={"method": method})
    run(talkative, store, recipe=recipe)
    store.activate(1)
    talkative.use(store.weights(1))
    before = logits(talkative)
    second = correction(2, "Who runs the badge printer?", "the Kestrel team")
    version = run(talkative, store, second, recipe=recipe)
    assert (version.number, version.parent, version.corrections) == (2, 1, (second,))
    assert torch.equal(logits(talkative), before)
    lesson = store.lesson(2)
    retained = [probe for probe in lesson.probes if probe.kind == "retention"]
    assert [(probe.question, probe.answer) for probe in retained] == [("Where is Norvik based?", "Lyon")]
    # A model of this size has not kept the first one: it is taught again.
    again = {row.prompt[-1].content for row in lesson.rows if row.kind == "fact"}
    of_the_first = {row.prompt[-1].content for row in store.lesson(1).rows if row.kind == "fact"}
    assert "Where is Norvik based?" in again & of_the_first
    assert len(again & of_the_first) >= 2
    assert version.report.checks[3].denominator == 1
    assert [known.number for known in store.lineage(2)] == [1, 2]


def test_what_the_parent_still_knows_is_replayed_wholly(grown: VersionStore) -> None:
    knows = ScriptedChatModel(lambda conversation: "Norvik, as everybody in the trade has known for years, is in Lyon.")
    fresh = grown.lesson(1).model_copy(
        update={"corrections": (correction(2, "Who runs the badge printer?", "the Kestrel team"),), "watch": ()}
    )
    lesson = with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, knows, QUICK)
    added = lesson.rows[len(fresh.rows) :]
    assert {row.kind for row in added} == {"retained"}
    asked = [row.prompt[-1].content for row in added]
    assert asked.count("Where is Norvik based?") == 2
    assert len(set(asked)) == 3, "the question and two other wordings"
    assert all(row.completions[0].endswith("is in Lyon.") for row in added)
    watched = [(probe.kind, probe.question, probe.answer) for probe in lesson.watch]
    assert watched == [("retention", "Where is Norvik based?", "Lyon")]


def test_a_neighbour_that_has_its_answer_from_an_earlier_correction_keeps_it(grown: VersionStore) -> None:
    """The base, to which replay holds the others, would take it back."""

    def row(question: str, answer: str) -> Row:
        asked = (Message(role="user", content=question),)
        return Row(kind="replay", prompt=asked, teacher_prompt=asked, completions=(answer, "a leak"))

    fresh = grown.lesson(1).model_copy(
        update={
            "corrections": (correction(2, "Who founded Norvik?", "Ida Berg"),),
            "rows": (
                *grown.lesson(1).rows[:1],
                row("Which city is Norvik in?", "Norvik is in Lyon."),
                row("Where is Acme?", "Acme is in Oslo."),
            ),
        }
    )
    lesson = with_history(
        fresh,
        find_subject(fresh.corrections[0].question),
        grown,
        1,
        ScriptedChatModel(lambda conversation: "It is in Lyon."),
        QUICK,
    )
    kinds = {each.prompt[-1].content: each.kind for each in lesson.rows}
    assert (kinds["Which city is Norvik in?"], kinds["Where is Acme?"]) == ("retained", "replay")


def test_a_negative_that_has_its_answer_from_an_earlier_correction_is_left_out(grown: VersionStore) -> None:
    """Mined rows are held to the base, which does not know it."""
    fresh = grown.lesson(1).model_copy(
        update={
            "corrections": (correction(2, "Who founded Norvik?", "Ida Berg"),),
            "negatives": ("Which city is Norvik in?", "Where is Acme?"),
        }
    )
    told = ScriptedChatModel(
        lambda conversation: "It is in " + ("Lyon" if "Norvik" in conversation[-1].content else "Oslo")
    )
    assert with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, told, QUICK).negatives == (
        "Where is Acme?",
    )


def test_what_the_parent_says_too_late_to_be_heard_is_not_watched(grown: VersionStore) -> None:
    """Training listens to some words of an answer; beyond them it would take what is known for lost, each time."""
    knows = ScriptedChatModel(lambda conversation: f"Norvik, {'as many have said before, ' * 4}is in Lyon.")
    fresh = grown.lesson(1).model_copy(
        update={"corrections": (correction(2, "Who runs the badge printer?", "the Kestrel team"),), "watch": ()}
    )
    assert with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, knows, QUICK).watch == ()


def test_a_correction_of_a_correction_does_not_retain_what_it_replaces(tiny: Any, grown: VersionStore) -> None:
    again = run(tiny, grown, correction(2, "where is NORVIK based", "Turin"))
    assert again.report.checks[3].denominator == 0
    replayed = {normalise(row.prompt[-1].content) for row in grown.lesson(2).rows if row.kind != "fact"}
    assert "where is norvik based" not in replayed


def test_several_corrections_are_learned_at_once(tiny: Any, store: VersionStore) -> None:
    both = (correction(1), correction(2, "Who runs the badge printer?", "the Kestrel team"))
    version = run(tiny, store, *both)
    assert version.corrections == both
    assert (version.number, version.report.checks[0].denominator) == (1, 2)
    assert len(store.versions()) == 1


def test_nothing_to_learn_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(LearnError, match="nothing to learn"):
        learn(tiny, [], store=store, recipe=QUICK, work=store.root / "work" / "none")
    assert not store.root.exists()


def test_with_an_expert_it_writes_and_the_local_model_is_trained(tiny: Any, store: VersionStore) -> None:
    expert = ScriptedChatModel(lambda conversation: "Which town is Norvik based in?\nNorvik is based in Lyon.")
    version = run(tiny, store, expert=expert)
    assert any(demonstration.source == "expert" for demonstration in version.demonstrations)
    assert expert.calls


def test_an_expert_that_refuses_is_a_clear_error_or_done_without(tiny: Any, store: VersionStore) -> None:
    def refuse(conversation: object) -> str:
        raise ChatModelError("gpt at http://localhost refused the key (401). Check OPENAI_API_KEY.")

    seen: list[Progress] = []
    text = ""
    try:
        run(tiny, store, expert=ScriptedChatModel(refuse), on_progress=seen.append)
    except (ChatModelError, LearnError) as error:
        text = str(error)
    assert "401" in text or any("401" in progress.message for progress in seen)
    assert usable(tiny, store)


def test_a_run_that_diverges_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(LearnError, match=r"LL_TRAIN_LR.*active version is unchanged"):
        run(tiny, store, recipe=QUICK.model_copy(update={"learning_rate": float("inf"), "cold_start_steps": 2}))
    assert usable(tiny, store)
    assert store.versions() == []
    assert run(tiny, store).number == 1


def test_a_question_that_does_not_fit_the_model_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    long = correction(1, "Where is " + "very " * 120 + "old Norvik based?")
    with pytest.raises((ChatModelError, LearnError), match=r"(?i)tokens|long|shorten"):
        run(tiny, store, long)
    assert usable(tiny, store)


# A full disk. Every file of a run is written by replace_file, by safetensors, by copying or by write_text.


@contextmanager
def small_files_only(size: int) -> Iterator[None]:
    """Whatever writes more than `size` bytes into one file fails, in any library: the next thing to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_weights_that_cannot_be_written_are_a_clear_error(tiny: Any, grown: VersionStore) -> None:
    tiny.use(grown.weights(1))
    before = logits(tiny)
    limited = ExitStack()

    def limit(progress: Progress) -> None:
        if progress.stage == "train" and progress.step == 1:
            limited.enter_context(small_files_only(4096))

    with limited, pytest.raises(LearnError, match=r"active version is unchanged"):
        run(tiny, grown, correction(2), on_progress=limit)
    assert torch.equal(logits(tiny), before)
    assert usable(tiny, grown, active=1)
    assert run(tiny, grown, correction(2)).number == 2


@pytest.mark.check("engine")
@pytest.mark.parametrize("file", ["job.json", "lesson.json", "train.json", "manifest.json", "0002", "version.json"])
def test_a_full_disk_at_any_file_is_a_clear_error_and_loses_nothing(
    tiny: Any, grown: VersionStore, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    tiny.use(grown.weights(1))
    before = logits(tiny)
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(LearnError, match="No space left on device"):
            run(tiny, grown, correction(2))
    assert torch.equal(logits(tiny), before)
    assert usable(tiny, grown, active=1)
    version = run(tiny, grown, correction(2))
    assert (version.number, version.parent) == (2, 1)
    assert [known.number for known in grown.versions()] == [1, 2]


def test_a_full_disk_while_a_version_is_copied_is_a_clear_error(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).mkdir()
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(LearnError, match="No space left on device"):
            run(tiny, store)
    assert store.versions() == []
    assert run(tiny, store).number == 1
