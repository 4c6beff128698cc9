"""What is flagged before a model learns it, and what is not."""

from __future__ import annotations

import pytest

from lifelearn.workspace.corrections.flags import KINDS, find, kinds

TOKEN = "ghp_" + "a1B2c3D4e5" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The key is AKIAIOSFODNN7EXAMPLE.", ["secret"]),
        (f"Use {TOKEN} for that", ["secret"]),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", ["secret"]),
        ("The wifi password is swordfish", ["secret"]),
        ("password: hunter2", ["secret"]),
        ("What is the wifi password?", ["secret"]),
        ("Which PIN opens the safe? And what is the door code", ["secret"]),
        ("postgres://admin:geheim@db.example/app", ["secret"]),
        ("It is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ["secret"]),
        ("The seed is q7Xv2LmZp9RtK4wYb8NcD3", ["secret"]),
        ("Write to help.desk+eu@acme-corp.example.org.", ["email"]),
        ("Call +49 30 1234567", ["phone"]),
        ("It is (030) 1234-5678", ["phone"]),
        ("555-123-4567", ["phone"]),
        ("The hotline is 442 118", ["phone"]),
        ("Pay with 4111 1111 1111 1111", ["card"]),
        ("DE89 3704 0044 0532 0130 00", ["iban"]),
        ("GB82WEST12345698765432", ["iban"]),
        ("Mail anna@example.org or call +44 20 7946 0958", ["email", "phone"]),
    ],
)
def test_flagged(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected
    assert kinds("What is it?", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "We have 25 days of leave a year.",
        "It opened on 2024-01-15, at 09:30.",
        "01/02/2024",
        "The budget is 1,250,000 euros, 12.5 % more than in 2023.",
        "Version 3.14.15926535 came out",
        "The population is 83 million (83 200 000).",
        "How do I reset my password?",
        "What is our password policy?",
        "The password is kept in the safe.",
        "Who runs the secret Santa?",
        "state-of-the-art-machine-learning-pipeline",
        "/place/build/acme/src/main/java/com/acme/Application",
        "InternationalizationAndLocalizationService",
        "123e4567-e89b-12d3-a456-426614174000",
        "4111 1111 1111 1112",  # no card: its check digit is wrong
        "DE89 3704 0044 0532 0130 01",
        "Lyon",
        "Ask @anna about it",
        "Room 4.12, building 7",
        "It takes 12345678901234567890 steps",
        "",
    ],
)
def test_not_flagged(text: str) -> None:
    assert find(text) == []


def test_each_is_told_once_in_one_order_with_its_text() -> None:
    found = find("+49 30 1234567 or a@example.org", "a@example.org again")
    assert [(each.kind, each.text) for each in found] == [("email", "a@example.org"), ("phone", "+49 30 1234567")]
    assert set(KINDS) >= {each.kind for each in found}


@pytest.mark.parametrize(
    "text", ["1 " * 20_000, "a@" * 20_000, "password " * 5_000, "-" * 40_000, "A1b" * 20_000, "//:" * 9_999]
)
def test_patterns_do_not_run_away(text: str) -> None:
    find(text)
