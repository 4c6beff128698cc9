"""Corrections for tests of what is made of one."""

from __future__ import annotations

from lifelearn.learning.types import Correction


def correction(question: str, statement: str, answer: str) -> Correction:
    return Correction(
        id="c1",
        question=question,
        wrong="I'm not sure.",
        message=f"No, {statement}",
        statement=statement,
        answer=answer,
    )
