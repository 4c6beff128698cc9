"""Normal forms and stems."""

from __future__ import annotations

from lifelearn.learning.words import normalise, stem, stems


def test_normalise() -> None:
    assert normalise("  It’s  “Ｌｙｏｎ”, NOT Paris! ") == "it s lyon not paris"
    assert normalise("नमस्ते") == "नमस्ते"
    assert normalise("!?") == ""


def test_stems_match_forms_of_a_word() -> None:
    assert stem("ordered") == stem("orders") == stem("order")
    assert stems("Acme's tests worked") == stems("Acme test works")
    assert stem("is") == "is"
