"""The author that there is: rules of English, and a model that writes, an expert where there is one."""

from __future__ import annotations

from dataclasses import dataclass

from lifelearn.learning.author.augment import augment
from lifelearn.learning.author.demonstrate import demonstrate
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.chat_model import ChatModel
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Augmentation, Correction, Demonstration, OnProgress, no_progress


@dataclass(frozen=True)
class WrittenAuthor:
    """Writes with `expert`, or else with the model that is taught itself."""

    model: ChatModel
    recipe: Recipe
    expert: ChatModel | None = None
    on_progress: OnProgress = no_progress

    def augment(self, correction: Correction, question: Question) -> Augmentation:
        writer, by_expert = self.expert or self.model, self.expert is not None
        return augment(correction, question, writer, self.recipe, expert=by_expert, on_progress=self.on_progress)

    def demonstrate(self, correction: Correction, question: Question) -> tuple[Demonstration, ...]:
        return demonstrate(
            correction, question, self.model, self.recipe, expert=self.expert, on_progress=self.on_progress
        )
