"""Conversations to token ids and back, by the model's own chat template. Nothing here is tied to a model family."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lifelearn.learning.compute.literals import Kept, Literals, controls
from lifelearn.learning.compute.template import Template
from lifelearn.learning.types import Conversation, Message

PART_CHARS = 8_192  # of a text that is counted at a time


class Codec:
    """A tokenizer with its chat template and the tokens that end an answer.

    No text becomes a control token (literals.py), unless `control_tokens` allows it, for data sets that are trusted.
    Raises ChatModelError for a tokenizer that cannot be chatted with (template.py).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, *, control_tokens: bool = False
    ) -> None:
        self.template = Template(tokenizer)
        self._tokenizer = tokenizer
        self._literals = None if control_tokens else Literals(tokenizer)
        self.context = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
        configured = model.generation_config.eos_token_id if model.generation_config else None
        ends = configured if isinstance(configured, list) else [configured]
        self.end_id = self.template.end_of_turn(controls(tokenizer).__contains__)
        self.stop_ids = frozenset(
            [token for token in (*ends, tokenizer.eos_token_id, self.end_id) if token is not None]
        )

    def prompt(self, conversation: Conversation) -> list[int]:
        """Token ids of a conversation up to where the assistant's answer starts, or goes on.

        A last turn of the assistant's is the beginning of the answer, to be continued.
        """
        asked = len(conversation)
        while asked and conversation[asked - 1].role == "assistant":
            asked -= 1
        begun = [token for turn in conversation[asked:] for token in self._encode(turn.content)]
        turns = [turn.model_dump() for turn in conversation[:asked]]
        kept = None if self._literals is None else Kept(self._literals)
        if kept is not None:
            turns = [{**turn, "content": kept.text(turn["content"])} for turn in turns]
        # `enable_thinking` is read by templates of thinking models and ignored by all others.
        text = self.template.fill(turns, add_generation_prompt=True, enable_thinking=False)
        return (self._as_written(text) if kept is None else kept.encode(text)) + begun

    def ask(self, question: str) -> list[int]:
        """Token ids of a question in a fresh context."""
        return self.prompt((Message(role="user", content=question),))

    def completion(self, text: str, max_tokens: int, *, end: bool) -> list[int]:
        """Token ids of an answer, cut to `max_tokens`; `end` adds the end-of-turn token to an uncut one."""
        ids = self._encode(text)
        return self.ended(ids, max_tokens) if end else ids[:max_tokens] or [self.end_id]

    def length(self, text: str, most: int) -> int:
        """How many tokens a text has by itself: of a long one about, since it is read in parts, and no further than it
        takes to have more than `most`."""
        found = 0
        for start in range(0, len(text), PART_CHARS):
            found += len(self._as_written(text[start : start + PART_CHARS]))
            if found > most:
                break
        return found

    def ended(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """An answer's ids with the end-of-turn token, unless they reach `max_tokens`: then it was cut."""
        return [*ids, self.end_id] if len(ids) < max_tokens else list(ids[:max_tokens])

    def text(self, text: str) -> list[int]:
        """Token ids of plain text, with the model's own beginning-of-text token if it has one."""
        return self._encode(text, add_special_tokens=True)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def decode_raw(self, ids: Sequence[int]) -> str:
        """Text of a part of an answer, spaces kept: for streaming."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        if self._literals is None:
            return self._as_written(text, add_special_tokens=add_special_tokens)
        return self._literals.encode(text, add_special_tokens=add_special_tokens)

    def _as_written(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """With the control tokens that stand in it."""
        return list(self._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
