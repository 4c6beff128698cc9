"""From a conversation to a correction: which question, which statement, which short answer; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from lifelearn.learning.author.detect import DetectionError, correction_from, detect
from lifelearn.learning.author.english.reading.answer import extract_answer
from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation, Correction, Message


class FakeModel:
    """Replies what it was given, in order."""

    name = "fake"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[Conversation] = []

    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        self.asked += conversations
        return [self.replies.pop(0) for _ in conversations]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        raise NotImplementedError


class DeadModel(FakeModel):
    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        raise ChatModelError("The server does not answer.")


def talk(*turns: str) -> Conversation:
    """Turns in alternation, the user's first."""
    return tuple(Message(role="assistant" if i % 2 else "user", content=turn) for i, turn in enumerate(turns))


def found(*turns: str) -> Correction:
    correction = detect(talk(*turns))
    assert correction is not None
    return correction


# -- Which message, which question


def test_a_correction() -> None:
    correction = found("Where is Norvik Labs?", "It is in Paris.", "no, Lyon")
    assert correction.question == "Where is Norvik Labs?"
    assert correction.wrong == "It is in Paris."
    assert correction.message == "no, Lyon"
    assert correction.statement == correction.answer == "Lyon"
    assert len(correction.id) == 32
    assert 0.5 <= correction.confidence < 1


def test_each_correction_has_its_own_id() -> None:
    turns = ("Where is Norvik Labs?", "It is in Paris.", "no, Lyon")
    assert found(*turns).id != found(*turns).id


def test_stronger_evidence_gives_more_confidence() -> None:
    weak = found("What is 7 times 8?", "54", "56.")
    strong = found("What is 7 times 8?", "54", "No, that's wrong. It is 56, not 54.")
    assert weak.confidence < strong.confidence


@pytest.mark.parametrize("message", ["Thanks!", "Are you sure?", "That's wrong.", "And Rome?", "", " \n ", "🙂"])
def test_no_correction(message: str) -> None:
    assert detect(talk("Where is it?", "In Paris.", message)) is None


@pytest.mark.parametrize(
    "turns",
    [
        ("Where is it?", "In Paris.", "No.", "In Nice.", "no, Lyon"),
        ("Where is it?", "In Paris.", "Try again", "In Nice.", "Are you sure?", "Yes, Nice.", "no, Lyon"),
        ("Where is it?", "In Paris.", "No, it's in Lyon.", "It is in Nice.", "no, Lyon"),
    ],
)
def test_the_question_is_the_one_before_the_rejections(turns: tuple[str, ...]) -> None:
    correction = found(*turns)
    assert correction.question == "Where is it?"
    assert correction.wrong == turns[-2]


def test_a_follow_up_question_is_the_question() -> None:
    correction = found("Where is it?", "In Lyon.", "And who runs it?", "Anna runs it.", "No, Tom runs it.")
    assert correction.question == "And who runs it?"


def test_system_messages_are_passed_over() -> None:
    system = Message(role="system", content="Be brief.")
    conversation = (system, *talk("Where is it?", "In Paris."), system, Message(role="user", content="no, Lyon"))
    correction = detect(conversation)
    assert correction is not None
    assert correction.question == "Where is it?"


def test_without_an_answer_there_is_nothing_to_correct() -> None:
    assert detect(talk("No, it is Lyon.")) is None
    assert detect(talk("No, it is Lyon."), FakeModel()) is None


def test_bad_conversations_are_refused() -> None:
    with pytest.raises(DetectionError, match="empty"):
        detect(())
    with pytest.raises(DetectionError, match="does not end with a message of the user"):
        detect(talk("Where is it?", "In Paris."))


@pytest.mark.parametrize("message", ["No, it is Lyon, not Lyon.", "No, it's 25, no, it's 30, 25 is right and wrong."])
def test_a_correction_that_contradicts_itself_is_refused(message: str) -> None:
    conversation = talk("Where is it?", "In Paris.", message)
    with pytest.raises(DetectionError, match="contradicts itself"):
        detect(conversation)
    with pytest.raises(DetectionError, match="contradicts itself"):
        correction_from("Where is it?", "In Paris.", message)


