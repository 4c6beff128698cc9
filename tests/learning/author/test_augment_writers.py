"""Wordings that a model or an expert writes: used where they ask the same, and done without where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from augment_fakes import RECIPE, check, made
from correction_fakes import correction
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.augment import augment
from lifelearn.learning.author.english.question import Question, find_subject
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.types import Augmentation, Conversation, Progress


def paraphrases(*lines: str) -> Callable[[Conversation], str]:
    return lambda conversation: "\n".join(lines)


EXPERT_LINES = (
    "1. How much leave does Norvik grant its employees each year?",
    "- What is the yearly vacation allowance at Norvik?",
    '* "How many days off per year come with a job at Norvik?"',
    "At Norvik, how many days may an employee take off per year?",
    "How many holiday days per year does a Norvik employee have?",
    "Does every Norvik employee get 25 days of vacation?",
    "How many vacation days do employees at Norvik get per year?",
    "How much leave do people at Globex get per year?",
    "Here are some more:",
    "",
)


def asked_expert(script: Callable[[Conversation], str], seen: list[Progress] | None = None) -> Augmentation:
    question = "How many vacation days do employees at Norvik get per year?"
    model = ScriptedChatModel(script)
    progress = seen if seen is not None else []
    return augment(
        correction(question, "25 days", "25 days"),
        Question.of(question),
        model,
        RECIPE,
        expert=True,
        on_progress=progress.append,
    )


def test_an_experts_lines_become_wordings_without_their_bullets() -> None:
    found = asked_expert(paraphrases(*EXPERT_LINES))
    used = {*found.prompts, *(probe.question for probe in (*found.watch, *found.probes))}
    plain = {re.sub(r"^(?:1\. |- |\* )", "", line).strip('"') for line in EXPERT_LINES[:5]}
    assert len(plain & used) >= 4
    assert not any(text.startswith(("1.", "-", "*", '"')) for text in used)


def test_lines_that_give_the_answer_away_or_ask_about_another_are_not_used() -> None:
    found = asked_expert(paraphrases(*EXPERT_LINES))
    asking = {*found.prompts, *(probe.question for probe in (*found.watch, *found.probes) if probe.answer == "25 days")}
    assert not any("25" in text or "Globex" in text or "Here are" in text for text in asking)
    check("How many vacation days do employees at Norvik get per year?", "25 days", found)


def failing(errors: Sequence[str]) -> Callable[[Conversation], str]:
    """Fails while there are errors left, then answers."""
    left = list(errors)

    def reply(conversation: Conversation) -> str:
        if left:
            raise ChatModelError(left.pop(0))
        return "\n".join(EXPERT_LINES)

    return reply


def test_what_a_writer_left_out_is_reported_and_costs_only_its_wordings() -> None:
    """The local way asks several times; some of these fail."""
    seen: list[Progress] = []
    question = "Where is Norvik Labs headquartered?"
    found = augment(
        correction(question, "Lyon", "Lyon"),
        Question.of(question),
        ScriptedChatModel(failing(["The server answered 429."])),
        RECIPE,
        on_progress=seen.append,
    )
    check(question, "Lyon", found)
    assert any("1 of" in progress.message and "429" in progress.message for progress in seen)


@pytest.mark.parametrize("expert", [True, False])
def test_a_writer_that_does_not_answer_at_all_is_reported_and_costs_only_its_wordings(expert: bool) -> None:
    seen: list[Progress] = []
    question = "Where is Norvik Labs headquartered?"
    model = ScriptedChatModel(failing(["The server refused the key (401)."] * 50))
    found = augment(
        correction(question, "Lyon", "Lyon"),
        Question.of(question),
        model,
        RECIPE,
        expert=expert,
        on_progress=seen.append,
    )
    check(question, "Lyon", found)
    assert any("401" in progress.message for progress in seen)


@pytest.mark.parametrize(
    "reply", ["", "\n\n\n", "{}", "[]", '```json\n{"a": 1}\n```', "I'm sorry, I can't.", "\x00" * 50]
)
def test_an_expert_that_says_nothing_useful_costs_nothing(reply: str) -> None:
    found = asked_expert(paraphrases(reply))
    check("How many vacation days do employees at Norvik get per year?", "25 days", found)


def test_a_model_that_repeats_the_probes_does_not_bring_them_into_training() -> None:
    """All wordings of the relation, each with a letter more, offered as paraphrases."""
    question = "Where is Norvik Labs headquartered?"
    subject = find_subject(question)
    assert subject is not None
    assert subject.relation is not None
    wordings = [ask.replace("{s}", subject.name) for ask in subject.relation.asks]
    count = iter(range(10_000))
    for seed in range(5):
        found = made(question, "Lyon", lambda _: wordings[next(count) % len(wordings)].replace("?", "s?"), seed)
        check(question, "Lyon", found)
