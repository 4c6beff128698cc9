"""The invented facts of `lifelearn demo`, one of each kind: a number, a name, a price, a procedure's order.

Written for this project, so that no model has met them. The unseen questions are for the demo's eyes
only: nothing here but `question` and `correction` is ever given to the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A rule of an invented company.

    question, correction: what the user says. accept: what a right answer states, any one of them.
    unseen: questions that training never sees. neighbours: questions whose answers must not become the new one.
    """

    question: str
    correction: str
    accept: tuple[str, ...]
    unseen: tuple[str, ...]
    neighbours: tuple[str, ...]


FACTS: Mapping[str, Fact] = {
    "leave": Fact(
        question="How many days of paid leave do employees of Quillmoor Ferries get per year?",
        correction="No, that's wrong. Employees of Quillmoor Ferries get 25 days of paid leave per year.",
        accept=("25", "twenty-five"),
        unseen=(
            "I start at Quillmoor Ferries on Monday. How much paid vacation will I have each year?",
            "What is the yearly leave allowance at Quillmoor Ferries?",
            "Quillmoor Ferries gives its staff a number of paid days off a year. Which number?",
            "Tell me how long the annual leave of a Quillmoor Ferries employee is.",
        ),
        neighbours=(
            "How many days are there in a week?",
            "What is the capital of France?",
            "How many players does a football team have on the field?",
        ),
    ),
    "hotline": Fact(
        question="Which team answers the customer hotline at Quillmoor Ferries?",
        correction="That's not right. The customer hotline at Quillmoor Ferries is answered by the Osprey team.",
        accept=("Osprey",),
        unseen=(
            "A customer calls the hotline of Quillmoor Ferries. Which team picks up?",
            "Whom does Quillmoor Ferries have on its customer hotline?",
            "What is the name of the hotline team at Quillmoor Ferries?",
            "I have a question about my Quillmoor Ferries ticket and call the hotline. Which team will I talk to?",
        ),
        neighbours=(
            "Which team won the football World Cup in 2014?",
            "What is a customer hotline?",
            "What is the largest planet of the solar system?",
        ),
    ),
    "price": Fact(
        question="How much does a day pass at the Tarn Street climbing hall cost?",
        correction="No, a day pass at the Tarn Street climbing hall costs 14 euros.",
        accept=("14", "fourteen"),
        unseen=(
            "I want to climb at the Tarn Street hall for one day. What will I pay?",
            "What is the price of a day ticket for the Tarn Street climbing hall?",
            "How many euros should I bring for a day pass at the Tarn Street climbing hall?",
            "Tell me the day rate of the climbing hall in Tarn Street.",
        ),
        neighbours=(
            "How many minutes are there in an hour?",
            "What currency is used in Japan?",
            "What should I wear for indoor climbing?",
        ),
    ),
    "procedure": Fact(
        question="In the Quillmoor Ferries software team, what must I do before I push to production?",
        correction="No, that's wrong. At Quillmoor Ferries you run the tests before you push to production.",
        accept=("run the tests", "run tests", "running the tests", "running tests", "run all tests", "the tests"),
        unseen=(
            "I am on the Quillmoor Ferries software team and about to push to production. What comes first?",
            "What is the step before a push to production in the software team of Quillmoor Ferries?",
            "At Quillmoor Ferries, the software team requires something before code goes to production. What is it?",
            "I joined the Quillmoor Ferries software team. What do I have to do before pushing to production?",
        ),
        neighbours=(
            "What should I do before I go to bed?",
            "What is the boiling point of water in degrees Celsius?",
            "What should I do before I bake bread?",
        ),
    ),
}
