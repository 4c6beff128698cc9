"""The one port of the engine: something that answers in a chat.

Implemented by `chat_models/`: local (transformers), openai (any compatible server) and scripted (the
fake, shipped beside the port). Only the local one can be trained (compute/trainable.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lifelearn.learning.types import Conversation


class ChatModelError(Exception):
    """A model could not be loaded or did not answer. The text says what was wrong and what to do."""


class PartialAnswersError(ChatModelError):
    """Some of a batch's answers could not be had.

    answers: in the order of the conversations; None where none came. errors: the distinct reasons.
    """

    def __init__(self, answers: Sequence[str | None], errors: Sequence[str]) -> None:
        self.answers = tuple(answers)
        self.errors = tuple(errors)
        failed = sum(answer is None for answer in answers)
        super().__init__(f"{failed} of {len(self.answers)} requests to the model failed: {' '.join(errors)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.answers, self.errors)


@dataclass(frozen=True)
class Sampling:
    """How answers are sampled. `temperature` 0 is greedy; `top_p` keeps the smallest set of tokens of that mass."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class ChatModel(Protocol):
    """A chat model. All methods raise `ChatModelError` when no answer can be had."""

    @property
    def name(self) -> str:
        """The model's name, as shown to users."""
        ...

    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        """One answer a conversation, in order; as one batch or concurrently.

        Raises `PartialAnswersError` where some came and some did not.
        """
        ...

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """The answer to one conversation, in pieces as they come."""
        ...
