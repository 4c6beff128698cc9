"""Words that are looked for in columns of text. Knows no tables."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

from lifelearn.workspace.texts import cleaned

SEARCH_CHARS, SEARCH_WORDS = 200, 8


def words_of(search: str) -> list[str]:
    return cleaned(search, one_line=True)[:SEARCH_CHARS].split()[:SEARCH_WORDS]


def contains(column: InstrumentedAttribute[str], word: str) -> ColumnElement[bool]:
    """Whether a text has the word, large or small. SQLite knows the case of ASCII only, so it is told the others."""
    forms = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    return or_(*(column.icontains(form, autoescape=True) for form in sorted(forms)))
