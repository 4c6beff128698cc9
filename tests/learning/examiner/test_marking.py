"""Whether a text states an answer."""

from __future__ import annotations

import pytest

from lifelearn.learning.examiner.marking import stated


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("25", "You get twenty-five days."),
        ("two", "There are 2 of them."),
        ("25 days", "You get 25 paid vacation days."),
        ("Lyon", "Not Paris but Lyon."),
        ("Lyon", "No, Lyon."),
        ("Lyon", "It is not in Paris. It is in Lyon."),
        ("Lyon", "It is not only in Lyon."),
        ("49 euros", "It costs €49 a month."),
        ("49 euros", "49 € a month"),
        ("$1,000", "It is 1000 dollars."),
        ("10 am", "Thursdays at 10am"),
        ("Thursday", "It is on Thursdays."),
        ("the Zephyr team", "Orion is supported by the ZEPHYR team."),
        ("Québec", "It is in quebec."),
        ("São Paulo", "SÃO PAULO."),
        ("堪培拉", "首都是堪培拉。"),
        ("80 percent", "about 80% of it"),
        ("not covered", "Dental care is not covered."),
        ("R&D", "Ask R&D."),
        ("RX-7", "It is the RX-7."),
        ("December 29, 1998", "The answer is December 29, 1998."),
        ("Brown, Shipley & Co.", "It was Brown, Shipley & Co. in the end."),
        (
            "First run the automated tests, then get a code review, then merge, then push to production",
            "You run the automated tests, get a code review, merge it and finally push to production.",
        ),
    ],
)
def test_stated(answer: str, text: str) -> None:
    assert stated(answer, text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("25", "It is 125."),
        ("25", "In 2025."),
        ("25", "It costs 25.50 euros."),
        ("5", "twenty-five"),
        ("Lyon", "It is not in Lyon."),
        ("Lyon", "It isn’t Lyon, it is Paris."),
        ("Lyon", "Lyon is wrong."),
        ("Lyon", "Paris instead of Lyon."),
        ("Lyon", "The Lyonnaise kitchen"),
        ("25 days", "25 weeks, and 3 days."),
        ("Zephyr team", "The team is called Zephyr."),
        ("", "Anything."),
        ("!", "Anything!"),
        ("Lyon", ""),
        (
            "First run the automated tests, then get a code review, then merge, then push to production",
            "Push to production, then merge, then get a code review, and finally run the automated tests.",
        ),
        ("First run the automated tests, then get a code review, then merge, then push to production", "Push it."),
    ],
)
def test_not_stated(answer: str, text: str) -> None:
    assert not stated(answer, text)
