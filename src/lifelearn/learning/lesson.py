"""The lesson: rows to train on, after the gate. And the lesson as a Hugging Face `Dataset`.

The gate lets a row in only with a completion that states the corrected answer: the teacher's own where it
passes, the demonstration where it does not, so that no prompt is left without a right answer. Of several
teacher contexts, the first is taken where it serves, else the one whose rollouts pass most often: small models
use contexts very differently.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Sequence
from typing import Literal

from datasets import Dataset

from lifelearn.learning.author.english.declarative import restated
from lifelearn.learning.author.english.question import Question, Subject, find_subject
from lifelearn.learning.chat_model import ChatModel, Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.config import PAPER_CONTEXT
from lifelearn.learning.types import (
    Augmentation,
    Conversation,
    Correction,
    Demonstration,
    Lesson,
    Message,
    OnProgress,
    Progress,
    Row,
    no_progress,
)
from lifelearn.learning.words import normalise, stems

# {said} is the answer in the prompt's own words, where it can be given in them, else the demonstration.
# What the teacher sees instead of the prompt: turns of user and assistant, the user first. The first context shows the
# question and the prompt answered before it is asked again: a small model repeats what it has just said far more
# surely than it follows an instruction (docs/LOG.md: 17 of 20 prompts answered with the very sentence, against 6 for
# an instruction). The last is the paper's.
CONTEXTS: tuple[tuple[str, ...], ...] = (
    ("{question}", "{demonstration}", "{prompt}", "{said}", "{prompt}"),
    ("{prompt}\n\nAnswer with this sentence: {demonstration}",),
    ("Fact: {demonstration}\n\nQuestion: {prompt}\n\nAnswer the question in one short sentence, using the fact.",),
    (PAPER_CONTEXT,),
)
_FIELD = re.compile(r"\{(?:question|prompt|demonstration|said)\}")
REPLAY_TOKENS = 20  # a leak often comes after a first clause; short rows are cheap
GATE_SAMPLE = 5
GOOD_CONTEXT = 0.7  # the share of prompts that the first context must answer; below, the others are tried
QUESTION_REPEATS = 2
OWN_WORDS = 0.5  # of the prompts
SAME_WORDS = 0.6  # of the demonstration's stems
_APOLOGY = ("i m sorry", "i am sorry", "i apologize", "i apologise", "as an ai", "as a")
OPENING_WORDS = (3, 4, 5, 6)
OPENING_TOKENS = 12
_GLUED = re.compile(r"[.,;:!?'’)]")
_TALK = (
    "the answer",
    "answer",
    "to answer",
    "to determine",
    "the response",
    "the sentence",
    "this is",
    "this sentence",
)


class LessonError(Exception):
    """No lesson can be made; the text says why and what the user can do."""


def make_lesson(
    correction: Correction,
    question: Question,
    augmentation: Augmentation,
    demonstrations: Sequence[Demonstration],
    model: ChatModel,
    recipe: Recipe,
    on_progress: OnProgress = no_progress,
) -> Lesson:
    """Builds the rows of one correction; `model` is the parent version, which is the teacher.

    question: the correction's, taken apart.
    Raises LessonError if not even a demonstration states the answer.
    """
    right = [demonstration for demonstration in demonstrations if stated(correction.answer, demonstration.completion)]
    if not right:
        raise LessonError(
            f"No sentence could be found that states “{correction.answer}”. Say the correction as one full sentence."
        )
    demonstration = right[0].completion
    on_progress(Progress(stage="lesson", message=f"the teacher answers {len(augmentation.prompts)} prompts"))
    teacher_prompts, drawn = shown(CONTEXTS[0], correction, question, augmentation, demonstration, model, recipe)
    share = sum(passes_gate(text, correction, demonstration) for text in drawn) / len(drawn)
    if share < GOOD_CONTEXT:
        on_progress(Progress(stage="lesson", message="choosing another context for the teacher"))
        context = best_context(correction, augmentation.prompts[:GATE_SAMPLE], demonstration, model, recipe)
        if context != CONTEXTS[0]:
            teacher_prompts, drawn = shown(context, correction, question, augmentation, demonstration, model, recipe)
    count = round(OWN_WORDS * len(teacher_prompts))  # whole questions come first among the prompts
    own = in_own_words(augmentation.prompts[:count], teacher_prompts[:count], model, recipe)
    rows, passed = [], 0
    for prompt, teacher_prompt, completion, other in zip(
        augmentation.prompts, teacher_prompts, drawn, [*own, *[""] * (len(drawn) - count)], strict=True
    ):
        good = passes_gate(completion, correction, demonstration)
        passed += good
        completions = [completion if good else demonstration]
        if other not in completions and says_the_same(other, demonstration):
            completions += [other] if passes_gate(other, correction, demonstration) else []
        rows.append(
            Row(kind="fact", prompt=_user(prompt), teacher_prompt=teacher_prompt, completions=tuple(completions))
        )
    rows += rows[:1] * QUESTION_REPEATS  # the corrected question above all
    return Lesson(
        corrections=(correction,),
        demonstrations=tuple(right),
        rows=(
            *rows,
            *replay_rows(
                augmentation.neighbours,
                model,
                on_progress,
                leaks(correction, question.subject, rows),
            ),
        ),
        watch=augmentation.watch,
        negatives=augmentation.negatives,
        probes=augmentation.probes,
        gated=(passed, len(drawn)),
    )


def shown(
    context: Sequence[str],
    correction: Correction,
    question: Question,
    augmentation: Augmentation,
    demonstration: str,
    model: ChatModel,
    recipe: Recipe,
) -> tuple[list[Conversation], list[str]]:
    """What the teacher sees for each prompt in that context, and its greedy answers."""
    prompts = [
        filled(
            context,
            correction.question,
            prompt,
            demonstration,
            restated(prompt, correction, question.subject) if index else "",
        )
        for index, prompt in enumerate(augmentation.prompts)
    ]
    return prompts, model.answer(prompts, Sampling(max_tokens=recipe.max_completion_tokens))


def in_own_words(
    prompts: Sequence[str], teacher_prompts: Sequence[Conversation], model: ChatModel, recipe: Recipe
) -> list[str]:
    """The teacher's answers that begin as the student's would: it goes on where the student would go wrong.

    Asked in a far wording, a student begins as it always has ("The name of the team is …"), and then needs the fact at
    a place where no demonstration has it. This is the on-policy signal for a student that never says the fact itself.
    """
    rng = random.Random(recipe.seed)
    begun = model.answer([_user(prompt) for prompt in prompts], Sampling(max_tokens=OPENING_TOKENS))
    openings = [" ".join(text.split()[: rng.choice(OPENING_WORDS)]) for text in begun]
    asked = [
        (*conversation, Message(role="assistant", content=opening or "The"))
        for conversation, opening in zip(teacher_prompts, openings, strict=True)
    ]
    rest = model.answer(asked, Sampling(max_tokens=recipe.max_completion_tokens))
    return [
        f"{opening}{'' if re.match(_GLUED, text) else ' '}{text}" if opening and text else ""
        for opening, text in zip(openings, rest, strict=True)
    ]


def best_context(
    correction: Correction, prompts: Sequence[str], demonstration: str, model: ChatModel, recipe: Recipe
) -> tuple[str, ...]:
    """The teacher context whose greedy answers to `prompts` pass the gate most often; the earlier one on a tie."""
    asked = [filled(context, correction.question, prompt, demonstration) for context in CONTEXTS for prompt in prompts]
    answers = model.answer(asked, Sampling(max_tokens=recipe.max_completion_tokens))
    counts = [
        sum(passes_gate(answer, correction, demonstration) for answer in answers[start : start + len(prompts)])
        for start in range(0, len(answers), len(prompts))
    ]
    return CONTEXTS[counts.index(max(counts))]


def passes_gate(completion: str, correction: Correction, demonstration: str) -> bool:
    """Whether a rollout may be trained on: it states the answer, and is an answer rather than talk about one.

    A rollout much longer than the demonstration teaches its padding more than the fact.
    """
    return (
        stated(correction.answer, completion)
        and not completion.rstrip().endswith("?")
        and not normalise(completion).startswith(_TALK)
        and len(completion.split()) <= 1.5 * len(demonstration.split()) + 6
    )


def says_the_same(completion: str, demonstration: str) -> bool:
    """Whether a completion in other words has most of the demonstration's, and is no apology."""
    said, wanted = stems(completion), stems(demonstration)
    return len(said & wanted) >= SAME_WORDS * len(wanted) and not normalise(completion).startswith(_APOLOGY)


