"""The marker: what it takes for right, for wrong, and what it leaves to people."""

from __future__ import annotations

import pytest

from lifelearn.bench.marker import mark, same, says

LEAVE = "How many days of leave do we get?"


@pytest.mark.parametrize(
    ("wanted", "reply"),
    [
        ("25 days", "You get 25 days."),
        ("25 days", "Twenty-five days a year."),
        ("25 days", "25"),
        ("25 days", "25 paid working days per year."),
        ("25 days", "It was 20 days; now it's 25 days."),
        ("12,500", "It makes 12 500 tonnes."),
        ("7.50 Nm", "Tighten them to 7.5 Nm."),
        ("12.5 per cent", "The charge is 12.5%."),
        ("25 EUR", "The allowance is €25."),
        ("3,500 dollars", "A budget of $3,500.00."),
        ("5 °C", "At five degrees Celsius."),
        ("-70 °C", "It is kept at minus 70 °C."),
        ("3 June 1998", "On June 3rd, 1998."),
        ("2026-03-15", "The deadline is 15 March 2026."),
        ("1 November", "From November 1st."),
        ("2 pm", "It closes at 14:00."),
        ("7:30 pm", "Until half past seven in the evening."),
        ("10:30", "Breakfast ends at 10.30."),
        ("10:30", "Not before 10:30."),
        ("until 2 pm", "2 p.m."),
        ("noon", "At 12 o'clock noon."),
        ("the second Saturday of August", "Second Saturday in August."),
        ("26 to 28 °C", "Between 26 and 28 °C."),
        ("smart casual", "The dress code is smart-casual."),
        ("OatLoom", "It's called oatloom."),
        ("load_frame()", "You call `load_frame()` for that."),
        ("WH-7", "They start with WH7."),
        ("Ms Okafor", "Okafor approves them."),
        ("Bodø", "It flies to Bodø."),
        ("the Heron team", "The Heron team's on call."),
        ("two reviewers", "It needs 2 reviewers."),
        ("Building D", "The canteen moved out of Building A and is now in Building D."),
        ("yes", "Yes, it does."),
    ],
)
def test_right(wanted: str, reply: str) -> None:
    assert mark(reply, [wanted], ["20 days", "Building A"]) == "right"


@pytest.mark.parametrize(
    ("wanted", "reply"),
    [
        ("25 days", ""),
        ("25 days", "   \n"),
        ("25 days", "I don't have that information."),
        ("25 days", "You get 20 days."),
        ("25 days", "You get 25 weeks."),
        ("25 days", "You get 125 days."),
        ("25 days", "It isn't 25 days."),
        ("25 days", "Between 20 and 25 days."),
        ("25 days", "20 to 25 days"),
        ("25 days", "It's 20 days or 25 days."),
        ("25 days", "No longer 25 days, but fewer."),
        ("25", "25 hours"),
        ("25 EUR", "The allowance is 25 US dollars."),
        ("14 kg", "It weighs 14 grams."),
        ("2 pm", "At 2 am."),
        ("3 June 1998", "On 3 June 1989."),
        ("C307", "In room C3071."),
        ("WH-7", "They start with WH-77."),
        ("Ferro", "It's called Ferronite."),
        ("April", "The claim that it starts in April is wrong."),
        ("third floor", "You won't find it on the third floor."),
        ("mustard yellow", "Every colour but mustard yellow."),
        ("yes", "No, it doesn't."),
    ],
)
def test_wrong(wanted: str, reply: str) -> None:
    assert mark(reply, [wanted], ["20 days"], question=LEAVE) == "wrong"


@pytest.mark.parametrize(
    ("wanted", "reply", "lang"),
    [
        ("25 Tage", "Es sind 25 Tage.", "de"),
        ("run the tests, tag the build, push the tag", "Run the tests and push the tag.", "en"),
        ("Opened items can be returned within 14 days", "Within 14 days, opened or not.", "en"),
        ("25 days", "I think it's 25 days.", "en"),
        ("25 days", "25 days, and after ten years 30 days.", "en"),
        ("25 days", "25 plumbers came.", "en"),
        ("Mirela Santoff", "Ask Santoff.", "en"),
        ("delivery by cargo bike", "They're delivered by cargo bikes.", "en"),
        ("25 days", "You get 20 days. No, sorry: 25 days.", "en"),
        ("14 days", "Two weeks.", "en"),
        ("yes", "It does.", "en"),
        ("25th", "On the 25th of January.", "en"),
        (";", "A semicolon.", "en"),
    ],
)
def test_not_its_own(wanted: str, reply: str, lang: str) -> None:
    assert mark(reply, [wanted], lang=lang) == "not mine"


def test_words_of_the_question_may_be_left_out() -> None:
    assert mark("7.", ["Gate 7"], question="Which gate do trucks use?") == "right"
    assert mark("Gate 2.", ["Gate 7"], question="Which gate do trucks use?") == "wrong"


def test_any_accepted_form_does_and_any_other_asserted_makes_it_wrong() -> None:
    assert mark("42 cents a mile", ["0.42", "42 cents"]) == "right"
    assert mark("It's Moka Lane.", ["Bean Harbour"], ["Moka Lane"]) == "wrong"
    assert mark("Not Moka Lane, but Bean Harbour.", ["Bean Harbour"], ["Moka Lane"]) == "right"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("25 Tage", "25  tage.", True),
        ("la Torre Nera", "Torre Nera", True),
        ("12.500 €", "12500 €", True),
        ("3,5 Stunden", "3.5 Stunden", True),
        ("Lyon", "Paris", False),
        ("25 Tage", "25", False),
        ("", "", False),
    ],
)
def test_short_answers_in_any_language(one: str, other: str, alike: bool) -> None:
    assert same(one, other) is alike


def test_a_sentence_says_a_value() -> None:
    assert says("Bei Brandwerk sind es 25 Tage im Jahr.", "25 Tage", lang="de")
    assert not says("Bei Brandwerk sind es 125 Tage im Jahr.", "25 Tage", lang="de")
    assert says("It's twenty-five days there.", "25 days")


@pytest.mark.parametrize("text", ["(" * 5_000, "9" * 50_000, "a1 " * 20_000, "half past " * 5_000, "\u0300" * 9_999])
def test_what_nobody_would_write_is_read_in_time(text: str) -> None:
    assert mark(text, ["25 days"], ["20 days"], question=text) in ("wrong", "not mine")
