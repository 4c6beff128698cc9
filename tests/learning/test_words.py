"""Normal forms and stems."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as some

from lifelearn.learning.words import SUFFIXES, clean, normalise, stem, stems


def test_normalise() -> None:
    assert normalise("  It’s  “Ｌｙｏｎ”, NOT Paris! ") == "it s lyon not paris"
    assert normalise("नमस्ते") == "नमस्ते"
    assert normalise("!?") == ""


def test_stems_match_forms_of_a_word() -> None:
    assert stem("ordered") == stem("orders") == stem("order")
    assert stems("Acme's tests worked") == stems("Acme test works")
    assert stem("is") == "is"


def stem_by_steps(word: str) -> str:
    """What a stem is, a suffix at a time; for short words."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return stem_by_steps(word.removesuffix(suffix))
    return word


@given(some.one_of(some.text(max_size=40), some.lists(some.sampled_from(["wor", "k", *SUFFIXES])).map("".join)))
def test_a_stem_is_what_is_left_without_suffixes(word: str) -> None:
    assert stem(word[:100]) == stem_by_steps(word[:100])


def test_a_stem_of_any_length() -> None:
    assert stem("s" * 20_000) == "sss"
    assert stems("ß" * 980) == {"sss"}
    assert stem("ab" + "ing" * sys.getrecursionlimit()) == "abing"


def test_white_space_in_a_row_is_one() -> None:
    assert clean("  It   is\t\tLyon.\n \n\n  Not  Paris ") == "It is Lyon.\nNot Paris"
    assert clean("a\u00a0\u2003b \r\n c") == "a b\nc"
