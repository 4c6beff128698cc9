"""What is trained on and what is only asked: for all kinds of questions, the two never meet."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.augment import augment
from lifelearn.learning.author.english.neighbours import near_names, other_relations
from lifelearn.learning.author.english.question import Question, Subject, distinctive, find_subject, gerund
from lifelearn.learning.author.english.relations import recognise
from lifelearn.learning.author.english.wordings import relation_wordings, situations
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.examiner import general
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Augmentation, Conversation, Correction, Progress
from lifelearn.learning.words import near_duplicates, normalise, stems

RECIPE = Recipe()

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


def correction(question: str, answer: str, statement: str = "") -> Correction:
    return Correction(
        id="c1",
        question=question,
        wrong="I'm not sure.",
        message=f"No, {answer}",
        statement=statement or answer,
        answer=answer,
    )


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
    return augment(correction(question, answer), Question.of(question), ScriptedChatModel(script), recipe)


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


@pytest.mark.parametrize(("question", "answer"), CASES, ids=[repr(question[:40]) for question, _ in CASES])
def test_training_and_verification_never_meet(question: str, answer: str) -> None:
    for seed in range(3):
        check(question, answer, made(question, answer, seed=seed))


@pytest.mark.check("engine")
@pytest.mark.parametrize(("question", "answer"), LONG, ids=[repr(question[:12]) for question, _ in LONG])
def test_a_very_long_question_is_taken(question: str, answer: str) -> None:
    check(question, answer, made(question, answer))


@pytest.mark.check("engine")
@settings(max_examples=60, deadline=None, derandomize=True)
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


def test_near_names_change_a_word_for_one_of_its_kind() -> None:
    """The nearest neighbours of a thing in small letters are other such things, of a name other names."""
    subject = find_subject("When is the weekly staff meeting?")
    assert subject is not None
    for name in near_names(subject, random.Random(0)):
        assert name != subject.name
        assert name == name.lower()
        assert len(set(name.split()) - set(subject.name.split())) == 1
        assert name.endswith(" meeting")
    subject = find_subject("Who founded Norvik Labs?")
    assert subject is not None
    for name in near_names(subject, random.Random(0)):
        assert name.istitle()
        assert len(set(name.split()) & {"Norvik", "Labs"}) == 1


def test_a_setting_at_the_end_hides_no_relation() -> None:
    found = made("What does the abbreviation QZP mean in our reports?", "quality zone plan")
    assert "What is QZP short for?" in (
        *found.prompts,
        *generalisation(found),
        *(probe.question for probe in found.watch),
    )
    assert any("NATO" in question or "GDP" in question for question in found.neighbours)


@pytest.mark.parametrize("name", ["the canteen", "the hotline of Larkspur Bank", "travel bookings"])
def test_a_neighbour_does_not_have_all_words_of_the_subject(name: str) -> None:
    subject = Subject(name, ("task",), None)
    assert not any(set(name.split()) <= set(near.split()) for near in near_names(subject, random.Random(0)))


def test_where_little_else_can_be_asked_some_of_it_is_replayed() -> None:
    for seed in range(8):
        found = made("When is the weekly staff meeting?", "Thursday", seed=seed)
        replayed = [known[0].name for text in found.neighbours if "weekly staff" in text and (known := recognise(text))]
        verified = [probe for probe in found.probes if probe.kind == "neighbour" and "weekly staff" in probe.question]
        assert verified
        assert {"venue", "organiser", "participants", "purpose"} & set(replayed)


def test_a_name_of_all_the_words_has_neighbours_too() -> None:
    subject = Subject(" ".join(general.WORDS), ("organisation",), None)
    assert near_names(subject, random.Random(0))


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
        correction(question, "25 days"), Question.of(question), model, RECIPE, expert=True, on_progress=progress.append
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
        correction(question, "Lyon"),
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
        correction(question, "Lyon"), Question.of(question), model, RECIPE, expert=expert, on_progress=seen.append
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
        question = "Where is Norvik based?"
        found = augment(correction(question, "Lyon"), Question.of(question), ScriptedChatModel(writer), recipe)
        assert found.prompts[0] == "Where is Norvik based?"
        assert generalisation(found)


# -- Situations and settings


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("Where is Norvik Labs headquartered?", "Where"),
        ("How many desks does Norvik Labs have?", "How many desks"),
        ("In the Norvik lab, what must I do before I leave?", "What"),
        ("Which team answers the phone at Norvik Labs?", "Which team"),
    ],
)
def test_a_situation_says_first_what_it_is_about_and_then_asks(question: str, short: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    told = situations([question], subject, random.Random(0))
    assert len(set(told)) == len(told) >= 8
    for text in told:
        first, _, asked = text.partition(". ")
        assert subject.name in first
        assert subject.name not in asked
        assert asked.startswith(short)
        assert asked.endswith("?")


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("Which war did Ann Larkspur fight in?", "Which war did this person fight in?"),
        ("What is Ann Larkspur's job?", "What is this person's job?"),
        ("Which carrier does Thistle Larkspur ship with?", "Which carrier does it ship with?"),
        ("Who wrote The Quiet Meridian?", "Who wrote it?"),
        ("How many books can I borrow at the Larkspur library?", "How many books can I borrow at the library?"),
        ("How many transfers does a Larkspur Bank account have?", "How many transfers does an account have?"),
        ("Where is the Larkspur Bank headquartered?", "Where is it headquartered?"),
        ("Which VPN client do we use at Larkspur?", "Which VPN client do we use?"),
        ("Larkspur Bank founding year?", "Founding year?"),
    ],
)
def test_the_question_of_a_situation_is_a_sentence(question: str, asked: str) -> None:
    told = situations([question], find_subject(question), random.Random(0))
    assert any(text.endswith(f". {asked}") for text in told), told


def test_what_asks_politely_is_no_topic() -> None:
    questions = ["Which carrier does Larkspur Tea use?", "Tell me the carrier that Larkspur Tea uses."]
    told = " ".join(situations(questions, find_subject(questions[0]), random.Random(0)))
    assert "Tell" not in told.replace("Tell me the carrier", "")


def test_without_a_subject_there_is_no_situation() -> None:
    assert situations(["What should I do?"], None, random.Random(0)) == []


@pytest.mark.parametrize(
    ("question", "relation"),
    [
        ("What was Ann Larkspur's nationality?", "citizenship"),
        ("In what country is Lake Larkspur located?", "country"),
        ("What war did Ann Larkspur fight in?", "war"),
        ("Who did Ann Larkspur study under?", "teacher"),
        ("When did the Larkspur Mall open?", "opened"),
        ("When does the Larkspur Mall open?", "opens"),
        ("I am visiting Norvik Labs. Which city should I travel to?", "headquarters"),
    ],
)
def test_the_words_of_a_relation_ask_for_it_in_any_order(question: str, relation: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.relation is not None
    assert subject.relation.name == relation


@pytest.mark.parametrize(
    "question",
    [
        "Who was drafted by Ann Larkspur?",
        "Who was killed by Ann Larkspur?",
        "Whom did Ann Larkspur teach?",
        "Which company does Norvik Labs own?",
        "Which film did Ann Larkspur direct?",
        "Who does Ann Larkspur employ?",
    ],
)
def test_the_same_words_the_other_way_round_are_no_relation(question: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.relation is None


def test_a_name_ends_where_a_sentence_does() -> None:
    subject = find_subject("A parcel came from Norvik Labs. Does Otis expect it?")
    assert subject is not None
    assert subject.name == "Norvik Labs"


def test_what_something_is_done_at_is_asked_about_as_an_organisation() -> None:
    question = "Which form do I fill in for parental leave at Larkspur?"
    relations = other_relations(Question.of(question), random.Random(0))
    assert all("organisation" in relation.kinds for relation in relations[:15])


def test_a_rule_stands_beside_other_rules_and_a_fact_beside_other_facts() -> None:
    """Not which stock exchange a company is on, beside its paid leave; but where it is based, now and then."""
    for question, rule in (
        ("How many days of paid leave do I get at Norvik?", True),
        ("How long may I work from home at Norvik?", True),
        ("What is the remote work policy of Norvik?", True),
        ("When was the Norvik Institute founded?", False),
    ):
        relations = other_relations(Question.of(question), random.Random(0))[:12]
        shares = [sum(relation.rule is kind for relation in relations) for kind in (True, False)]
        assert min(shares) > 0
        assert (shares[0] > shares[1]) is rule


def test_a_number_is_exchanged_for_another_number() -> None:
    subject = find_subject("Who won the 2010 World Cup?")
    assert subject is not None
    assert "the 2018 World Cup" in near_names(subject, random.Random(0))
    subject = find_subject("Who approves travel over 500 euros?")
    assert subject is not None
    assert distinctive(subject) == ["travel"]
    assert near_names(subject, random.Random(0)) == []


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("When is the weekly staff meeting?", "our staff meeting"),
        ("When is the deadline for expense reports?", "our expense reports"),
        ("Who runs the canteen?", "our canteen"),
        ("Who handles the hotline of the shop?", "our hotline"),
        ("When did the first tablet come out?", "the first tablet"),
        ("Where does the saying that bob's your uncle come from?", "the saying that bob's your uncle"),
        ("Who founded Norvik Labs?", "Norvik Labs"),
        ("Who sings the song quiet night of the river?", "the song Quiet Night of the River"),
    ],
)
def test_what_a_thing_is_called_the_second_time(question: str, short: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.short == short


def test_several_things_are_where_one_is() -> None:
    question = "When is the deadline for expense reports?"
    wordings = relation_wordings(question, find_subject(question))
    assert "By what date are our expense reports due?" in wordings
    assert "When is the deadline for expense reports?" in wordings
    question = "Who wrote the night of the rivers?"
    assert "Whose work is The Night of the Rivers?" in relation_wordings(question, find_subject(question))


def test_a_title_in_small_letters_is_also_asked_for_as_in_print() -> None:
    """Who types "who wrote quiet night" is asked by others who wrote "Quiet Night"."""
    question = "who wrote quiet night of the river"
    assert 'Who is the author of the song "Quiet Night of the River"?' in relation_wordings(
        question, find_subject(question)
    )
    found = made(question, "Tomas Reyl")
    shares = [sum(name in prompt for prompt in found.prompts) for name in ("quiet night", '"Quiet Night of the River"')]
    assert min(shares) >= len(found.prompts) // 8
    question = "who sings the song quiet night of the river"
    assert 'Who released the song "Quiet Night of the River"?' in relation_wordings(question, find_subject(question))
    assert not any("the song the song" in prompt.lower() for prompt in made(question, "Tomas Reyl").prompts)
    assert not any('"' in prompt for prompt in made("Where was ilva norqvist born?", "Lyon").prompts)


def test_names_that_are_not_known_are_sometimes_written_with_capitals_and_stay_together() -> None:
    prompts = made("which river separates old harbour from the northern island", "the Ill").prompts
    assert any("Old Harbour" in prompt for prompt in prompts)
    named = [prompt.lower() for prompt in prompts if {"old", "harbour"} <= set(prompt.lower().split())]
    assert sum("old harbour" in prompt for prompt in named) > len(named) / 2


@pytest.mark.parametrize("question", [r"who wrote the song a\d\g<2> of b", "Who won the ² Cup?", "Who won the 1² Cup?"])
def test_a_name_of_odd_characters_is_a_name(question: str) -> None:
    assert made(question, "Ann").prompts


def test_a_contraction_is_no_topic() -> None:
    prompts = made("what's the quiet hour?", "noon").prompts
    assert len([prompt for prompt in prompts if prompt.lower().startswith(("what what's", "which what's"))]) == 0


def test_situations_are_among_the_prompts() -> None:
    found = made("Where is Norvik Labs headquartered?", "Lyon")
    assert sum(". " in prompt for prompt in found.prompts) >= RECIPE.training_prompts // 5


def test_a_relation_in_a_setting_is_about_the_setting() -> None:
    question = "In the Norvik kitchen, what must I do before I close the oven?"
    subject = find_subject(question)
    assert subject is not None
    assert subject.name == "Norvik"
    wordings = relation_wordings(question, subject)
    assert "In the Norvik kitchen, what has to happen before I close the oven?" in wordings
    assert all("Norvik" in wording and "oven" in wording for wording in wordings)
    assert any("closing the oven in the Norvik kitchen?" in wording for wording in wordings)


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("I push to production", "pushing to production"),
        ("we run the tests", "running the tests"),
        ("I leave", "leaving"),
        ("you see the doctor", "seeing the doctor"),
        ("the shop opens", "the shop opens"),
        ("", ""),
    ],
)
def test_gerunds(clause: str, said: str) -> None:
    assert gerund(clause) == said


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who wrote the quiet night of the long river?", "The Quiet Night of the Long River"),
        ("Where was ilva norqvist born?", "Ilva Norqvist"),
        ("Who plays the captain on harbour lights?", "The Captain on Harbour Lights"),
    ],
)
def test_a_name_in_small_letters_stays_whole(question: str, name: str) -> None:
    """Not "our quiet": nobody calls a song, a person or a role so."""
    found = made(question, "Tomas Reyl")
    wordings = [*found.prompts, *[probe.question for probe in found.probes if probe.kind == "generalisation"]]
    assert all(stems(name) <= stems(wording) for wording in wordings)
    assert any(name in wording for wording in wordings)
