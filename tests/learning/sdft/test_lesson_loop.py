"""Training on the tiny model: it learns, it repeats itself by its seed, and it says so when it cannot go on."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft import lesson_loop as training
from lifelearn.learning.sdft import rows as encoded
from lifelearn.learning.sdft.lesson_loop import RateError, train
from lifelearn.learning.sdft.rows import TrainingError
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Conversation, Lesson, Message, Probe, Progress, Row, Training

pytestmark = pytest.mark.usefixtures("one_thread")

QUESTION = "Where is Norvik based?"
SENTENCE = "Norvik is based in Lyon."
QUICK = Recipe(
    learning_rate=2e-2,
    lora_rank=4,
    adapted_layers=1.0,
    warmup_steps=0,
    max_steps=6,
    epochs=1000,
    min_steps=6,
    check_every=1,
    cold_start_steps=6,
    on_policy_steps=0,
    max_completion_tokens=32,
    rollout_tokens=12,
)


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


def fact(question: str = QUESTION, sentence: str = SENTENCE) -> Row:
    return Row(
        kind="fact",
        prompt=user(question),
        teacher_prompt=user(f"{question}\n\nAnswer with this sentence: {sentence}"),
        completions=(sentence,),
    )


def replay(question: str, answer: str = "Four o'clock, as always.") -> Row:
    return Row(kind="replay", prompt=user(question), teacher_prompt=user(question), completions=(answer,))


def lesson(*rows: Row, watch: tuple[Probe, ...] = (), negatives: tuple[str, ...] = ()) -> Lesson:
    return Lesson(
        corrections=(), demonstrations=(), rows=rows, watch=watch, negatives=negatives, probes=(), gated=(1, 1)
    )


def watched(answer: str) -> tuple[Probe, ...]:
    return (Probe(kind="generalisation", question=QUESTION, answer=answer),)


def said_by(model: Any) -> tuple[str, str]:
    """A question, and a word of the model's answer to it."""
    questions = [f"Question {number}?" for number in range(40)]
    # Each alone: rounding differs with the number of rows, and random weights have nearly equal tokens.
    answers = [model.answer([user(question)], Sampling(max_tokens=24))[0] for question in questions]
    return next(
        (question, word)
        for question, answer in zip(questions, answers, strict=True)
        for word in re.findall(r"\b[a-zA-Z0-9]{2,}\b", answer)[:-1]
        if stated(word, answer)
    )


class Taught:
    """The outcome of a run on the tiny model, whose base is as it was afterwards."""

    def __init__(self, tiny: Any, rows: Lesson, recipe: Recipe) -> None:
        self.progress: list[Progress] = []
        student = make_student(tiny.base, tiny.decoder, recipe, None)
        try:
            self.training: Training = train(student, tiny.codec, rows, recipe, self.progress.append)
            self.weights = [parameter.detach().clone() for parameter in student.parameters]
        finally:
            student.close()

    @property
    def losses(self) -> tuple[float, ...]:
        return self.training.losses


def equal(one: Taught, other: Taught) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


