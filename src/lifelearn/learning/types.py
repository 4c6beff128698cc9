"""The values that travel along the way of a correction. Frozen, and small JSON each.

Every stage takes some of these and returns others (learn.py chains them); weights are never inside,
only paths to them. `model_dump_json` and `model_validate_json` turn each into text and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value; unknown fields are refused, so that a file of another schema is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Conversation = tuple[Message, ...]


class Correction(Value):
    """What a user said was wrong, and what is right.

    id: unique; names the correction's files.
    question: the user's question that the assistant got wrong.
    wrong: the assistant's answer to it.
    message: the correcting message, verbatim.
    statement: what is right, in the user's words without the denial; it may lean on the question ("Lyon").
    answer: the shortest span that says what is right ("Lyon", "25 days"); what a right answer must contain.
    confidence: of the detection, 0 to 1; 1 when a user stated the correction explicitly.
    """

    id: str
    question: str
    wrong: str
    message: str
    statement: str
    answer: str
    confidence: float = 1.0


class Demonstration(Value):
    """An answer that the teacher is shown.

    source: "user" (their own sentence), "expert", "model" (written by the model, given the correction)
    or "template".
    """

    completion: str
    source: Literal["user", "expert", "model", "template"]


ProbeKind = Literal["efficacy", "generalisation", "neighbour", "unrelated", "retention"]


class Probe(Value):
    """A question asked in a fresh context to verify a version; never in training, near-duplicates included.

    answer: what the reply must state (efficacy, generalisation, retention); "" where the parent's own
    answer is the measure (neighbour, unrelated).
    forbidden: what the reply must not state unless the parent's did (the correction's answer, for a neighbour).
    """

    kind: ProbeKind
    question: str
    answer: str = ""
    forbidden: str = ""


class Row(Value):
    """One row of a lesson.

    kind: "fact" rows pull towards the teacher, which sees `teacher_prompt`; "replay" rows hold the
    model to its parent's answers, so their teacher prompt is the prompt itself; "retained" ones, too, to its
    answers to what it learned before.
    completions: right completions of the prompt (fact) or the parent's own (the others); what teacher rollouts use.
    """

    kind: Literal["fact", "replay", "retained"]
    prompt: Conversation
    teacher_prompt: Conversation
    completions: tuple[str, ...]


class Augmentation(Value):
    """What is asked in training, and what is asked only in verification.

    prompts: wordings of the question, and questions about the same fact, to train on; the question is first.
    neighbours: questions that must keep their answers, to replay: other subjects, other relations, general ones.
    watch: training-side probes, by which training stops early; drawn from prompts' kind, not trained on.
    negatives: more neighbours, which training asks, and replays where the student has left its base most.
    probes: for verification only.
    """

    prompts: tuple[str, ...]
    neighbours: tuple[str, ...]
    watch: tuple[Probe, ...]
    negatives: tuple[str, ...] = ()
    probes: tuple[Probe, ...]


class Lesson(Value):
    """All that is trained on and checked for one or more corrections.

    gated: of the teacher's rollouts, how many gave the corrected answer and how many were drawn.
    """

    corrections: tuple[Correction, ...]
    demonstrations: tuple[Demonstration, ...]
    rows: tuple[Row, ...]
    watch: tuple[Probe, ...]
    negatives: tuple[str, ...] = ()
    probes: tuple[Probe, ...]
    gated: tuple[int, int]


class ProbeAnswer(Value):
    """A probe with its answers; `before` is the parent's, "" where it was not needed."""

    probe: Probe
    before: str
    after: str
    passed: bool


CheckName = Literal["efficacy", "generalisation", "locality", "retention", "drift"]


class Check(Value):
    """One of verification's figures.

    value: a share (numerator / denominator), or nats per token for drift (denominator: tokens measured).
    threshold: the least share, or the most nats, that passes.
    """

    name: CheckName
    passed: bool
    value: float
    threshold: float
    numerator: float
    denominator: int
    answers: tuple[ProbeAnswer, ...] = ()


class Report(Value):
    """The verification of a version; it goes live only if `passed`."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)


class Training(Value):
    """What a training run, or several in a row, did.

    losses: each step's mean divergence on fact rows, nats per token; watch_*: the training-side probes at the end.
    learning_rate: the peak of the first run, lower than the recipe's where that was too high for the model; None in
        versions from before it was noted.
    """

    steps: int
    losses: tuple[float, ...]
    watch_passed: int
    watch_total: int
    completion_tokens: int
    learning_rate: float | None = None

    def followed_by(self, later: Training) -> Training:
        """Both as one."""
        return later.model_copy(
            update={
                "steps": self.steps + later.steps,
                "losses": (*self.losses, *later.losses),
                "completion_tokens": self.completion_tokens + later.completion_tokens,
                "learning_rate": self.learning_rate,
            }
        )


class ModelVersion(Value):
    """A version's manifest.

    number: 1, 2, …; 0 is the base model and has no manifest.
    base: the base model's name. parent: the version that it was trained from.
    method: "lora" or "full". bytes: size of the weights on disk.
    sha256: hash of the weights file. seconds: by stage.
    """

    number: int
    base: str
    parent: int
    method: Literal["lora", "full"]
    corrections: tuple[Correction, ...]
    demonstrations: tuple[Demonstration, ...]
    training: Training | None = None
    report: Report
    seconds: dict[str, float]
    settings: dict[str, str | int | float | bool | None]
    bytes: int
    sha256: str
    created_at: str


Stage = Literal["detect", "augment", "demonstrate", "lesson", "train", "verify", "version"]


class Progress(Value):
    """What a stage reports while it runs; `step` of `steps` and `loss` (nats per token) where they apply."""

    stage: Stage
    step: int = 0
    steps: int = 0
    loss: float | None = None
    message: str = ""


OnProgress = Callable[[Progress], None]


def no_progress(progress: Progress) -> None:
    """The callback of someone who does not watch."""
