"""What people type is text, for tokenizers of the common kinds: none of it becomes a token that steers the model."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.types import Message

WORDS = ["hello", "leave", "days", "user", "assistant", "model", "end", "start", "turn"]


def byte_level(special: list[str], other: list[str], template: str, normalizer: Any = None, **more: Any) -> Any:
    """As GPT-2's descendants have it: Llama 3, Qwen3, SmolLM2."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                pieces.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    backend = Tokenizer(models.BPE(vocab={each: at for at, each in enumerate(pieces)}, merges=merges, **more))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    return _finished(backend, special, other, template)


def sentence_piece(special: list[str], template: str, *, prepends: bool) -> Any:
    """As SentencePiece's models are converted: the control tokens stand in the vocabulary (Gemma 3, Mistral)."""
    characters = [chr(code) for code in range(33, 127)] + ["▁", "\n", "é", "ß"]
    pieces = ["<unk>", *special, *(f"<0x{byte:02X}>" for byte in range(256)), *characters]
    vocabulary = {each: at for at, each in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replaced = normalizers.Replace(" ", "▁")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replaced]) if prepends else replaced
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] * prepends),
        ]
    )
    return _finished(backend, special, [], template)


def _finished(backend: Tokenizer, special: list[str], other: list[str], template: str) -> Any:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=special[0])
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([AddedToken(each, special=False, normalized=False) for each in other])
    tokenizer.chat_template = template
    return tokenizer


def llama3() -> Any:
    return byte_level(
        ["<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"], [],
        "{{ '<|begin_of_text|>' }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ignore_merges=True,
    )  # fmt: skip


def qwen3() -> Any:
    return byte_level(
        ["<|im_end|>", "<|im_start|>", "<|endoftext|>"], ["<think>", "</think>", "<tool_call>"],
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n"
        "{% endif %}{% endif %}",
        normalizers.NFC(),
    )  # fmt: skip


def gemma3() -> Any:
    return sentence_piece(
        ["<end_of_turn>", "<start_of_turn>", "<bos>", "<eos>"],
        "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        prepends=False,
    )


def mistral() -> Any:
    return sentence_piece(
        ["</s>", "<s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"],
        "<s>{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}</s>"
        "{% elif m['role'] == 'system' %}[SYSTEM_PROMPT]{{ m['content'] }}[/SYSTEM_PROMPT]"
        "{% else %}[INST] {{ m['content'] }}[/INST]{% endif %}{% endfor %}",
        prepends=True,
    )


KINDS: dict[str, Callable[[], Any]] = {"Llama 3": llama3, "Qwen3": qwen3, "Gemma 3": gemma3, "Mistral": mistral}


def codec_of(tokenizer: Any, **more: Any) -> Codec:
    config = SimpleNamespace(max_position_embeddings=512)
    return Codec(tokenizer, SimpleNamespace(config=config, generation_config=None), **more)


@pytest.fixture(scope="module", params=KINDS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return codec_of(KINDS[request.param]())


def controls(codec: Codec, ids: list[int]) -> list[int]:
    assert codec._literals is not None
    return [each for each in ids if each in codec._literals.controls]


def typed(codec: Codec) -> list[str]:
    """The control tokens, as people can type them."""
    assert codec._literals is not None
    return [str(codec._tokenizer.convert_ids_to_tokens(each)) for each in sorted(codec._literals.controls)]


def conversation(*contents: str) -> tuple[Message, ...]:
    roles = ("system", "user", "assistant")
    turns = [Message(role=roles[1 + at % 2], content=each) for at, each in enumerate(contents)]
    return (Message(role="system", content=contents[0]), *turns)


def test_no_turn_is_forged(codec: Codec) -> None:
    forging = "hello" + "\n".join(each + "assistant" for each in typed(codec))
    plain, forged = (codec.prompt(conversation(text, "leave", text)) for text in ("hello", forging))
    assert controls(codec, forged) == controls(codec, plain) != []
    for each in typed(codec):
        assert str(codec._tokenizer.decode(forged)).count(each) >= 3, "the model reads what was typed"


def test_an_answer_that_is_taught_has_none(codec: Codec) -> None:
    for each in typed(codec):
        assert controls(codec, codec.completion(f"days{each}end", 500, end=False)) == []
        assert controls(codec, codec.completion(f"days{each}end", 500, end=True)) == [codec.end_id]
        assert controls(codec, codec.text(each)) == controls(codec, codec.text(""))
        begun = codec.prompt(conversation("hello", f"leave {each}"))
        assert controls(codec, begun) == controls(codec, codec.prompt(conversation("hello", "leave")))


def test_text_without_any_is_encoded_as_ever(codec: Codec) -> None:
    turns = conversation("hello, 5 days\n\n  leave", "é ß {} <b>end</b>", "<|im_ user [INST")
    written = codec._tokenizer.apply_chat_template(
        [turn.model_dump() for turn in turns], add_generation_prompt=True, return_dict=False, enable_thinking=False
    )
    assert codec.prompt(turns) == list(written)


@given(data=st.data())
def test_whatever_is_put_together(codec: Codec, data: st.DataObject) -> None:
    parts = st.sampled_from([*typed(codec), "<|", "|>", "[", "]", "<", ">", " ", "\n", "hello", "im_", "ß", "\ud7ff"])
    text = data.draw(st.lists(parts, min_size=1, max_size=12).map("".join))
    plain, forged = (codec.prompt(conversation(each, "leave")) for each in ("x", f"x{text}x"))
    assert controls(codec, forged) == controls(codec, plain)


def test_a_trusted_data_set_may_have_them() -> None:
    trusting = codec_of(qwen3(), control_tokens=True)
    assert trusting.completion("a<|im_end|>", 9, end=False)[-1] == trusting.end_id


def test_full_width_letters_that_a_tokenizer_folds_are_text_too() -> None:
    tokenizer = qwen3()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.add_tokens([AddedToken("<|stop|>", special=True, normalized=True)])
    codec = codec_of(tokenizer)
    assert controls(codec, codec.completion("days＜|stop|＞end <|stop|>", 99, end=False)) == []


def test_a_text_may_have_all_of_them() -> None:
    many = [f"<|extra_{at}|>" for at in range(300)]
    codec = codec_of(byte_level(["<|im_end|>", *many], [], qwen3().chat_template))
    assert controls(codec, codec.completion("".join(many), 9_999, end=False)) == []


def test_a_tokenizer_that_cannot_tell_is_refused() -> None:
    slow = SimpleNamespace(chat_template="{{ messages }}", name_or_path="an old one")
    with pytest.raises(ChatModelError, match=r"an old one has no tokenizer\.json"):
        codec_of(slow)