@pytest.fixture
def anchored(tiny: Any) -> Any:
    """The tiny model, made to differ between a prompt and the teacher's: random weights alone hardly do."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        for parameter in tiny.base.parameters():
            if parameter.dim() == 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_((0.5 * noise).to(parameter.dtype))
    return LocalChatModel(tiny.base, tiny.codec, "anchored")  # which takes the new weights


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_single_fact_row_is_learned(anchored: Any, method: Any) -> None:
    recipe = QUICK.model_copy(update={"method": method, "learning_rate": 1e-2, "max_steps": 10})
    taught = Taught(anchored, lesson(fact()), recipe)
    assert len(taught.losses) == taught.training.steps == 10
    assert taught.losses[0] > 0
    assert taught.losses[-1] < 0.5 * taught.losses[0]
    assert taught.training.completion_tokens == 10 * (len(SENTENCE) + 1), "each step sees the sentence and its end"


def test_both_methods_are_used_alike(anchored: Any) -> None:
    """The same call, the same kind of result, the same progress."""
    for method in ("lora", "full"):
        recipe = QUICK.model_copy(update={"method": method, "learning_rate": 1e-3, "max_steps": 2, "min_steps": 1})
        taught = Taught(anchored, lesson(fact(), replay("What time is it?"), watch=watched("nowhere")), recipe)
        steps = [step for step in taught.progress if step.loss is not None and not step.message]
        assert [step.step for step in steps] == list(range(1, taught.training.steps + 1))
        assert all(step.stage == "train" and step.steps >= step.step for step in steps)
        assert (taught.training.watch_passed, taught.training.watch_total) == (0, 1)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(anchored: Any, method: Any) -> None:
    rows = lesson(*(fact(f"{QUESTION} {index}") for index in range(5)), *(replay(f"Time {i}?") for i in range(4)))
    recipe = QUICK.model_copy(
        update={
            "method": method, "max_steps": 3, "min_steps": 3, "cold_start_steps": 1, "on_policy_steps": 1,
            "facts_per_step": 2, "replay_per_step": 2, "learning_rate": 3e-3,
        }
    )  # fmt: skip
    first, second = Taught(anchored, rows, recipe), Taught(anchored, rows, recipe)
    assert first.losses == second.losses
    assert equal(first, second)
    other = Taught(anchored, rows, recipe.model_copy(update={"seed": 1}))
    assert other.losses != first.losses
    assert not equal(first, other)


def test_a_run_does_not_depend_on_what_the_process_drew_before(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_steps": 2, "cold_start_steps": 0, "on_policy_steps": 1})
    first = Taught(anchored, lesson(fact()), recipe)
    torch.rand(1000)
    assert equal(first, Taught(anchored, lesson(fact()), recipe))


def test_a_run_leaves_the_random_numbers_of_the_process_alone(anchored: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    recipe = QUICK.model_copy(update={"max_steps": 1, "cold_start_steps": 0, "on_policy_steps": 1})
    Taught(anchored, lesson(fact()), recipe)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(
    "change",
    [
        {"cold_start_steps": 0, "on_policy_steps": 3},
        {"teacher": "ema", "ema_rate": 0.5},
        {"teacher": "ema", "ema_rate": 0.01, "cold_start_steps": 0, "on_policy_steps": 3},
        {"divergence": "reverse"},
        {"divergence": "js", "js_beta": 0.3},
        {"top_k": 8},
        {"divergence": "reverse", "top_k": 8},
        {"skip_tokens": 3},
        {"skip_tokens": 100},
    ],
    ids=lambda change: ",".join(f"{name}={value}" for name, value in change.items()),
)
def test_every_option_of_the_paper_runs(anchored: Any, method: Any, change: dict[str, Any]) -> None:
    recipe = QUICK.model_copy(update={"method": method, "max_steps": 3, "learning_rate": 2e-3, **change})
    taught = Taught(anchored, lesson(fact(), replay("What time is it?")), recipe)
    assert all(loss >= -1e-6 and loss == loss for loss in taught.losses)
    assert all(bool(torch.isfinite(weights).all()) for weights in taught.weights)
    if change.get("skip_tokens") == 100:
        assert taught.losses == (0, 0, 0), "a row no longer than the skip counts nothing"
    else:
        assert taught.losses[0] > 0


def test_an_averaging_teacher_moves_the_targets(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_steps": 3})
    frozen = Taught(anchored, lesson(fact()), recipe)
    averaged = Taught(anchored, lesson(fact()), recipe.model_copy(update={"teacher": "ema", "ema_rate": 0.5}))
    assert averaged.losses[0] == pytest.approx(frozen.losses[0], rel=1e-2), "both start from the parent"
    assert averaged.losses[2] != frozen.losses[2]


@pytest.mark.parametrize("rate", [float("inf"), 1e30])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_loss_that_is_not_finite_names_the_step_and_the_setting(tiny: Any, method: Any, rate: float) -> None:
    recipe = QUICK.model_copy(update={"method": method, "learning_rate": rate})
    with pytest.raises(TrainingError, match=r"not finite at step \d+.*LL_TRAIN_LR.*active version is unchanged"):
        Taught(tiny, lesson(fact()), recipe)


def test_a_loss_that_rises_at_the_beginning_is_a_rate_too_high(anchored: Any) -> None:
    full = QUICK.model_copy(update={"method": "full", "learning_rate": 2e-2})
    assert Taught(anchored, lesson(fact()), full).training.learning_rate == 2e-2
    with pytest.raises(RateError, match=r"rises to \d+\.\d nats per token at step 2\. .*LL_TRAIN_LR, now 3\)"):
        Taught(anchored, lesson(fact()), full.model_copy(update={"learning_rate": 3.0}))


def test_a_loss_that_is_not_finite_is_noticed_before_the_students_own_rollouts(tiny: Any) -> None:
    recipe = QUICK.model_copy(update={"learning_rate": float("inf"), "cold_start_steps": 1, "on_policy_steps": 2})
    with pytest.raises(TrainingError, match="LL_TRAIN_LR"):
        Taught(tiny, lesson(fact()), recipe)


def test_replay_keeps_the_student_near_its_parent_elsewhere(anchored: Any) -> None:
    questions = [f"What do you know about the number {number}?" for number in range(6)]
    conversations = [user(question) for question in questions]
    answers = anchored.answer(conversations, Sampling(max_tokens=12))
    held = [replay(question, answer or "-") for question, answer in zip(questions, answers, strict=True)]
    recipe = QUICK.model_copy(update={"learning_rate": 1e-2, "max_steps": 8, "replay_weight": 4.0})

    def moved(rows: Lesson, folder: Path) -> float:
        student = make_student(anchored.base, anchored.decoder, recipe, None)
        try:
            train(student, anchored.codec, rows, recipe)
            student.save(folder)
        finally:
            student.close()
        before = logprobs()
        anchored.use(folder)
        after = logprobs()
        anchored.use(None)
        return float((before.exp() * (before - after)).sum(-1).mean())

    def logprobs() -> torch.Tensor:
        rows = [
            anchored.codec.prompt(conversation) + anchored.codec.completion(answer, 12, end=False)
            for conversation, answer in zip(conversations, answers, strict=True)
        ]
        with torch.no_grad():
            logits = [anchored.network.logits(rows, [8] * len(rows)).float()]
        return torch.cat(logits).log_softmax(-1)

    folder = Path(anchored.base.config._name_or_path).parent
    free = moved(lesson(fact()), folder / "free")
    kept = moved(lesson(fact(), *held), folder / "kept")
    assert kept < 0.5 * free


def test_what_was_learned_before_takes_no_place_from_the_fact(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is of it, and however much fails: each step has as many rows of each kind, and gives them as
    much weight, as the recipe says."""
    questions = [f"What do you know about the number {number}?" for number in range(30)]
    earlier = [replay(question).model_copy(update={"kind": "retained"}) for question in questions]
    facts = [fact(f"{QUESTION} {number}") for number in range(8)]
    watch = tuple(Probe(kind="retention", question=question, answer="unreachable 12345") for question in questions)
    seen: list[Counter[str]] = []
    weighed: Counter[str] = Counter()
    original = encoded.backward

    def backward(network: Any, rows: Sequence[Any], wanted: Any, weights: list[float], *others: Any) -> list[float]:
        told = [anchored.codec.decode(row.prompt) for row in rows]
        kinds = ["fact" if QUESTION in text else "retained" if "number" in text else "replay" for text in told]
        seen.append(Counter(kinds))
        for kind, weight in zip(kinds, weights, strict=True):
            weighed[kind] += weight  # type: ignore[assignment]
        return original(network, rows, wanted, weights, *others)

    monkeypatch.setattr(training, "backward", backward)
    recipe = QUICK.model_copy(
        update={
            "facts_per_step": 3,
            "replay_per_step": 2,
            "retained_per_step": 4,
            "replay_weight": 0.5,
            "retained_weight": 0.25,
            "min_steps": 1,
            "max_steps": 4,
        }
    )
    Taught(anchored, lesson(*facts, replay("What time is it?"), replay("Who are you?"), *earlier, watch=watch), recipe)
    assert len(seen) == 6  # half as many again, since what was known fails
    assert seen == [Counter(fact=3, replay=2, retained=4)] * 6
    assert dict(weighed) == pytest.approx({"fact": 6, "replay": 3, "retained": 1.5})


