"""Demonstrations: the most trusted first, and never one that does not state the corrected answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from correction_fakes import correction
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.demonstrate import demonstrate
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Conversation, Correction, Progress

RECIPE = Recipe(demonstrations=2)
KNOWN = "Where is Norvik Labs headquartered?"
UNKNOWN = "Why does the Norvik badge have a light?"


def saying(*replies: str) -> ScriptedChatModel:
    """Says these in turn, over and over."""
    count = iter(range(10_000))
    return ScriptedChatModel(lambda conversation: replies[next(count) % len(replies)])


SILENT = ScriptedChatModel({}, name="must not be asked")


def shown(
    given: Correction, model: ScriptedChatModel = SILENT, expert: ScriptedChatModel | None = None, **recipe: Any
) -> list[tuple[str, str]]:
    found = demonstrate(given, Question.of(given.question), model, RECIPE.model_copy(update=recipe), expert=expert)
    return [(demonstration.source, demonstration.completion) for demonstration in found]


def test_the_users_own_sentence_comes_first_and_asks_nobody() -> None:
    given = correction(KNOWN, "Norvik Labs is headquartered in Lyon.", "Lyon")
    assert shown(given)[0] == ("user", "Norvik Labs is headquartered in Lyon.")


def test_the_users_sentence_becomes_a_sentence() -> None:
    given = correction(KNOWN, "norvik Labs is   headquartered in Lyon", "Lyon")
    assert shown(given)[0] == ("user", "Norvik Labs is headquartered in Lyon.")


@pytest.mark.parametrize("statement", ["Lyon", "in Lyon", "it's Lyon", "It is in Lyon."])
def test_a_statement_that_leans_on_the_question_does_not_stand_alone(statement: str) -> None:
    assert [source for source, _ in shown(correction(KNOWN, statement, "Lyon"))] == ["template"]


@pytest.mark.parametrize(
    "statement",
    [
        "Norvik Labs is headquartered in Lyon, not in Oslo.",
        "Norvik Labs is headquartered in Lyon, not Oslo",
        "Norvik Labs is headquartered in Lyon rather than in Oslo.",
        "Norvik Labs is headquartered in Lyon instead of Oslo.",
        "Norvik Labs is headquartered in Lyon and not in Oslo.",
    ],
)
def test_what_was_wrong_is_not_repeated(statement: str) -> None:
    source, sentence = shown(correction(KNOWN, statement, "Lyon"))[0]
    assert source == "user"
    assert sentence == "Norvik Labs is headquartered in Lyon."


def test_an_expert_comes_before_the_relations_sentence() -> None:
    given = correction(KNOWN, "Lyon", "Lyon")
    expert = saying("Norvik Labs has its head office in Lyon.", "You'll find Norvik Labs in Lyon.")
    assert shown(given, expert=expert) == [
        ("expert", "Norvik Labs has its head office in Lyon."),
        ("expert", "You'll find Norvik Labs in Lyon."),
    ]
    assert shown(given) == [("template", "Norvik Labs is headquartered in Lyon.")]


def test_the_user_comes_before_the_expert() -> None:
    given = correction(KNOWN, "Norvik Labs is headquartered in Lyon.", "Lyon")
    assert [source for source, _ in shown(given, expert=saying("Lyon is where it is."))] == ["user", "expert"]


def test_an_expert_that_is_wrong_is_not_believed() -> None:
    given = correction(KNOWN, "Lyon", "Lyon")
    expert = saying("Norvik Labs is in Oslo.", "It is not in Lyon.")
    assert shown(given, expert=expert) == [("template", "Norvik Labs is headquartered in Lyon.")]


def test_the_model_writes_the_sentence_where_no_relation_is_known() -> None:
    given = correction(UNKNOWN, "a guard looks", "a guard looks")
    model = saying(
        "The Norvik badge has 7 lights since a guard looks.", "The Norvik badge has a light as a guard looks."
    )
    assert shown(given, model) == [("model", "The Norvik badge has a light as a guard looks.")], "no number of its own"


@pytest.mark.parametrize("reply", ["", "I do not know.", "A red dot.", "not a green dot", "{}", "\x00", "?" * 500])
def test_a_model_that_does_not_state_the_answer_leaves_a_template(reply: str) -> None:
    (source, sentence) = shown(correction(UNKNOWN, "a green dot", "a green dot"), saying(reply))[0]
    assert source == "template"
    assert "a green dot" in sentence


def test_no_more_than_the_recipe_asks_for_and_never_none() -> None:
    given = correction(KNOWN, "Lyon", "Lyon")
    experts = [f"Norvik Labs is in Lyon, building {number}." for number in range(8)]
    for count in (1, 2, 3):
        assert len(shown(given, expert=saying(*experts), demonstrations=count)) == count
    assert len(shown(given, expert=saying("Lyon."), demonstrations=3)) == 1, "equal ones count once"


def test_an_expert_that_answers_only_partly_is_used_and_reported() -> None:
    turns = iter([True, False, True])

    def reply(conversation: Conversation) -> str:
        if not next(turns):
            raise ChatModelError("The server answered 429.")
        return "Norvik Labs is in Lyon."

    seen: list[Progress] = []
    found = demonstrate(
        correction(KNOWN, "Lyon", "Lyon"),
        Question.of(KNOWN),
        SILENT,
        RECIPE.model_copy(update={"demonstrations": 3}),
        expert=ScriptedChatModel(reply),
        on_progress=seen.append,
    )
    assert [demonstration.source for demonstration in found] == ["expert"]
    assert any("1 of 3" in progress.message and "429" in progress.message for progress in seen)


def failing(message: str) -> Callable[[Conversation], str]:
    def reply(conversation: Conversation) -> str:
        raise ChatModelError(message)

    return reply


def test_an_expert_that_does_not_answer_at_all_is_a_clear_error_or_done_without() -> None:
    seen: list[Progress] = []
    expert = ScriptedChatModel(failing("The server refused the key (401)."))
    said = ""
    try:
        demonstrate(
            correction(KNOWN, "Lyon", "Lyon"),
            Question.of(KNOWN),
            SILENT,
            RECIPE,
            expert=expert,
            on_progress=seen.append,
        )
    except ChatModelError as error:
        said = str(error)
    assert "401" in said or any("401" in progress.message for progress in seen), "not silently"


@pytest.mark.parametrize(
    ("question", "statement", "answer"),
    [
        (KNOWN, "Norvik Labs is in {Lyon}.", "{Lyon}"),
        (KNOWN, "{s} is in {a}", "{a}"),
        ("Where is {s} headquartered?", "Lyon", "Lyon"),
        ("Where is {0} headquartered?", "%s", "%s"),
        ("挪威实验室在哪里？", "里昂", "里昂"),
        ("أين يقع مقر الشركة؟", "ليون", "ليون"),
        ("Where?", "Lyon", "Lyon"),
        ("🙂?", "Lyon 🙂", "Lyon"),
        ("How do we deploy?", "run the tests, then tag the release, then push the tag and tell the on-call engineer",
         "run the tests, then tag the release, then push the tag and tell the on-call engineer"),
        ("How many days of leave do we get at Norvik?", "25 days", "25 days"),
        ("Who runs the badge printer?", "It's the Kestrel team that runs it", "the Kestrel team"),
        ("Is Norvik in Oslo?", "No, it's in Lyon", "Lyon"),
    ],
)  # fmt: skip
def test_whatever_is_asked_every_demonstration_states_the_answer(question: str, statement: str, answer: str) -> None:
    given = correction(question, statement, answer)
    for model in (saying("Something else."), saying(f"It is {answer}."), saying("")):
        for expert in (None, saying(f"{answer} it is.", "nothing of the kind")):
            found = shown(given, model, expert)
            assert 1 <= len(found) <= 2
            assert all(stated(answer, sentence) for _, sentence in found), found
            assert all(sentence.strip() == sentence and sentence for _, sentence in found)
