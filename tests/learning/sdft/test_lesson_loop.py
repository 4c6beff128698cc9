"""Training on the tiny model: it learns, it repeats itself by its seed, and it says so when it cannot go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.sdft.lesson_loop import RateError, train
from lifelearn.learning.sdft.rows import TrainingError
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Lesson
from train_fakes import QUESTION, QUICK, SENTENCE, Taught, fact, lesson, replay, user, watched

pytestmark = pytest.mark.usefixtures("one_thread")


def equal(one: Taught, other: Taught) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


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


def test_rows_that_are_too_long_are_left_out_and_reported(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_prompt_tokens": 120, "max_steps": 1})
    taught = Taught(anchored, lesson(fact(), fact(f"{QUESTION} " + "Please. " * 40), replay("x" * 200)), recipe)
    assert taught.training.completion_tokens == len(SENTENCE) + 1
    assert any("2 of 3" in step.message and "LL_TRAIN_MAX_PROMPT_LEN" in step.message for step in taught.progress)


def test_a_question_that_is_too_long_is_a_clear_error(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_prompt_tokens": 20})
    with pytest.raises(TrainingError, match=r"too long .*LL_TRAIN_MAX_PROMPT_LEN"):
        Taught(anchored, lesson(fact(), replay("x")), recipe)


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