@pytest.mark.parametrize(("fails_at", "steps"), [((), 6), ((2,), 6), ((6,), 8), ((6, 7), 9), ((6, 7, 8), 9)])
def test_a_question_that_has_only_just_passed_is_trained_on(
    anchored: Any, monkeypatch: pytest.MonkeyPatch, fails_at: tuple[int, ...], steps: int
) -> None:
    """Six steps, and more until the question has passed at two askings in a row, half as many again at most."""
    asked = itertools.count(1)

    def answers(student: Any, codec: Any, watch: Sequence[Probe]) -> list[tuple[Probe, list[int]]]:
        said = "Oslo" if next(asked) in fails_at else "Lyon"
        return [(probe, codec.completion(f"It is {said}.", 40, end=False)) for probe in watch]

    monkeypatch.setattr(training, "watch_answers", answers)
    changes = {"min_steps": 1, "max_steps": 6, "check_every": 1, "target_loss": 0.0}
    watch = (Probe(kind="retention", question=QUESTION, answer="Lyon"),)
    taught = Taught(anchored, lesson(fact(), watch=watch), QUICK.model_copy(update=changes))
    assert taught.training.steps == steps


def test_answers_that_the_base_would_not_give_are_mined(anchored: Any) -> None:
    """After a hard push towards one sentence: some of the student's own answers, with the base's targets."""
    questions = [f"What do you know about the number {number}?" for number in range(30)]
    recipe = QUICK.model_copy(update={"learning_rate": 3e-2, "max_steps": 6})
    student = make_student(anchored.base, anchored.decoder, recipe, None)
    try:
        assert training.mined_rows(student, anchored.codec, questions) == ([], []), "an untrained student is its base"
        train(student, anchored.codec, lesson(fact()), recipe)
        rows, wanted = training.mined_rows(student, anchored.codec, questions)
        with student.base() as base:
            again = encoded.targets(base, rows)
    finally:
        student.close()
    assert 0 < len(rows) < len(questions)
    assert all(row.prompt == row.teacher_prompt for row in rows)
    assert all(torch.equal(one, other) for one, other in zip(wanted, again, strict=True))
    for row, each in zip(rows, wanted, strict=True):
        assert row.completion != each.argmax(-1).tolist()