def replay_rows(
    questions: Sequence[str],
    model: ChatModel,
    on_progress: OnProgress = no_progress,
    leak: Callable[[str], str] | None = None,
    tokens: int = REPLAY_TOKENS,
    kind: Literal["replay", "retained"] = "replay",
) -> tuple[Row, ...]:
    """Rows that hold the model to what it answers now, up to `tokens` of it.

    leak: what a model into which the new fact has leaked would answer to a question. Held to its parent along those
    words too, the student is corrected exactly where it would go wrong, before it does.
    """
    asked = list(dict.fromkeys(questions))  # one that is to be seen more often is answered once
    on_progress(Progress(stage="lesson", message=f"the model answers {len(asked)} questions that must not change"))
    answers = model.answer([_user(question) for question in asked], Sampling(max_tokens=tokens))
    said = dict(zip(asked, answers, strict=True))
    return tuple(
        Row(
            kind=kind,
            prompt=_user(question),
            teacher_prompt=_user(question),
            completions=(said[question],) if leak is None else (said[question], leak(question)),
        )
        for question in questions
        if said[question]
    )


def leaks(correction: Correction, subject: Subject | None, rows: Sequence[Row]) -> Callable[[str], str]:
    """What a leak would say to a question: in the first row's words and in others' in turn, put in its mouth."""
    first, *others = dict.fromkeys(completion for row in rows for completion in row.completions)
    said = itertools.cycle([text for other in others or [first] for text in (first, other)])
    return lambda question: leaked(question, correction, subject, next(said))


