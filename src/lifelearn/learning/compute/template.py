"""A tokenizer's chat template, as it is filled in here: for any conversation, on one day, with its end of a turn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from lifelearn.learning.chat_model import ChatModelError

Turns = Sequence[dict[str, Any]]
# What transformers gives templates to write the date by; what is passed to a template instead, it makes a text.
_ASKS_THE_CLOCK = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<form>.*?)(?P=quote)\s*\)""")
_MARK = "\u2063end\u2063"  # an answer that nobody gives


class Template:
    """day: the date that templates write which name one; None: today's.

    Raises ChatModelError where there is no template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._text = _template_of(tokenizer)
        self.day: date | None = None

    def fill(self, turns: Turns, **options: Any) -> str:
        """The turns as text.

        Some templates refuse instructions (a system turn), or two turns of one role: then the instructions are put
        before the first question, and such turns are joined. Raises ChatModelError where that is refused too.
        """
        try:
            return self._filled(turns, options)
        except TemplateError as refused:
            try:
                return self._filled(_plainer(turns), options)
            except TemplateError:
                raise ChatModelError(
                    f"The chat template of {self._tokenizer.name_or_path} refuses this conversation: {refused}"
                ) from refused

    def end_of_turn(self, controls: Callable[[int], bool]) -> int:
        """The token that stands after an answer. controls: whether a token steers the model.

        Raises ChatModelError where neither the template nor the tokenizer has one.
        """
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _MARK}]
        after = self.fill(turns).rpartition(_MARK)[2].strip()
        ids = self._tokenizer(after, add_special_tokens=False)["input_ids"]
        found = next(filter(controls, ids), self._tokenizer.eos_token_id)
        if found is None:
            raise ChatModelError(
                f"Nothing ends an answer of {self._tokenizer.name_or_path}: its chat template writes no token after "
                "one, and its tokenizer has no end token (eos_token). Name one in its tokenizer_config.json."
            )
        return int(found)

    def _filled(self, turns: Turns, options: dict[str, Any]) -> str:
        day = self.day or date.today()
        text = _ASKS_THE_CLOCK.sub(lambda found: json.dumps(day.strftime(found["form"])), self._text)
        return str(self._tokenizer.apply_chat_template(list(turns), chat_template=text, tokenize=False, **options))


def _template_of(tokenizer: PreTrainedTokenizerBase) -> str:
    templates = tokenizer.chat_template
    if not templates:
        raise ChatModelError(
            f"The tokenizer of {tokenizer.name_or_path} has no chat template, so the model cannot chat. "
            "Choose an instruction-tuned model (LL_BASE_MODEL_NAME)."
        )
    if isinstance(templates, str):
        return templates
    if "default" not in templates and len(templates) > 1:
        raise ChatModelError(
            f"The tokenizer of {tokenizer.name_or_path} has several chat templates ({', '.join(sorted(templates))}), "
            "and none is its default. Name one of them “default” in its tokenizer_config.json."
        )
    return str(templates.get("default") or next(iter(templates.values())))


def _plainer(turns: Turns) -> Turns:
    """The turns without instructions of their own, and never two of a role in a row."""
    found: list[dict[str, Any]] = []
    for turn in turns:
        role = "user" if turn["role"] == "system" else turn["role"]
        if found and found[-1]["role"] == role:
            found[-1] = {**found[-1], "content": f"{found[-1]['content']}\n\n{turn['content']}"}
        else:
            found.append({**turn, "role": role})
    return found
