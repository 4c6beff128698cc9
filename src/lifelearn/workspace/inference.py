"""How the web process reaches the model: a port, and the process that holds it.

`Inference` is what the workspace asks; `ProcessInference` runs the configured model in a child process. torch is
imported there and never here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, Protocol

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation
from lifelearn.settings import Settings

State = Literal["loading", "ready", "failed"]


class Inference(Protocol):
    """Answers for all organisations from one base model."""

    @property
    def state(self) -> State: ...

    @property
    def name(self) -> str:
        """The model's name, as shown; "" while it is loading."""
        ...

    @property
    def problem(self) -> str:
        """Why it failed, in a sentence; "" otherwise."""
        ...

    async def start(self) -> None:
        """Begins to load the model and does not wait for it."""
        ...

    async def stop(self) -> None: ...

    def stream(self, conversation: Conversation, sampling: Sampling, weights: Path | None = None) -> AsyncIterator[str]:
        """The answer in pieces, by the version in the folder `weights` or by the base. Closing it stops the model.

        Waits while the model is loading. Raises ChatModelError where no answer can be had.
        """
        ...


class ProcessInference:
    def __init__(self, settings: Settings) -> None:
        self.state: State = "loading"
        self.name = ""
        self.problem = ""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def stream(
        self, conversation: Conversation, sampling: Sampling, weights: Path | None = None
    ) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""
