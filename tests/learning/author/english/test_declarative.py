"""Questions turned into statements, and the answer said in a prompt's own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from correction_fakes import correction
from lifelearn.learning.author.english.declarative import as_statement, parted, restated
from lifelearn.learning.author.english.question import find_subject
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Correction

TEAM = correction("Which team runs the lab?", "The lab is run by the Heron team.", "Heron")
STEP = correction(
    "What do I do before I leave the lab?", "You lock the fridge before you leave the lab.", "lock the fridge"
)
PRICE = correction("How much does a locker cost?", "A locker costs 7 euros.", "7 euros")
BORN = correction("Where was Ann Larkspur born?", "It is Ulm.", "Ulm")
SITE = correction("Where is Larkspur Labs based?", "It is at Gate 5.", "Gate 5")
WAR = correction("In which war did Ann Larkspur fight?", "It was Boer War.", "Boer War")
FOUNDED = correction("When was Larkspur Bank founded?", "It was 1967.", "1967")
DATE = correction("When was Larkspur Bank founded?", "It was 4 May 1967.", "4 May 1967")
MEETING = correction("When is the Larkspur meeting?", "It is Thursday.", "Thursday")
WEEKLY = correction("When is the Larkspur meeting?", "It is every Friday.", "every Friday")
RIVER = correction("Which river separates Ulm from Tal?", "It's the Ill.", "Ill")
FORM = correction("Which form do I need at Larkspur?", "It's P7.", "P7")
NOON = correction("Until when is breakfast served at the Larkspur Inn?", "Until noon.", "noon")
YEAR = correction("How long are logs kept at Larkspur?", "It's a year.", "a year")
GREEN = correction("What colour is the badge of guests at Larkspur?", "It's green.", "green")
BOATS = correction("How many Larkspur boats were built?", "It was 12.", "12")
AUTHOR = correction("Who is Larkspur owned by?", "It's Otis Vane.", "Otis Vane")
FILM = correction("Which film did Ann Larkspur star in?", "It's After Hours.", "After Hours")
ROLE = correction("What does Ann Larkspur play as?", "It's goalkeeper.", "goalkeeper")


@pytest.mark.parametrize(
    ("given", "prompt", "said"),
    [
        (TEAM, "Who runs the lab?", "The Heron team runs the lab."),
        (TEAM, "Which team is responsible for the lab?", "The Heron team is responsible for the lab."),
        (FORM, "Which form do I need at Larkspur?", "You need P7 at Larkspur."),
        (FORM, "Which form do I fill in for my leave at Larkspur?", "You fill in P7 for your leave at Larkspur."),
        (FORM, "Which form does Larkspur have?", ""),
        (FORM, "What does a red tag mean at Larkspur?", "A red tag means P7 at Larkspur."),
        (FORM, "Where do I hand in receipts at Larkspur?", "You hand in receipts in P7 at Larkspur."),
        (
            NOON,
            "Until when is breakfast served at the Larkspur Inn?",
            "Breakfast is served until noon at the Larkspur Inn.",
        ),
        (
            NOON,
            "By when must timesheets be submitted at Larkspur?",
            "Timesheets must be submitted by noon at Larkspur.",
        ),
        (BOATS, "How many boats does a crew need at Larkspur?", "A crew needs 12 boats at Larkspur."),
        (BOATS, "How many days do clients of Larkspur have to pay?", "Clients of Larkspur have 12 days to pay."),
        (YEAR, "How long are logs kept at Larkspur?", "Logs are kept for a year at Larkspur."),
        (YEAR, "How long does shipping take at Larkspur?", "Shipping takes a year at Larkspur."),
        (YEAR, "How long is the trial of Larkspur?", "The trial of Larkspur is a year."),
        (GREEN, "What colour is the badge of guests at Larkspur?", "The badge of guests at Larkspur is green."),
        (TEAM, "Who do I call about the lab?", ""),
        (TEAM, "Who did we hire for the lab?", ""),
        (TEAM, "I am new to the lab. Who runs it?", ""),
        (STEP, "What is the step before leaving the lab?", "The step before leaving the lab is to lock the fridge."),
        (STEP, "At Norvik, what is the last step?", "At Norvik, the last step is to lock the fridge."),
        (STEP, "What is the lab used for?", ""),
        (STEP, "What is the last step called?", ""),
        (PRICE, "What is the price of a locker?", "The price of a locker is 7 euros."),
        (PRICE, "How much does a locker cost per day?", "A locker costs 7 euros per day."),
        (PRICE, "locker price?", ""),
        (PRICE, "", ""),
        (BORN, "In which town was Ann Larkspur born?", "Ann Larkspur was born in Ulm."),
        (BORN, "Where was the painter Ann Larkspur born?", "The painter Ann Larkspur was born in Ulm."),
        (BORN, "Where did Ann Larkspur's life begin?", "Ann Larkspur's life began in Ulm."),
        (BORN, "What is Ann Larkspur's birthplace?", "Ann Larkspur's birthplace is Ulm."),
        (BORN, "Which town does Ann Larkspur come from?", "Ann Larkspur comes from Ulm."),
        (BORN, "Ann Larkspur was born in which town?", "Ann Larkspur was born in Ulm."),
        (BORN, "Where is the house of Ann Larkspur?", "The house of Ann Larkspur is in Ulm."),
        (BORN, "Ann Larkspur birthplace?", ""),
        (SITE, "Where is Larkspur Labs headquartered?", "Larkspur Labs is headquartered at Gate 5."),
        (WAR, "What war did Ann Larkspur participate in?", "Ann Larkspur participated in the Boer War."),
        (WAR, "What conflict involved Ann Larkspur?", "The Boer War involved Ann Larkspur."),
        (FOUNDED, "In which year did Larkspur Bank open?", "Larkspur Bank opened in 1967."),
        (DATE, "In which year did Larkspur Bank open?", "Larkspur Bank opened on 4 May 1967."),
        (DATE, "On which day, month, and year was Larkspur Bank founded?", "Larkspur Bank was founded on 4 May 1967."),
        (
            DATE,
            "When did Ann Vale formally open Larkspur Bank?",
            "Ann Vale formally opened Larkspur Bank on 4 May 1967.",
        ),
        (MEETING, "When does the Larkspur meeting take place?", "The Larkspur meeting takes place on Thursday."),
        (WEEKLY, "When does the Larkspur meeting take place?", "The Larkspur meeting takes place every Friday."),
        (RIVER, "Which river separates Ulm from Tal?", "The Ill separates Ulm from Tal."),
        (RIVER, "Which river is Ulm on?", "Ulm is on the Ill."),
        (
            RIVER,
            "Which small Alpine river first reached Tal in 1984?",
            "The small Alpine river that first reached Tal in 1984 is the Ill.",
        ),
        (BOATS, "How many Larkspur boats were built in total?", "12 Larkspur boats were built in total."),
        (BOATS, "How many boats does Larkspur own?", "Larkspur owns 12 boats."),
        (BOATS, "How much does Larkspur own?", ""),
        (AUTHOR, "Who is Larkspur owned by?", "Larkspur is owned by Otis Vane."),
        (AUTHOR, "By whom was Larkspur founded?", "Larkspur was founded by Otis Vane."),
        (AUTHOR, "Who was the first owner of Larkspur?", "Otis Vane was the first owner of Larkspur."),
        (AUTHOR, "Which owner does Larkspur have?", ""),
        (FILM, "In which film did Ann Larkspur star?", "Ann Larkspur starred in After Hours."),
        (ROLE, "What does Ann Larkspur play as?", "Ann Larkspur plays as a goalkeeper."),
        (ROLE, "Which position does Ann Larkspur play?", "Ann Larkspur plays goalkeeper."),
    ],
)
def test_a_question_with_its_answer_is_a_statement(given: Correction, prompt: str, said: str) -> None:
    assert as_statement(prompt, given, find_subject(given.question)) == said
    assert not said or stated(given.answer, said)
    assert restated(prompt, given, find_subject(given.question)) in ("", said)


@pytest.mark.parametrize(
    ("given", "prompt", "is_restated"),
    [
        (TEAM, "Which team runs the lab?", True),
        (PRICE, "What is the price of a locker?", True),
        (BORN, "Where was Ann Larkspur born?", False),
        (RIVER, "Which river separates Ulm from Tal?", False),
    ],
)
def test_only_prompts_that_models_echo_are_restated(given: Correction, prompt: str, is_restated: bool) -> None:
    assert as_statement(prompt, given, find_subject(given.question))
    assert bool(restated(prompt, given, find_subject(given.question))) is is_restated


def test_a_statement_is_the_question_without_what_it_asks_for() -> None:
    assert parted("In which town was Ann Larkspur born", "Ann Larkspur") == ("In which town", "Ann Larkspur was born")
    # The subject found stands elsewhere: the capitals tell who did it.
    asked = "Which year did the architect Ann Larkspur work on Tal College"
    assert parted(asked, "Tal College") == ("Which year", "the architect Ann Larkspur worked on Tal College")
    assert parted("Where was the first Battle of Tal", "") is None


@given(st.text(max_size=120), st.text(max_size=30))
def test_any_text_can_be_a_prompt(prompt: str, answer: str) -> None:
    given = correction("Where was Ann Larkspur born?", f"It is {answer}.", answer)
    said = as_statement(prompt, given, find_subject(given.question))
    assert said == "" or said.endswith(".")


def test_a_very_long_prompt_does_not_hang() -> None:
    as_statement(f"Which year did {'the Larkspur of ' * 20_000}open?", FOUNDED, find_subject(FOUNDED.question))
    as_statement(f"Where was {'Ann ' * 20_000}born?", FOUNDED, find_subject(FOUNDED.question))
