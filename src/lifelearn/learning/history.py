"""What earlier corrections ask of a lesson: they are asked, watched, replayed, and taught again where they are lost.

Knows the versions before, and no training.
"""

from __future__ import annotations

import random

from lifelearn.learning.author.english.question import Subject
from lifelearn.learning.chat_model import ChatModel, Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.lesson import REPLAY_TOKENS, leaks, replay_rows
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Correction, Lesson, Message, OnProgress, Probe, Row, no_progress
from lifelearn.learning.version import VersionStore
from lifelearn.learning.words import normalise

RETAINED_REPLAY = 96  # rows of earlier corrections that a lesson replays, at most
RETAINED_TIMES = 2  # the question itself is among them so often
RETAINED_WORDINGS = 2  # others of each
RETAINED_WATCH = 24  # of them that training watches, at most
WATCHED_WORDS = 14  # in which their answer stands: about as far as training listens to a watch probe
TAUGHT_AGAIN = 3  # wordings, beside the question, of a correction that the parent has lost


def with_history(
    lesson: Lesson,
    subject: Subject | None,
    store: VersionStore,
    parent: int,
    model: ChatModel,
    recipe: Recipe,
    on_progress: OnProgress = no_progress,
) -> Lesson:
    """The lesson with retention probes and rows for every earlier correction that it does not replace.

    subject: of the first corrected question; with another in its place, it is what a leak would say.
    What the parent still knows is replayed: the question and other wordings, whole answers, and what a leak would say;
    and training watches it: one that is held weakly would else be lost in each lesson that follows, and stop them all.
    What it has lost is taught again, with rows of the lesson that it came from. A neighbour whose answer comes from an
    earlier correction is held to the parent, too: the base, to which replay holds the others, does not know it. A
    negative of that kind is left out.
    """
    replaced = {normalise(correction.question) for correction in lesson.corrections}
    earlier: dict[str, tuple[Correction, list[Row]]] = {}  # by question, the latest
    for version in store.lineage(parent):
        facts = [row for row in store.lesson(version.number).rows if row.kind == "fact"]
        for correction in version.corrections:
            if normalise(correction.question) not in replaced:
                earlier[normalise(correction.question)] = (correction, facts)
    if not earlier:
        return lesson
    rng = random.Random(recipe.seed)
    known = list(earlier.values())
    rng.shuffle(known)
    asked = [(Message(role="user", content=correction.question),) for correction, _ in known]
    answers = model.answer(asked, Sampling(max_tokens=recipe.max_completion_tokens))
    again: list[Row] = []
    questions: list[str] = []
    watch: list[Probe] = []
    for (correction, facts), answer in zip(known, answers, strict=True):
        others = [row for row in facts if row.prompt[-1].content != correction.question]
        if not stated(correction.answer, answer):
            about = [row for row in others if stated(correction.answer, row.completions[0])]
            question = [row for row in facts if row.prompt[-1].content == correction.question]
            again += [*question[:1], *rng.sample(about, min(TAUGHT_AGAIN, len(about)))]
        else:
            if stated(correction.answer, " ".join(answer.split()[:WATCHED_WORDS])):
                watch.append(Probe(kind="retention", question=correction.question, answer=correction.answer))
            questions += [correction.question] * RETAINED_TIMES
            questions += [row.prompt[-1].content for row in rng.sample(others, min(RETAINED_WORDINGS, len(others)))]
    leak = leaks(lesson.corrections[0], subject, [row for row in lesson.rows if row.kind == "fact"])
    kept = replay_rows(
        questions[:RETAINED_REPLAY],
        model,
        on_progress,
        leak=leak,
        tokens=recipe.max_completion_tokens,
        kind="retained",
    )
    probes = [Probe(kind="retention", question=each.question, answer=each.answer) for each, _ in earlier.values()]
    taught = [correction.answer for correction, _ in known]
    rows = [
        row.model_copy(update={"kind": "retained"})
        if row.kind == "replay" and any(stated(answer, row.completions[0]) for answer in taught)
        else row
        for row in lesson.rows
    ]
    watched = (*lesson.watch, *watch[:RETAINED_WATCH])
    said = model.answer(
        [(Message(role="user", content=question),) for question in lesson.negatives],
        Sampling(max_tokens=REPLAY_TOKENS),
    )
    negatives = tuple(
        question
        for question, answer in zip(lesson.negatives, said, strict=True)
        if not any(stated(one, answer) for one in taught)
    )
    return lesson.model_copy(
        update={
            "rows": (*rows, *again, *kept),
            "watch": watched,
            "negatives": negatives,
            "probes": (*lesson.probes, *probes),
        }
    )
