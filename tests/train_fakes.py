"""Lessons of a few rows for the tiny model, and a training on one."""

from __future__ import annotations

from typing import Any

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.lesson_loop import train
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Conversation, Lesson, Message, Probe, Progress, Row, Training

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