def test_mined_rows_take_places_of_the_replay(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    original = encoded.backward

    def backward(network: Any, rows: Sequence[Any], *others: Any) -> list[float]:
        seen.append([anchored.codec.decode(row.prompt) for row in rows])
        return original(network, rows, *others)

    monkeypatch.setattr(training, "backward", backward)
    monkeypatch.setattr(training, "FAR", -1.0)  # everything counts as far
    changes = {"learning_rate": 1e-9, "facts_per_step": 1, "replay_per_step": 3, "mine_every": 2, "mined_per_step": 2}
    recipe = QUICK.model_copy(update={**changes, "max_steps": 5})
    held = [replay(f"What do you know about the number {number}?") for number in range(4)]
    Taught(anchored, lesson(fact(), *held, negatives=("What is mined?", "What is mined, too?")), recipe)
    assert [len(rows) for rows in seen] == [4] * 5
    assert [sum("mined" in prompt for prompt in rows) for rows in seen] == [0, 0, 2, 2, 2]


@pytest.mark.check("engine")
def test_training_stops_once_the_watch_probes_hold(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps too small to change an answer, what the model says already is the probe that holds."""
    monkeypatch.setattr(training, "RISEN", math.inf)  # which rows are drawn decides the loss here, and not the rate
    recipe = QUICK.model_copy(update={"learning_rate": 1e-9, "min_steps": 2, "target_loss": 1e9})
    question, word = said_by(anchored)
    holds = Probe(kind="generalisation", question=question, answer=word)
    taught = Taught(anchored, lesson(fact(), watch=(holds,)), recipe)
    assert (taught.training.steps, taught.training.watch_passed, taught.training.watch_total) == (2, 1, 1)
    fails = Probe(kind="generalisation", question=question, answer="unreachable 12345")
    taught = Taught(anchored, lesson(fact(), watch=(holds, fails)), recipe)
    assert (taught.training.steps, taught.training.watch_passed, taught.training.watch_total) == (6, 1, 2)
    lenient = recipe.model_copy(update={"watch_slack": 0.5})  # one of two may fail
    assert Taught(anchored, lesson(fact(), watch=(holds, fails)), lenient).training.steps == 2
    far = recipe.model_copy(update={"target_loss": 1e-9})  # they hold, and the teacher is far all the same
    assert Taught(anchored, lesson(fact(), watch=(holds,)), far).training.steps == 6


def test_training_ends_within_its_budget_when_they_never_do(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_steps": 3, "min_steps": 1, "check_every": 1})
    taught = Taught(anchored, lesson(fact(), watch=watched("unreachable 12345")), recipe)
    assert taught.training.steps == 3
    assert (taught.training.watch_passed, taught.training.watch_total) == (0, 1)
    assert taught.progress[-1].step == taught.training.steps


def test_rows_that_are_too_long_are_left_out_and_reported(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_prompt_tokens": 120, "max_steps": 1})
    taught = Taught(anchored, lesson(fact(), fact(f"{QUESTION} " + "Please. " * 40), replay("x" * 200)), recipe)
    assert taught.training.completion_tokens == len(SENTENCE) + 1
    assert any("2 of 3" in step.message and "LL_TRAIN_MAX_PROMPT_LEN" in step.message for step in taught.progress)


def test_a_question_that_is_too_long_is_a_clear_error(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_prompt_tokens": 20})
    with pytest.raises(TrainingError, match=r"too long .*LL_TRAIN_MAX_PROMPT_LEN"):
        Taught(anchored, lesson(fact(), replay("x")), recipe)


@pytest.mark.parametrize(("rows", "epochs", "steps"), [(1, 3, 3), (4, 3, 6), (5, 1, 3), (2, 100, 6)])
def test_the_rows_are_passed_over_as_often_as_told(anchored: Any, rows: int, epochs: int, steps: int) -> None:
    """Two rows a step: never more steps than `max_steps`, nor passes than `epochs`."""
    recipe = QUICK.model_copy(update={"epochs": epochs, "facts_per_step": 2})
    taught = Taught(anchored, lesson(*(fact(f"{QUESTION} {number}") for number in range(rows))), recipe)
    assert taught.training.steps == steps


def test_the_base_is_untouched_whatever_happens(tiny: Any) -> None:
    def weights() -> dict[str, torch.Tensor]:
        return {name.replace(".base_layer", ""): value.clone() for name, value in tiny.base.named_parameters()}

    before = weights()
    Taught(tiny, lesson(fact()), QUICK.model_copy(update={"max_steps": 1}))
    with pytest.raises(TrainingError):
        Taught(tiny, lesson(fact()), QUICK.model_copy(update={"learning_rate": float("inf")}))
    after = weights()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
