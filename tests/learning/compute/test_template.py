"""Chat templates of all kinds: what ends a turn, what is refused, which of several is taken, and which day it is."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute.literals import controls
from lifelearn.learning.compute.template import Template

PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|done|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}: {% for m in messages %}{{ m.content }}{% endfor %}"


def tokenizer(
    template: Any, *, special: tuple[str, ...] = (), other: tuple[str, ...] = (), end: str | None = None
) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={each: at for at, each in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end)
    made.add_tokens([AddedToken(each, special=True, normalized=False) for each in special])
    made.add_tokens([AddedToken(each, special=False, normalized=False) for each in other])
    made.chat_template = template
    return made


def end_of(made: Any) -> str:
    return str(made.convert_ids_to_tokens(Template(made).end_of_turn(controls(made).__contains__)))


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def test_the_end_of_a_turn_is_what_the_template_writes_special_or_not() -> None:
    assert end_of(tokenizer(PLAIN, special=("<|done|>",), end="<|stop|>")) == "<|done|>"
    assert end_of(tokenizer(PLAIN, other=("<|done|>",), end="<|stop|>")) == "<|done|>"
    assert end_of(tokenizer(PLAIN.replace("<|done|>", ""), end="<|stop|>")) == "<|stop|>"


def test_a_model_that_never_ends_is_refused_with_a_sentence() -> None:
    with pytest.raises(ChatModelError, match="Nothing ends an answer"):
        end_of(tokenizer(PLAIN.replace("<|done|>", "\n")))


def test_instructions_and_turns_that_a_template_refuses_are_joined() -> None:
    template = Template(tokenizer(STRICT, end="<|stop|>"))
    asked = said(("system", "Be brief."), ("user", "Hi."), ("user", "Where?"), ("assistant", "Here."))
    assert template.fill(asked) == "[user]Be brief.\n\nHi.\n\nWhere?[assistant]Here."
    assert template.fill(asked[1:2]) == "[user]Hi."


def test_what_is_refused_all_the_same_is_said() -> None:
    template = Template(tokenizer("{{ raise_exception('not today') }}", end="<|stop|>"))
    with pytest.raises(ChatModelError, match="refuses this conversation: not today"):
        template.fill(said(("user", "Hi.")))


@pytest.mark.parametrize(
    ("templates", "filled"),
    [({"default": "D", "tools": "T"}, "D"), ({"chat": "C"}, "C")],
)
def test_of_several_templates_the_default_or_the_only_one(templates: dict[str, str], filled: str) -> None:
    assert Template(tokenizer(templates, end="<|stop|>")).fill(said(("user", "Hi."))) == filled


@pytest.mark.parametrize(
    ("templates", "told"), [({"a": "A", "b": "B"}, "a, b"), ("", "no chat template"), (None, "no chat template")]
)
def test_no_template_and_none_that_is_the_default(templates: Any, told: str) -> None:
    with pytest.raises(ChatModelError, match=told):
        Template(tokenizer(templates, end="<|stop|>"))


def test_a_template_writes_the_day_that_it_is_given() -> None:
    template = Template(tokenizer(DATED, end="<|stop|>"))
    assert template.fill(said(("user", "Hi."))).startswith(f"{date.today():%d %b %Y}")
    template.day = date(2026, 2, 3)
    assert template.fill(said(("user", "Hi."))) == "03 Feb 2026: Hi."
