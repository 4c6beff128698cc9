"""Augmentations for tests, by a small model that is played, and what must hold of each."""

from __future__ import annotations

from collections.abc import Callable

from correction_fakes import correction
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.augment import augment
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Augmentation, Conversation
from lifelearn.learning.words import near_duplicates, normalise, stems

RECIPE = Recipe()


def writer(conversation: Conversation) -> str:
    """A small model: some paraphrases, some echoes, some nonsense."""
    asked = conversation[-1].content
    question = asked.partition(": ")[2]
    words = question.rstrip("?").split()
    return (
        question,
        f"Could you tell me: {question}",
        f"{' '.join(words[1:])}?",
        f"{question} The answer.",
        f"Which one, {' '.join(words[:6])}?",
        "",
    )[sum(map(ord, asked[:50])) % 6 if len(conversation) < 2 else len(conversation) % 6]


def made(question: str, answer: str, script: Callable[[Conversation], str] = writer, seed: int = 0) -> Augmentation:
    recipe = RECIPE.model_copy(update={"seed": seed})
    return augment(correction(question, answer, answer), Question.of(question), ScriptedChatModel(script), recipe)


def generalisation(found: Augmentation) -> list[str]:
    return [probe.question for probe in found.probes if probe.kind == "generalisation"]


def check(question: str, answer: str, found: Augmentation) -> None:
    """What must hold whatever was asked."""
    assert found.prompts[0] == question
    assert len({normalise(prompt) for prompt in found.prompts}) == len(found.prompts)
    assert len(found.prompts) <= RECIPE.training_prompts
    assert all(prompt.strip() for prompt in found.prompts)
    if stems(question):
        empty = [prompt for prompt in found.prompts if not stems(prompt) & stems(question)]
        assert not empty, f"asked about nothing: {empty}"

    held = generalisation(found)
    for prompt in (*found.prompts, *found.neighbours):
        assert not any(near_duplicates(prompt, probe) for probe in held), (prompt, held)
    checked = {normalise(probe.question) for probe in found.probes if probe.kind != "efficacy"}
    assert not checked & {normalise(text) for text in found.neighbours}, "replayed and verified"
    both = checked & {normalise(text) for text in found.prompts}
    assert not both, both
    watched = {normalise(probe.question) for probe in found.watch}
    assert not checked & watched, "training stops by it, and it is verified"
    assert all(probe.question.strip() for probe in found.probes)

    assert normalise(question) not in {normalise(text) for text in found.neighbours}
    asked = {normalise(prompt) for prompt in found.prompts}
    assert not asked & {normalise(text) for text in found.neighbours}
    neighbours = [probe.question for probe in found.probes if probe.kind == "neighbour"]
    assert not asked & {normalise(text) for text in neighbours}
    further = {normalise(question) for question in found.negatives}
    assert not further & (asked | checked | {normalise(text) for text in found.neighbours})
    assert not any(near_duplicates(text, wording) for text in found.negatives for wording in held)
    assert neighbours, "something near the fact is always verified"

    if not stated(answer, question):
        told = [text for text in (*found.prompts, *held) if stated(answer, text)]
        assert not told, f"the answer is given away: {told}"

    efficacy = [probe for probe in found.probes if probe.kind == "efficacy"]
    assert [(probe.question, probe.answer) for probe in efficacy] == [(question, answer)]
    for probe in (*found.probes, *found.watch):
        if probe.kind == "generalisation":
            assert probe.answer == answer
        if probe.kind == "neighbour":
            assert (probe.answer, probe.forbidden) == ("", answer)
    unrelated = [probe for probe in found.probes if probe.kind == "unrelated"]
    assert len(unrelated) >= 4
    assert all(probe.answer and probe.forbidden == answer for probe in unrelated)