def test_long_messages_are_cut_but_kept() -> None:
    message = "No, it is in Lyon. " + "It really is. " * 10_000
    correction = found("Where is it?", "In Paris.", message)
    assert correction.message == message
    assert len(correction.statement) <= 4000
    assert correction.answer == "Lyon"


# -- The explicit way


def test_an_explicit_correction_needs_no_cues() -> None:
    correction = correction_from("Where is it?", "In Paris.", "Lyon")
    assert correction.statement == correction.answer == "Lyon"
    assert correction.confidence == 1.0


def test_an_explicit_correction_of_other_confidence() -> None:
    assert correction_from("Where is it?", "In Paris.", "Lyon", confidence=0.4).confidence == 0.4


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("I'm afraid that is incorrect. It should be Fun City Six.", "Fun City Six"),
        ("That's not right, the correct answer is Cool Cats.", "Cool Cats"),
    ],
)
def test_words_of_opinion_within_a_name_are_none(message: str, answer: str) -> None:
    correction = found("Which band sang it?", "It was sung by The Blue Notes.", message)
    assert correction.answer == answer


@pytest.mark.parametrize("message", ["", "No!", "That's wrong.", "try again", "...", "🙂"])
def test_an_explicit_correction_must_say_what_is_right(message: str) -> None:
    with pytest.raises(DetectionError, match="does not say what is right"):
        correction_from("Where is it?", "In Paris.", message)


def test_an_explicit_correction_is_no_question() -> None:
    with pytest.raises(DetectionError, match="question"):
        correction_from("Where is it?", "In Paris.", "Is it Lyon?")


# -- The short answer

LEAVE = "How many days of leave do people get at Kestrel?"
HOTLINE = "Which team answers the Vela hotline?"
MEETING = "When is the design review?"
PRICE = "How much is the Heron plan a month?"


@pytest.mark.parametrize(
    ("question", "wrong", "message", "answer"),
    [
        (LEAVE, "They get 20 days.", "No, that's wrong. People at Kestrel get 28 days of leave per year.", "28 days"),
        (LEAVE, "They get 20 days.", "28, not 20", "28"),
        (
            "In the lab, what do I do before I leave?",
            "Eat.",
            "No, in the lab you wash your hands before you leave.",
            "wash your hands",
        ),
        (LEAVE, "They get 20 days.", "it's twenty-eight", "twenty-eight"),
        (HOTLINE, "The Atlas team.", "Nope, it's the Mistral team that answers the Vela hotline.", "Mistral team"),
        (HOTLINE, "The Atlas team.", "wrong, mistral", "mistral"),
        (HOTLINE, "The Atlas team.", "No, the Vela hotline is answered by Mistral.", "Mistral"),
        (MEETING, "It is on Monday.", "The design review is every Wednesday at 2 pm, not Monday.", "Wednesday"),
        ("What time is lunch?", "At 1 pm.", "No, lunch is at 12:30 on Fridays.", "12:30"),
        ("When did we move?", "You moved in 2015.", "No, we moved in March 2017.", "March 2017"),
        (PRICE, "It costs 39 euros.", "You are wrong about that: the Heron plan is 59 euros a month.", "59 euros"),
        (PRICE, "It costs $39.", "Incorrect, $59", "$59"),
        ("Where is Norvik Labs?", "In Paris.", "no, Lyon", "Lyon"),
        ("Where is Norvik Labs?", "In Paris.", "It's Lyon, not Paris.", "Lyon"),
        ("Where is Norvik Labs?", "In Paris.", "Not Paris but Lyon.", "Lyon"),
        ("Where is Norvik Labs?", "In Paris.", "*Lyon", "Lyon"),
        ("Who is our CTO?", "Anna is the CTO.", "Our CTO is Jean de la Tour.", "Jean de la Tour"),
        ("Who is our CTO?", "Anna is the CTO.", "I think you mean Tom Okafor", "Tom Okafor"),
        ("Where is Norvik Labs?", "In Paris.", "Wrong, the answer is Lyon, France.", "Lyon, France"),
        ("Who owns the mill?", "Tom Okafor.", "It's Hugh Dale, 3rd Earl of Marr.", "Hugh Dale, 3rd Earl of Marr"),
        ("Who sang it?", "Tom Okafor.", "no, Sam Dale, Jr.", "Sam Dale, Jr"),
        ("Which band sang it?", "The Okafors.", "Nope. Fun Street Nine.", "Fun Street Nine"),
        ("Who signs contracts?", "The clerk.", "that's not correct, the board signs them", "board"),
        (
            "What does PIR mean?",
            "Post incident report.",
            "Actually PIR stands for problem intake record.",
            "problem intake record",
        ),
        ("What is 17 + 25?", "It is 41.", "No, 17 + 25 = 42", "42"),
        ("Say it in Italian.", "pero", 'Good try, but the word for dog is "cane".', "cane"),
        ("Is the canteen open?", "Yes, it is open.", "No, it isn't.", "it isn't"),
        ("Do bats lay eggs?", "Yes, they do.", "No, bats give birth to live young.", "bats give birth to live young"),
        (
            "How do I release?",
            "Push, then test.",
            "That's not right. You should never push before testing. First test, then merge, then push.",
            "First test, then merge, then push",
        ),
    ],
)
def test_short_answers(question: str, wrong: str, message: str, answer: str) -> None:
    correction = detect(talk(question, wrong, message))
    assert correction is not None
    assert correction.answer == answer


