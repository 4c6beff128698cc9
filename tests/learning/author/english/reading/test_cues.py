"""What the cues take for a correction; how they are weighed is test_weighing.py's."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from lifelearn.learning.author.english.reading import statement
from lifelearn.learning.author.english.reading.contrast import contradicts_itself
from lifelearn.learning.author.english.reading.cues import read_cues
from lifelearn.learning.author.english.reading.sentences import is_retry
from lifelearn.learning.examiner.marking import stated


def test_the_denial_is_not_part_of_the_statement() -> None:
    evidence = read_cues("Nope, that's wrong. It is Lyon.", "In Paris.", "Where is Norvik Labs?")
    assert evidence.statement == "It is Lyon."
    assert "denial before" in evidence.reasons


def test_requests_and_questions_are_not_part_of_the_statement() -> None:
    evidence = read_cues("No, 17 + 25 is 42. Can you try again?", "17 + 25 is 25.", "What is 17 + 25?")
    assert evidence.statement == "17 + 25 is 42."


def test_quotations_are_not_the_users_words_but_stay_in_the_statement() -> None:
    assert not read_cues('"No, it is Rome, not Milan."', "Send me the sentence.", "Translate for me.").is_correction
    evidence = read_cues('No, the handbook says "twenty-five days of leave".', "20 days.", "How many days?")
    assert evidence.is_correction
    assert '"twenty-five days of leave"' in evidence.statement


def test_the_same_words_answer_a_question_or_correct_a_claim() -> None:
    assert not read_cues("No, it runs on diesel.", "Is it electric?", "I bought a car.").is_correction
    assert read_cues("No, it runs on diesel.", "It runs on petrol.", "What does the engine run on?").is_correction


def test_what_says_nothing_scores_nothing() -> None:
    for message in ("", " ", "\n\n", "?!", "🙂", "\x00\x07", "\u202e\u200f", "No.", "wrong!!!", "...", "'\"'"):
        evidence = read_cues(message, "It is Paris.", "Where is it?")
        assert not evidence.is_correction, message
        assert evidence.statement == "", message


def test_other_scripts() -> None:
    assert read_cues("不对，是堪培拉。", "是悉尼。", "澳大利亚的首都是哪里？").is_correction
    assert read_cues("Нет, это Канберра.", "Это Сидней.", "Какая столица Австралии?").is_correction
    for message in ("مرحبا بك", "สวัสดีครับ", "धन्यवाद", "ありがとう", "고마워요"):
        assert not read_cues(message, "It is Paris.", "Where is it?").is_correction, message


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a",
            "1",
            "no",
            "ha",
            " ",
            "\n",
            ". ",
            "no, ",
            "not ",
            "the ",
            "I ",
            "you ",
            "my ",
            "it's not ",
            "a-",
            "(a ",
            "\x00",
        ),
        *(
            "\"'",
            "'a",
            '"a" ',
            "not a but ",
            "wrong because ",
            "is ",
            "a, not b ",
            "your x is ",
            "\u0301",
            "\ufdfa",
            "好",
            "*",
        ),
    ],
)
def test_long_messages_do_not_hang(unit: str) -> None:
    long = unit * (100_000 // len(unit))
    read_cues(long, long, long)
    contradicts_itself(long)
    is_retry(long)
    stated("a b c", long)
    stated(long, long[:1000])


@pytest.mark.parametrize(
    ("message", "contradicts"),
    [
        ("It is Lyon, not Lyon.", True),
        ("it's 25, no, it's 30, 25 is right and wrong", True),
        ("It is Lyon. It is not Lyon.", True),
        ("It's 25. It's 30.", True),
        ("It is 25, not 20.", False),
        ("its 4, not 14", False),
        ("She is a mezzo soprano, not soprano.", False),
        ("It is 3.5, not 5.", False),
        ("The king is on e1. The queen is on d1.", False),
        ("It's red. It's big.", False),
        ("", False),
    ],
)
def test_contradictions(message: str, contradicts: bool) -> None:
    assert contradicts_itself(message) is contradicts


@pytest.mark.parametrize(
    "message", ["No", "Wrong.", "try again", "Nope, try it again.", "Are you sure?", "That's not right."]
)
def test_retries(message: str) -> None:
    assert is_retry(message)


@pytest.mark.parametrize("message", ["", "no, Lyon", "thanks", "How old is she?", "What?", "It is Lyon."])
def test_no_retries(message: str) -> None:
    assert not is_retry(message)


def test_spellings_are_compared_so_often_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    class Counting(SequenceMatcher[str]):
        def __init__(self, junk: None, one: str, other: str) -> None:
            compared.append(len(one) * len(other))
            super().__init__(junk, one, other)

    monkeypatch.setattr(statement, "SequenceMatcher", Counting)
    evidence = read_cues("No, it is Schmetterling.", "It is called Schmetling.", "What is its name?")
    assert "another spelling" in evidence.reasons
    assert len(compared) == 1
    compared.clear()
    words = ["ab" + "cdefgh"[at % 6] * (at % 7 + 3) + "xyz"[at % 3] * (at // 42 + 1) for at in range(1_500)]
    read_cues("No, it is " + " ".join(f"ab{at}{'q' * 30}" for at in range(80)), " ".join(words), "What is its name?")
    assert len(compared) <= statement.MOST_PAIRS
    assert max(compared) <= statement.LONGEST_WORD**2
