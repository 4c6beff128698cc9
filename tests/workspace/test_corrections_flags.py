"""What is flagged before a model learns it, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from lifelearn.workspace.corrections import flags
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
        ("Pay with 3782 822463 10005 or so", ["card"]),
        ("In row 7 4111 1111 1111 1111", ["card"]),
        ("4111111111111111", ["card"]),
        ("From AB12 DE89 3704 0044 0532 0130 00 to us", ["iban"]),
        ("PL61 1090 1014 0000 0712 1981 2874 from Anna", ["iban"]),
        ("Her number is 123-45-6789", ["identity"]),
        ("Her SSN is 123456789", ["identity"]),
        ("The tax number is 36 574 261 809", ["identity"]),
        ("2 95 10 99 126 111 93", ["identity"]),
        ("54362315K", ["identity"]),
        ("x2482300w", ["identity"]),
        ("RCCMNL83S18D969H", ["identity"]),
        ("AB 12 34 56 C", ["identity"]),
        ("85.07.30-033.28", ["identity"]),
        ("756.9217.0769.85", ["identity"]),
        ("131052-308T", ["identity"]),
        ("880320-0016", ["identity"]),
        ("15108695088", ["identity"]),
        ("390.533.447-05", ["identity"]),
        ("BOXW310820HNERXN09", ["identity"]),
        ("Her PESEL: 44051401359", ["identity"]),
        ("BSN 111222333", ["identity"]),
        ("CPR-nummer 211062-5629", ["identity"]),
        ("NHS number 943 476 5870", ["identity"]),
        ("The social insurance number 123 456 782", ["identity"]),
        ("TFN: 123 456 782", ["identity"]),
        ("Aadhaar 2341 2341 2346", ["identity"]),
        ("Ring ＋49 30 1234567", ["phone"]),
        ("0049 30 1234567", ["phone"]),
        ("tel:+1-202-555-0143", ["phone"]),
        ("eyJhbGciOiJub25l.eyJzdWIiOiJhbm5h.", ["secret"]),
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
        "2001 2002 2003 2004 2005 2006",
        "44051401359",  # an identity number only if it is named
        "111222333",
        "Part 12345678A",  # its letter is wrong
        "Our VAT number is GB 12 34 56 C7",
        "000-12-3456",
        "ISBN 978-3-16-148410-0",
        "192.168.100.200",
        "UTC+01:00",
        "It costs 12 000 000 000 euros",
        "We sat down to 123456782",  # nor does "sin" name one
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


@pytest.mark.parametrize("text", ["Her SSN is 123-45-6789.", "Call +49 30 1234567.", "The password is swordfish."])
def test_the_whole_text_is_looked_at(text: str) -> None:
    before, after = "It rained. " * 9_000, " It rained." * 9_000
    assert kinds(f"{before}{text}{after}") == kinds(text) != []


def test_a_word_names_what_is_near() -> None:
    assert kinds("Call us. " + "It rained. " * 10 + "The code of the door to room 7 has 442118 parts") == []
    assert kinds("It rained. " * 10 + "Call us: 442118") == ["phone"]


def test_what_one_kind_has_taken_is_no_other_s() -> None:
    found = find("DE89 3704 0044 0532 0130 00, 4111 1111 1111 1111, 880320-0016, +49 30 1234567 and 030 7654321")
    assert [(each.kind, each.text) for each in found] == [
        ("card", "4111 1111 1111 1111"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("identity", "880320-0016"),
        ("phone", "+49 30 1234567"),
        ("phone", "030 7654321"),
    ]


LONG = ["1 ", "a@", "password ", "-", "A1b", "//:", "eyJ-", "4111 1111 1111 1112 ", "AB12 ", "call 123456 ", "+1", "1."]


@pytest.mark.parametrize("part", LONG)
def test_patterns_do_not_run_away(part: str) -> None:
    find(part * (100_000 // len(part)))


@pytest.mark.parametrize("part", LONG)
def test_numbers_are_tried_as_often_as_a_text_is_long(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Counter[int]()
    sizes = (5_000, 20_000)
    for size in sizes:

        def counted(real: Callable[..., Any], size: int = size) -> Callable[..., Any]:
            def judge(*given: Any) -> Any:
                tried[size] += 1
                return real(*given)

            return judge

        with monkeypatch.context() as patched:
            for name in ("_is_card", "_is_phone", "_is_random", "_iban", "_identity"):
                patched.setattr(flags, name, counted(getattr(flags, name)))
            find(part * (size // len(part)))
    assert all(tried[size] <= size for size in sizes)