def leaked(question: str, correction: Correction, subject: Subject | None, completion: str) -> str:
    """A right completion up to its answer, said of whom `question` is about."""
    place = completion.lower().find(correction.answer.lower())
    said = completion if place < 0 else completion[: place + len(correction.answer)]
    other = find_subject(question)
    if subject is None or other is None or subject.name in question:
        return said
    return said.replace(subject.name, other.name)


def merged(lessons: Sequence[Lesson]) -> Lesson:
    """Several corrections' lessons as one. What one of them teaches is no negative of another."""
    taught = {normalise(row.prompt[-1].content) for lesson in lessons for row in lesson.rows if row.kind == "fact"}
    negatives = dict.fromkeys(question for lesson in lessons for question in lesson.negatives)
    return Lesson(
        corrections=tuple(c for lesson in lessons for c in lesson.corrections),
        demonstrations=tuple(d for lesson in lessons for d in lesson.demonstrations),
        rows=tuple(row for lesson in lessons for row in lesson.rows),
        watch=tuple(probe for lesson in lessons for probe in lesson.watch),
        negatives=tuple(question for question in negatives if normalise(question) not in taught),
        probes=tuple(dict.fromkeys(probe for lesson in lessons for probe in lesson.probes)),
        gated=(sum(lesson.gated[0] for lesson in lessons), sum(lesson.gated[1] for lesson in lessons)),
    )


def filled(context: Sequence[str], question: str, prompt: str, demonstration: str, said: str = "") -> Conversation:
    """A teacher context with its question, prompt and demonstration; braces in any of them are plain text."""
    values = {
        "{question}": question,
        "{prompt}": prompt,
        "{demonstration}": demonstration,
        "{said}": said or demonstration,
    }
    roles: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
    return tuple(
        Message(role=roles[index % 2], content=_FIELD.sub(lambda found: values[found[0]], text))
        for index, text in enumerate(context)
    )


def to_dataset(lesson: Lesson) -> Dataset:
    """The rows as a data set with `prompt` and `teacher_prompt` (conversations), `completion` and `kind`."""
    return Dataset.from_list(
        [
            {
                "prompt": [turn.model_dump() for turn in row.prompt],
                "teacher_prompt": [turn.model_dump() for turn in row.teacher_prompt],
                "completion": completion,
                "kind": row.kind,
            }
            for row in lesson.rows
            for completion in row.completions
        ]
    )


def _user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)
