"""The fake beside the port: a chat model that says what it was told to say. Needs no torch and no network.

For tests, and for the workspace with LL_INFERENCE_BACKEND=mock. Without a script it says in each
answer that it is not a real model, so that nobody takes it for one. Knows nothing of lessons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lifelearn.learning.chat_model import ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.types import Conversation

Script = Mapping[str, str] | Sequence[str] | Callable[[Conversation], str]


@dataclass(frozen=True)
class Call:
    """What the model was asked; one for each conversation."""

    method: Literal["answer", "stream"]
    conversation: Conversation
    sampling: Sampling


class ScriptedChatModel:
    """Answers from a script, and records its calls.

    script: answers by the exact last user message (mapping), one after the other (sequence) or computed
    from the conversation (function, which may raise `ChatModelError`); None answers with what was said.
    calls: what was asked so far, in order.
    """

    def __init__(
        self,
        script: Script | None = None,
        name: str = "scripted",
    ) -> None:
        if isinstance(script, str):  # a sequence too, but of letters
            raise TypeError('script is one string; write ["…"] for a single answer')
        self.calls: list[Call] = []
        self._name = name
        self._script = script
        self._left = iter(()) if script is None or callable(script) or isinstance(script, Mapping) else iter(script)

    @property
    def name(self) -> str:
        return self._name

    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        answers: list[str | None] = []
        errors: dict[str, None] = {}  # in order, each once
        for conversation in conversations:
            self.calls.append(Call("answer", conversation, sampling))
            try:
                answers.append(self._reply(conversation))
            except ChatModelError as error:
                answers.append(None)
                errors[str(error)] = None
        if errors and any(answer is not None for answer in answers):
            raise PartialAnswersError(answers, list(errors))
        if errors:
            raise ChatModelError(" ".join(errors))
        return [answer for answer in answers if answer is not None]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """The answer word by word; the pieces joined are the answer."""
        self.calls.append(Call("stream", conversation, sampling))
        yield from re.findall(r"^\s+|\S+\s*", self._reply(conversation))

    def _reply(self, conversation: Conversation) -> str:
        script = self._script
        said = next((message.content for message in reversed(conversation) if message.role == "user"), "")
        if script is None:
            return f"[scripted model, not a real one] You said: {said}"
        if callable(script):
            return script(conversation)
        if isinstance(script, Mapping):
            if said not in script:
                raise ChatModelError(f"The script has no answer to {said!r}. It has answers to: {sorted(script)}.")
            return script[said]
        reply = next(self._left, None)
        if reply is None:
            raise ChatModelError(f"The script's {len(script)} answers are used up; the next was asked for by {said!r}.")
        return reply