def test_an_answer_in_the_questions_own_numbers() -> None:
    """A problem told at length has the number that is right, too; what the wrong answer said is not meant."""
    question = "A desk is put up at 200 dollars. Ada bids 250, Ben 300. What does the desk cost Ben?"
    statement = "the answer is $300 as he bid after Ada"
    assert extract_answer(question, "It costs $250.", statement) == "$300"


def test_an_answer_is_never_empty() -> None:
    for statement in ("x", "it does.", "the same", "Where it is", "not", "42", "= 3", "は東京です", '"', "the the the"):
        assert extract_answer("Where is it?", "", statement)


# -- With an expert


def reply(**changes: object) -> str:
    return json.dumps(
        {"is_correction": True, "corrected_fact": "It is in Lyon.", "answer": "Lyon", "wrong": "Paris"} | changes
    )


TALK = talk("Where is it?", "In Paris.", "no, Lyon")


def test_an_experts_correction() -> None:
    model = FakeModel(reply())
    correction = detect(TALK, model)
    assert correction is not None
    assert (correction.statement, correction.answer, correction.wrong) == ("It is in Lyon.", "Lyon", "In Paris.")
    [asked] = model.asked
    assert asked[0].role == "system"
    assert json.loads(asked[1].content) == {"question": "Where is it?", "assistant": "In Paris.", "user": "no, Lyon"}


def test_an_expert_may_say_no() -> None:
    model = FakeModel(reply(is_correction=False, corrected_fact=None, answer=None, wrong=None))
    assert detect(TALK, model) is None


def test_a_fence_around_the_object_is_accepted() -> None:
    assert detect(TALK, FakeModel(f"```json\n{reply()}\n```")) is not None


UNREADABLE = [
    "",
    "No.",
    "{}",
    "[]",
    "null",
    reply(is_correction="yes"),
    reply(answer=None),
    reply(corrected_fact=" "),
    reply(answer=["Lyon"]),
    reply() + reply(),
    reply()[:-1],
]


@pytest.mark.parametrize("bad", UNREADABLE)
def test_an_unreadable_reply_is_asked_for_again(bad: str) -> None:
    model = FakeModel(bad, reply())
    assert detect(TALK, model) is not None
    assert len(model.asked) == 2


@pytest.mark.parametrize("bad", UNREADABLE)
def test_unreadable_never_means_no(bad: str) -> None:
    with pytest.raises(DetectionError, match="“fake” did not say readably"):
        detect(TALK, FakeModel(bad, bad))


def test_the_models_own_errors_pass_through() -> None:
    with pytest.raises(ChatModelError, match="does not answer"):
        detect(TALK, DeadModel())
