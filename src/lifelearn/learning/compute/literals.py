"""Text that stays text: what people type is never one of the tokens that steer a model.

A tokenizer takes `<|im_end|>` for the end of a turn wherever it stands. Where a text has such a token in it, a mark
takes the token's place while the chat template is filled in and the whole is encoded; then the mark's id becomes the
ids of the same characters as any other text has them.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Sequence
from itertools import chain, islice

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from lifelearn.learning.chat_model import ChatModelError


def controls(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that steer a model: those that its tokenizer calls special, and those that its chat template writes.

    Others that were added to a vocabulary, such as runs of spaces, are ordinary text.
    """
    template = str(tokenizer.chat_template or "")
    return frozenset(
        index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.content.strip() and (token.special or token.content in template)
    )


class Literals:
    """Encodes for one tokenizer. What costs memory is made when the first text needs it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ChatModelError(
                f"The tokenizer of {tokenizer.name_or_path} has no tokenizer.json, without which what people type "
                "cannot be kept apart from control tokens. Choose a model that has one (LL_BASE_MODEL_NAME)."
            )
        self._tokenizer, self._backend = tokenizer, backend
        self.controls = controls(tokenizer)
        self._marked: PreTrainedTokenizerBase | None = None
        self._marks: dict[str, int] = {}  # in a text to the id of the marked tokenizer
        self._without: Tokenizer | None = None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Ids of a text, none of them a control token but those that `add_special_tokens` puts around it."""
        kept = Kept(self)
        return kept.encode(kept.text(text), add_special_tokens=add_special_tokens)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text the tokenizer would see control tokens."""
        found = self._backend.encode(text, add_special_tokens=False)
        return [span for index, span in zip(found.ids, found.offsets, strict=True) if index in self.controls]

    def plain(self, text: str) -> list[int]:
        """Ids of the characters of a control token, as a tokenizer has them that does not know it."""
        if self._without is None:
            made = json.loads(self._backend.to_str())
            made |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
            self._without = Tokenizer.from_str(json.dumps(made))
        found = self._without.encode(text, add_special_tokens=False)
        ids, tokens = list(found.ids), found.tokens
        if self.controls.intersection(ids):  # it is a word of the vocabulary too
            ids = list(chain.from_iterable(self._without.encode(each, add_special_tokens=False).ids for each in text))
        elif len(tokens) > 1 and tokens[0] == "▁":  # a space that is put before every text
            ids = ids[1:]
        return ids

    def marked(self) -> tuple[PreTrainedTokenizerBase, dict[str, int]]:
        """The tokenizer with marks, and their ids."""
        if self._marked is None:
            marked, secret = copy.deepcopy(self._tokenizer), secrets.token_hex(8)
            marks = [f"<|{secret}-{index}|>" for index in range(len(self.controls))]
            marked.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
            self._marks = dict(zip(marks, marked.convert_tokens_to_ids(marks), strict=True))
            self._marked = marked
        return self._marked, self._marks


class Kept:
    """The texts of one prompt: `text` is each as it goes into the template, `encode` the ids of what comes out."""

    def __init__(self, literals: Literals) -> None:
        self._literals = literals
        self._mark_of: dict[str, str] = {}

    def text(self, text: str) -> str:
        parts, end = [], 0
        for start, stop in self._literals.spans(text):
            parts += [text[end:start], self._mark(text[start:stop])]
            end = stop
        return "".join([*parts, text[end:]]) if parts else text

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        if not self._mark_of:
            return list(self._literals._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
        tokenizer, marks = self._literals.marked()
        literal = {marks[mark]: self._literals.plain(text) for text, mark in self._mark_of.items()}
        ids: Sequence[int] = tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]
        return list(chain.from_iterable(literal.get(index, (index,)) for index in ids))

    def _mark(self, control: str) -> str:
        if control not in self._mark_of:
            _, marks = self._literals.marked()  # as many as there are control tokens
            self._mark_of[control] = next(islice(marks, len(self._mark_of), None))
        return self._mark_of[control]
