"""Whose answer the model goes on with: organisations take turns, and within each its answers.

Who has used least is next. Whoever comes anew starts level with the others: not behind, and with nothing saved up.
Counts work and no time, so that a machine that is slow or busy decides nothing. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

AT_ONCE = 16  # answers that take turns; others wait
READ, WRITTEN = 8, 1  # what a part of a prompt costs and what a token does, by about how long they take


@dataclass
class _Used:
    """Something that takes turns, and what it has used so far."""

    work: int = 0


@dataclass
class _Organization(_Used):
    answers: dict[int, _Used] = field(default_factory=dict)


class Turns:
    """Answers by their numbers."""

    def __init__(self) -> None:
        self._organizations: dict[str, _Organization] = {}
        self._of: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._of)

    def count(self, organization: str) -> int:
        """How many answers of an organisation take turns."""
        found = self._organizations.get(organization)
        return len(found.answers) if found else 0

    def add(self, number: int, organization: str) -> None:
        if organization not in self._organizations:
            self._organizations[organization] = _Organization(_least(self._organizations))
        answers = self._organizations[organization].answers
        answers[number] = _Used(_least(answers))
        self._of[number] = organization

    def remove(self, number: int) -> None:
        """Does nothing for one that takes no turns."""
        if (organization := self._of.pop(number, None)) is not None:
            of = self._organizations[organization]
            del of.answers[number]
            if not of.answers:
                del self._organizations[organization]

    def next(self) -> int:
        """Whose turn it is. There must be one."""
        of = min(self._organizations.values(), key=lambda each: each.work)
        return min(of.answers, key=lambda number: of.answers[number].work)

    def used(self, number: int, work: int) -> None:
        of = self._organizations[self._of[number]]
        of.work += work
        of.answers[number].work += work


def _least(among: dict[str, _Organization] | dict[int, _Used]) -> int:
    return min((each.work for each in among.values()), default=0)
