"""The author: what a user's message corrects, and the texts of the lesson on it.

It reads a conversation (`detect`), writes what is asked in training and in verification (`augment`) and the sentences
that state what is right (`demonstrate`), and is an `Author` by that (`written`). What it does by rules of English is in
`english`. It knows no weights, no training, and not how answers come out: who wrote a lesson does not mark it.

Others import the room's modules that `__all__` names, and this protocol. The door itself imports none of them, so that
who takes one waits for no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lifelearn.learning.types import Augmentation, Correction, Demonstration

if TYPE_CHECKING:
    from lifelearn.learning.author.english.question import Question

__all__ = ["Author", "augment", "demonstrate", "detect", "english", "written"]


class Author(Protocol):
    """Writes the texts of corrections, one after the other. question: the correction's, taken apart."""

    def augment(self, correction: Correction, question: Question) -> Augmentation:
        """What is asked in training, what must keep its answer, and what only verification asks."""
        ...

    def demonstrate(self, correction: Correction, question: Question) -> tuple[Demonstration, ...]:
        """Sentences that state what is right, the most trusted first; never none."""
        ...
