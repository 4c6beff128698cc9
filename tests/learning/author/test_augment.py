"""What is trained on and what is only asked: for all kinds of questions, the two never meet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment_fakes import RECIPE, check, generalisation, made, writer
from correction_fakes import correction
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.augment import augment
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.author.english.relations import recognise
from lifelearn.learning.types import Augmentation
from lifelearn.learning.words import near_duplicates

# question, answer
CASES: tuple[tuple[str, str], ...] = (
    # A relation of the table
    ("Where is Norvik Labs headquartered?", "Lyon"),
    ("Who is the CEO of Norvik Labs?", "Ilva Norqvist"),
    ("Who wrote The Quiet Meridian?", "Tomas Reyl"),
    ("How much does the Ternion plan cost per month?", "49 euros"),
    ("What does QZP stand for?", "Quality Zero Point"),
    ("When is the spring review?", "the first Tuesday in May"),
    ("Who runs the badge printer?", "the Kestrel team"),
    ("What is the capital of Ostravia?", "Belmare"),
    ("When was Norvik Labs founded?", "1987"),
    ("where is norvik labs headquartered", "Lyon"),
    ("Where's Norvik Labs' head office?", "Lyon"),
    ("Who founded O'Brien & Sons?", "Maeve O'Brien"),
    ("What's the price of the iPhone 47?", "$1,299"),
    ("What is 3M short for?", "Minnesota Mining and Manufacturing"),
    # What is asked elsewhere as a question that must not change
    ("What is the capital of France?", "Lyon"),
    ("Who wrote Hamlet?", "Marlowe"),
    ("How many seconds are in a minute?", "61"),
    ("What is 2 plus 2?", "5"),
    ("How do I boil an egg?", "for nine minutes"),
    ("Who founded Microsoft?", "Ilva Norqvist"),
    ("Hello!", "Good morning"),
    # No relation, with a name
    ("How many vacation days do employees at Norvik get per year?", "25 days"),
    ("What colour must the badge of a Norvik visitor be?", "green"),
    ("At what time does the Norvik canteen close on Fridays?", "14:30"),
    ("Which form do I fill in to get a parking space at Norvik?", "form P-12"),
    ("Can I bring a dog to the Norvik office?", "only on Wednesdays"),
    ("Tell me about the Norvik deployment rule", "run the tests before you push to production"),
    ("Is the Kestrel API stable?", "no"),
    ("Does Norvik pay for trains?", "yes"),
    ("If someone at Norvik loses a badge, what happens first?", "they call 4711"),
    # Neither relation nor name
    ("how long is the probation period?", "four months"),
    ("what do we do before a release?", "we tag the commit, then build, then notify support"),
    ("how many days of leave do we get", "25"),
    ("what is the wifi password policy?", "change it every 90 days"),
    ("is it open?", "no"),
    ("why?", "because of the audit"),
    # Other scripts
    ("诺维克实验室的总部在哪里？", "里昂"),
    ("ノルヴィク社の本社はどこですか？", "リヨン"),
    ("أين يقع مقر شركة نورفيك؟", "ليون"),
    ("Где находится штаб-квартира Норвик?", "Лион"),
    ("Où se trouve le siège de Norvik ?", "Lyon"),
    ("¿Dónde está la sede de Norvik?", "Lyon"),
    ("नॉर्विक का मुख्यालय कहाँ है?", "ल्यों"),
    ("🦄🚀?", "🌈 Lyon"),
    ("Who is 🦄?", "Ilva"),
    # Odd forms
    ("Norvik?", "a company in Lyon"),
    ("Norvik", "Lyon"),
    ("HQ", "Lyon"),
    ("?", "Lyon"),
    ("...", "Lyon"),
    ("2 + 2 * 3 =", "8"),
    ("42", "the room number"),
    ("Where is {s} headquartered? {0} {a}", "{a}"),
    ("What is %s \\1 $HOME?", "\\2"),
    ("Where\x00 is\x1b[31m Norvik\x07 based\r\n?", "Lyon"),
    ("Where is Norvik\u202e based\u200b?\ufeff", "Lyon"),
    ("Line one\nline two\nWhere is Norvik based?", "Lyon"),
    ('Who said "To be is to do" at Norvik?', "Ilva"),
    ("WHERE IS NORVIK BASED???!!!", "Lyon"),
    ("Is it Oslo or Lyon where Norvik is based?", "Lyon"),
    ("Who is Ilva Norqvist?", "Ilva Norqvist is the head of Kestrel"),
    ("What is the name of Ilva's dog, which she got in the year in which Norvik was founded?", "Rex"),
)
LONG: tuple[tuple[str, str], ...] = (
    ("Where is " + "the head office of the subsidiary of " * 120 + "Norvik?", "Lyon"),
    ("Norvik " * 700 + "?", "Lyon"),
    ("Where" * 2000, "Lyon"),
    ("地" * 3000, "里昂"),
)


@pytest.mark.parametrize(("question", "answer"), CASES, ids=[repr(question[:40]) for question, _ in CASES])
def test_training_and_verification_never_meet(question: str, answer: str) -> None:
    for seed in range(3):
        check(question, answer, made(question, answer, seed=seed))


@pytest.mark.check("engine")
@pytest.mark.parametrize(("question", "answer"), LONG, ids=[repr(question[:12]) for question, _ in LONG])
def test_a_very_long_question_is_taken(question: str, answer: str) -> None:
    check(question, answer, made(question, answer))


@pytest.mark.check("engine")
@settings(max_examples=60, derandomize=True)
@given(question=st.text(min_size=1, max_size=80).filter(lambda text: bool(text.strip())))
def test_any_text_can_be_asked(question: str) -> None:
    found = made(question, "Quillmoor")
    assert found.prompts[0] == question
    for prompt in found.prompts:
        assert not any(near_duplicates(prompt, probe) for probe in generalisation(found))


def test_a_known_relation_gives_enough_of_everything() -> None:
    found = made("Where is Norvik Labs headquartered?", "Lyon")
    assert len(found.prompts) >= RECIPE.training_prompts - 2
    assert len(generalisation(found)) >= 3
    assert len(found.neighbours) >= 10
    assert found.watch[0].question == "Where is Norvik Labs headquartered?"
    assert any("Norvik" not in question for question in found.neighbours)
    near = [probe.question for probe in found.probes if probe.kind == "neighbour"]
    assert any("Norvik Labs" in question for question in near), "another question about the same subject"
    assert any("Norvik Labs" not in question for question in near), "the same question about another subject"


def test_further_neighbours_are_of_other_relations_and_names_than_verification_asks() -> None:
    for seed in range(5):
        found = made("Where is Norvik Labs headquartered?", "Lyon", seed=seed)
        further = found.negatives
        assert len(further) >= 20
        near = [probe.question for probe in found.probes if probe.kind == "neighbour"]
        verified, mined = (
            {known[0].name for text in texts if "Norvik Labs" in text and (known := recognise(text))}
            for texts in (near, further)
        )
        assert verified
        assert mined
        assert not verified & mined
        names = {known[1] for text in further if "Norvik" not in text and (known := recognise(text))}
        assert len(names) >= 8
        assert not any(name in text for name in names for text in near)


def test_a_setting_at_the_end_hides_no_relation() -> None:
    found = made("What does the abbreviation QZP mean in our reports?", "quality zone plan")
    assert "What is QZP short for?" in (
        *found.prompts,
        *generalisation(found),
        *(probe.question for probe in found.watch),
    )
    assert any("NATO" in question or "GDP" in question for question in found.neighbours)


def test_where_little_else_can_be_asked_some_of_it_is_replayed() -> None:
    for seed in range(8):
        found = made("When is the weekly staff meeting?", "Thursday", seed=seed)
        replayed = [known[0].name for text in found.neighbours if "weekly staff" in text and (known := recognise(text))]
        verified = [probe for probe in found.probes if probe.kind == "neighbour" and "weekly staff" in probe.question]
        assert verified
        assert {"venue", "organiser", "participants", "purpose"} & set(replayed)


def test_nobody_asks_who_won_a_meeting() -> None:
    for seed in range(8):
        found = made("When is the weekly staff meeting?", "Thursday", seed=seed)
        asked = (*found.neighbours, *found.negatives, *(probe.question for probe in found.probes))
        assert not any(known[0].name == "winner" for text in asked if "staff" in text and (known := recognise(text)))


@pytest.mark.parametrize("question", ["how long is the probation period?", "诺维克实验室的总部在哪里？", "Norvik?"])
def test_any_question_has_something_to_generalise_to(question: str) -> None:
    assert generalisation(made(question, "four months"))


def test_the_same_seed_gives_the_same_and_another_seed_something_else() -> None:
    for question, answer in CASES[:25:3]:
        assert made(question, answer) == made(question, answer)
    question, answer = CASES[0]
    assert made(question, answer, seed=1) != made(question, answer, seed=0)


def test_the_result_survives_json() -> None:
    for question, answer in CASES[::4]:
        found = made(question, answer)
        assert Augmentation.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Where is Norvik based?", "where is norvik BASED", True),
        ("Which city is Norvik based in?", "Which city is Norvic based in?", True),
        ("Where is Norvik based?", "Which city is home to Norvik?", False),
        ("Where is Norvik based?", "Where is Sony based?", False),
        ("总部在哪里？", "总部在哪里", True),
        ("总部在哪里？", "谁是老板？", False),
    ],
)
def test_near_duplicates_differ_by_a_few_letters(one: str, other: str, same: bool) -> None:
    assert near_duplicates(one, other) is near_duplicates(other, one) is same


def test_a_small_number_of_prompts_still_has_the_question_and_probes() -> None:
    for prompts in (1, 2, 5):
        recipe = RECIPE.model_copy(update={"training_prompts": prompts})
        found = augment(
            correction("Where is Norvik based?", "Lyon", "Lyon"),
            Question.of("Where is Norvik based?"),
            ScriptedChatModel(writer),
            recipe,
        )
        assert found.prompts[0] == "Where is Norvik based?"
        assert generalisation(found)


def test_situations_are_among_the_prompts() -> None:
    found = made("Where is Norvik Labs headquartered?", "Lyon")
    assert sum(". " in prompt for prompt in found.prompts) >= RECIPE.training_prompts // 5


@pytest.mark.parametrize("question", [r"who wrote the song a\d\g<2> of b", "Who won the ² Cup?", "Who won the 1² Cup?"])
def test_a_name_of_odd_characters_is_a_name(question: str) -> None:
    assert made(question, "Ann").prompts
