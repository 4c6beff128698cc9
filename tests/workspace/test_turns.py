"""Whose answer the model goes on with."""

from __future__ import annotations

from collections import Counter

from lifelearn.workspace.turns import READ, WRITTEN, Turns


def served(turns: Turns, rounds: int, reading: frozenset[int] = frozenset()) -> list[int]:
    found = []
    for _ in range(rounds):
        number = turns.next()
        turns.used(number, READ if number in reading else WRITTEN)
        found.append(number)
    return found


def test_organisations_have_equal_shares_however_many_answers_they_have() -> None:
    turns = Turns()
    for number in range(40):
        turns.add(number, "many")
    turns.add(40, "one")
    shares = Counter(served(turns, 400))
    assert shares[40] == 200
    assert {shares[number] for number in range(40)} == {5}


def test_who_comes_anew_is_served_at_once_and_has_saved_nothing_up() -> None:
    turns = Turns()
    turns.add(1, "a")
    served(turns, 1000)
    turns.add(2, "a")
    turns.add(3, "b")
    assert set(served(turns, 3)) >= {2, 3}
    assert Counter(served(turns, 400))[3] == 200


def test_a_long_prompt_is_read_between_the_words_of_others() -> None:
    turns = Turns()
    turns.add(1, "a")
    turns.add(2, "a")
    found = served(turns, 90, reading=frozenset({1}))
    assert found.count(1) == 10
    assert max(len(part) for part in "".join(map(str, found)).split("1")) == READ


def test_who_leaves_is_no_longer_asked() -> None:
    turns = Turns()
    for number, organization in ((1, "a"), (2, "a"), (3, "b")):
        turns.add(number, organization)
    turns.remove(3)
    turns.remove(3)
    assert (len(turns), turns.count("a"), turns.count("b")) == (2, 2, 0)
    assert set(served(turns, 4)) == {1, 2}
