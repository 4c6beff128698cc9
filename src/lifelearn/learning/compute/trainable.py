"""A chat model whose weights are here: what learning and verification need beyond answers.

chat_models/local.py is one. Imports no torch: who only passes such a model on does not load it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lifelearn.learning.chat_model import ChatModel

if TYPE_CHECKING:  # torch is not imported for the sake of types
    from torch import Tensor
    from transformers import PreTrainedModel

    from lifelearn.learning.compute.cpu.decoder import Decoder
    from lifelearn.learning.compute.tokens import Codec


class TrainableModel(ChatModel, Protocol):
    """Beyond answers: the weights, what computes with them, and what they say of plain text."""

    @property
    def base(self) -> PreTrainedModel:
        """The base model; versions are adapters on it, or copies of it."""
        ...

    @property
    def decoder(self) -> Decoder | None:
        """The base by hand-written code, which LoRA is trained with; None where it has none."""
        ...

    @property
    def codec(self) -> Codec:
        """Conversations to token ids and back."""
        ...

    def use(self, weights: Path | None) -> None:
        """Answers with the version in the folder `weights` from now on; None is the base."""
        ...

    def text_logprobs(self, texts: Sequence[str]) -> list[Tensor]:
        """Next-token log-probabilities over plain texts: per text [tokens - 1, V]."""
        ...
