"""The local model: what cannot be loaded is said in one sentence, and what is answered, streamed and chosen agrees."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.compute.torch_hub import HubNetwork
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Conversation, Message
from waiting import until


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


@pytest.fixture
def talkative(tiny: Any) -> Any:
    """The tiny model with larger random weights, which answers with more than nothing."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tiny.base.parameters():
            if parameter.dim() == 2:
                parameter.add_((0.15 * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype))
    return LocalChatModel(tiny.base, tiny.codec, tiny.name)  # which takes the new weights


# Loading


def refused(name: str, cache: Path) -> str:
    """The error's text, which must be one that a user can read."""
    with pytest.raises(ChatModelError) as caught:
        LocalChatModel.load(name, cache)
    text = str(caught.value)
    assert "Traceback" not in text
    assert 'File "' not in text
    assert "\n" not in text
    assert len(text) < 600
    assert text.endswith(".")
    return text


@pytest.fixture
def copied(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all-47"])
def test_an_unknown_folder(name: str, tmp_path: Path) -> None:
    text = refused(name, tmp_path)
    assert text.startswith("There is no folder")
    assert "nowhere" in text


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    assert "holds no model: config.json is missing" in refused(str(tmp_path), tmp_path)


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "model.gguf" in refused(str(tmp_path / "model.gguf"), tmp_path)


def test_an_unknown_hub_id_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    text = refused("nobody/no-such-model-47", tmp_path)
    assert "nobody/no-such-model-47" in text
    assert "LL_BASE_MODEL_NAME" in text


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_weights(copied: Path, tmp_path: Path, share: float) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    text = refused(str(copied), tmp_path)
    assert str(copied) in text
    assert "copy or download it again" in text


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file(copied: Path, tmp_path: Path, file: str) -> None:
    (copied / file).unlink()
    assert str(copied) in refused(str(copied), tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_file(copied: Path, tmp_path: Path, file: str, text: str) -> None:
    (copied / file).write_text(text)
    assert str(copied) in refused(str(copied), tmp_path)


def test_no_chat_template(copied: Path, tmp_path: Path) -> None:
    (copied / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((copied / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    assert "no chat template, so the model cannot chat" in refused(str(copied), tmp_path)


def test_weights_of_another_shape(copied: Path, tmp_path: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    assert str(copied) in refused(str(copied), tmp_path)


def test_a_loaded_model_describes_itself(tiny: Any, tiny_model_folder: Path) -> None:
    assert tiny.name == str(tiny_model_folder)
    assert "M parameters" in tiny.describe()
    assert "\n" not in tiny.describe()


# Answers and streams


def test_a_stream_is_the_answer_in_pieces(talkative: Any) -> None:
    for sampling in (Sampling(max_tokens=20), Sampling(max_tokens=20, temperature=1.0, top_p=0.9, seed=4)):
        for text in ("Question 1?", "Question 3?", "Wo? 🙂"):
            pieces = list(talkative.stream(user(text), sampling))
            assert len(pieces) > 1
            assert "".join(pieces).strip("\ufffd \n\t\r") == talkative.answer([user(text)], sampling)[0].strip(
                "\ufffd \n\t\r"
            )


def test_closing_a_stream_stops_the_sampling(talkative: Any) -> None:
    threads = threading.active_count()
    steps = 0

    def count(*arguments: object) -> None:
        nonlocal steps
        steps += 1

    hook = talkative.base.register_forward_hook(count)
    pieces = talkative.stream(user("Question 1?"), Sampling(max_tokens=400))
    next(pieces)
    pieces.close()
    stopped_at = steps
    until(lambda: threading.active_count() == threads)
    assert steps == stopped_at < 300
    hook.remove()
    assert talkative.answer([user("Hello")], Sampling(max_tokens=4)), "the model is free again"


def test_a_stream_that_nobody_reads_does_not_hold_the_model(talkative: Any) -> None:
    talkative.stream(user("Question 1?"), Sampling(max_tokens=400))
    assert len(talkative.answer([user("Hello")], Sampling(max_tokens=2))) == 1, "it would hang"


def test_an_error_while_streaming_is_one_of_the_model(talkative: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(talkative.network, "step", broken)
    with pytest.raises(ChatModelError, match="out of memory"):
        list(talkative.stream(user("Hello"), Sampling(max_tokens=4)))


def test_nothing_to_answer(tiny: Any) -> None:
    assert tiny.answer([], Sampling(max_tokens=4)) == []


def test_answers_keep_their_order_whatever_their_lengths(talkative: Any) -> None:
    asked = [user("a" * length) for length in (200, 1, 50, 1, 120)]
    sampling = Sampling(max_tokens=6)
    together = talkative.answer(asked, sampling)
    assert together == [talkative.answer([one], sampling)[0] for one in asked]


@pytest.mark.parametrize("text", ["", " ", "\x00\x07\x1b[31m", "\u202e\u200b", "🙂" * 20, "挪威 أين हिन्दी", "<|end|>"])
def test_any_text_is_answered(talkative: Any, text: str) -> None:
    assert isinstance(talkative.answer([user(text)], Sampling(max_tokens=4))[0], str)


# The context window (512 tokens here, one a byte)


def test_the_oldest_turns_are_left_out_and_what_is_kept_costs_what_it_has(tiny: Any) -> None:
    """However long the conversation is: of 2,000 turns no more are encoded than fit, in a handful of tries."""
    turns = (Message(role="system", content="Be kind."), *user("first")) + 999 * (
        Message(role="assistant", content="ok"), Message(role="user", content="go on")
    )  # fmt: skip
    encoded: list[int] = []
    prompt, length = tiny.codec.prompt, tiny.codec.length

    def prompted(kept: Conversation) -> Any:
        encoded.append(sum(len(each.content) for each in kept))
        return prompt(kept)

    def counted(text: str, most: int) -> Any:
        encoded.append(len(text))
        return length(text, most)

    tiny.codec.prompt, tiny.codec.length = prompted, counted
    found = tiny.prompt(turns, 12)
    del tiny.codec.prompt, tiny.codec.length
    assert 470 < len(found) <= 500, "as much as there is room for"
    assert tiny.codec.decode(found).startswith("Be kind."), "instructions stay"
    assert len(encoded) < 500
    assert sum(encoded) < 10 * 512


def test_a_conversation_that_fits_is_kept_whole(tiny: Any) -> None:
    turns = (*user("a"), Message(role="assistant", content="b"), *user("c"))
    assert tiny.prompt(turns, 9) == tiny.codec.prompt(turns)


def test_a_long_prompt_is_read_in_parts(talkative: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hand-written decoder and by transformers: the same answer as at once."""
    sampling, prompt = Sampling(max_tokens=6), talkative.prompt(user("word " * 60), 6)
    for network in (talkative.network, HubNetwork(talkative.base)):
        monkeypatch.setattr("lifelearn.learning.compute.rollout.READ_TOKENS", 1000)
        whole = list(talkative.pieces(prompt, sampling, network))
        monkeypatch.setattr("lifelearn.learning.compute.rollout.READ_TOKENS", 50)
        parts = list(talkative.pieces(prompt, sampling, network))
        assert None not in whole
        assert parts[: len(prompt) // 50] == [None] * (len(prompt) // 50)
        assert parts[len(prompt) // 50 :] == whole


def test_a_message_longer_than_the_context_is_a_clear_error(tiny: Any) -> None:
    long = user("word " * 200)
    expected = r"The message has (10\d\d|more than 1004) tokens; .* takes 502\. Shorten it\."
    with pytest.raises(ChatModelError, match=expected):
        tiny.answer([user("short"), long], Sampling(max_tokens=10))
    with pytest.raises(ChatModelError, match=expected):
        list(tiny.stream(long, Sampling(max_tokens=10)))
    assert tiny.answer([user("short")], Sampling(max_tokens=2)) is not None


def test_of_a_message_that_cannot_fit_little_is_read(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kept = tiny.codec._as_written

    def counted(text: str) -> Any:
        read.append(len(text))
        return kept(text)

    monkeypatch.setattr(tiny.codec, "_as_written", counted)
    for role in ("user", "system"):
        turns = (Message(role=role, content="a b c " * 170_000), Message(role="user", content="Hi"))
        with pytest.raises(ChatModelError, match="more than 1004 tokens"):
            tiny.prompt(turns[:1] if role == "user" else turns, 10)
    assert sum(read) < 200_000


@contextmanager
def prompts_seen(model: Any) -> Iterator[list[str]]:
    """The prompts that reach the model, as text."""
    seen: list[str] = []
    network = model.network
    prefill = network.prefill

    def see(prompts: list[list[int]]) -> Any:
        seen.extend(bytes_of(model, prompt) for prompt in prompts)
        return prefill(prompts)

    network.prefill = see
    yield seen
    del network.prefill


def bytes_of(model: Any, ids: list[int]) -> str:
    return str(model.codec._tokenizer.decode(ids))


def test_old_turns_are_left_out_when_a_conversation_outgrows_the_context(tiny: Any) -> None:
    system = Message(role="system", content="Be brief.")
    old = [Message(role="user", content=f"{number} " + "x" * 150) for number in range(3)]
    replies = [Message(role="assistant", content=f"{number}: " + "y" * 90) for number in range(3)]
    turns = [turn for pair in zip(old, replies, strict=True) for turn in pair]
    with prompts_seen(tiny) as seen:
        tiny.answer([(system, *turns, Message(role="user", content="And now?"))], Sampling(max_tokens=12))
    (prompt,) = seen
    assert "Be brief." in prompt, "what the system says stays"
    assert prompt.endswith("And now?<|end|><|assistant|>")
    assert "0 xxx" not in prompt
    assert "0: yyy" not in prompt, "a turn goes with its answer"
    assert "2 xxx" in prompt


def test_a_conversation_that_just_fits_is_not_cut(tiny: Any) -> None:
    turns = (*user("First"), Message(role="assistant", content="Yes."))
    room = 512 - 8 - len(tiny.codec.prompt((*turns, *user(""))))
    for length, whole in ((room, True), (room + 1, False)):
        with prompts_seen(tiny) as seen:
            tiny.answer([(*turns, *user("y" * length))], Sampling(max_tokens=8))
        assert ("First" in seen[0]) is whole


# Versions


def adapter(tiny: Any, folder: Path, by: float = 0.05, method: Any = "lora") -> Path:
    student = make_student(tiny.base, tiny.decoder, Recipe(method=method), None)
    torch.manual_seed(1)
    for parameter in student.parameters:
        parameter.data += by * torch.randn_like(parameter)
    student.save(folder)
    student.close()
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.network.logits([[5, 6, 70, 80]], [4])
    return found


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "weights truncated": lambda folder: truncate(folder / "adapter_model.safetensors"),
    "weights empty": lambda folder: (folder / "adapter_model.safetensors").write_bytes(b""),
    "weights missing": lambda folder: (folder / "adapter_model.safetensors").unlink(),
    "config truncated": lambda folder: truncate(folder / "adapter_config.json"),
    "config empty": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "config missing": lambda folder: (folder / "adapter_config.json").unlink(),
    "config of another method": lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "NONE"}'),
    "folder missing": shutil.rmtree,
    "rank of another model": lambda folder: (folder / "adapter_config.json").write_text(
        (folder / "adapter_config.json").read_text().replace('"r": 16', '"r": 7')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_adapter_is_refused_and_the_base_answers_as_before(tiny: Any, tmp_path: Path, damage: str) -> None:
    base = logits(tiny)
    good, bad = adapter(tiny, tmp_path / "good"), adapter(tiny, tmp_path / "bad", by=0.1)
    tiny.use(good)
    learned = logits(tiny)
    tiny.use(None)
    DAMAGES[damage](bad)
    with pytest.raises(ChatModelError, match="cannot be loaded") as caught:
        tiny.use(bad)
    assert str(bad) in str(caught.value)
    assert torch.equal(logits(tiny), base), "no half of it stays on the model"
    tiny.use(good)
    assert torch.equal(logits(tiny), learned)
    tiny.use(None)
    assert torch.equal(logits(tiny), base)


@pytest.mark.parametrize("damage", ["truncated", "empty", "of another model"])
def test_a_damaged_full_version_is_refused_and_the_base_answers_as_before(
    tiny: Any, tmp_path: Path, damage: str
) -> None:
    base = logits(tiny)
    bad = adapter(tiny, tmp_path / "bad", method="full")
    if damage == "truncated":
        truncate(bad / "model.safetensors")
    elif damage == "empty":
        (bad / "model.safetensors").write_bytes(b"")
    else:
        from safetensors.torch import save_file

        save_file({"other.weight": torch.zeros(2)}, str(bad / "model.safetensors"))
    with pytest.raises(ChatModelError, match="cannot be loaded"):
        tiny.use(bad)
    assert torch.equal(logits(tiny), base)


def test_versions_of_both_methods_take_turns(tiny: Any, tmp_path: Path) -> None:
    base = logits(tiny)
    lora, full = adapter(tiny, tmp_path / "lora"), adapter(tiny, tmp_path / "full", method="full")
    tiny.use(lora)
    one = logits(tiny)
    tiny.use(full)
    other = logits(tiny)
    tiny.use(lora)
    assert torch.equal(logits(tiny), one)
    tiny.use(None)
    assert torch.equal(logits(tiny), base)
    assert not torch.equal(one, other)


def test_a_version_does_not_change_while_an_answer_is_given(talkative: Any, tmp_path: Path) -> None:
    version = adapter(talkative, tmp_path / "v", by=0.3)
    expected = "".join(talkative.stream(user("Question 1?"), Sampling(max_tokens=60)))
    pieces = talkative.stream(user("Question 1?"), Sampling(max_tokens=60))
    first = next(pieces)
    thread = threading.Thread(target=talkative.use, args=(version,))
    thread.start()
    assert first + "".join(pieces) == expected
    thread.join()
    assert "".join(talkative.stream(user("Question 1?"), Sampling(max_tokens=60))) != expected


def test_a_last_turn_of_the_assistants_is_the_beginning_of_its_answer(tiny: Any) -> None:
    asked = (Message(role="user", content="Where is it?"),)
    begun = tiny.codec.prompt((*asked, Message(role="assistant", content="It is")))
    plain = tiny.codec.prompt(asked)
    assert begun[: len(plain)] == plain
    assert tiny.codec.decode(begun[len(plain) :]) == "It is"
    many = (Message(role="assistant", content="It is"),) * (sys.getrecursionlimit() + 1)
    assert tiny.codec.prompt((*asked, *many)) == plain + begun[len(plain) :] * len(many)
    assert tiny.codec.end_id not in begun[len(plain) :]


# Versions side by side, as the workspace's model process has them


@pytest.fixture(params=["decoder", "hub"])
def shared(request: pytest.FixtureRequest, talkative: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model by the hand-written decoder, and as one of another family, which transformers runs."""
    if request.param == "hub":
        monkeypatch.setattr("lifelearn.chat_models.local.Decoder.of", lambda model: None)
        return LocalChatModel(talkative.base, talkative.codec, talkative.name)
    return talkative


def said(model: Any, network: Any) -> str:
    return "".join(model.pieces(model.prompt(user("Question 1?"), 8), Sampling(max_tokens=8), network))


def test_answers_by_several_versions_take_turns(shared: Any, tmp_path: Path) -> None:
    folders = [None, *(adapter(shared, tmp_path / str(by), by=by) for by in (0.2, 0.4))]
    sampling, expected = Sampling(max_tokens=24), []
    for folder in folders:
        shared.use(folder)
        expected.append("".join(shared.stream(user("Question 1?"), sampling)))
    shared.use(None)
    assert len(set(expected)) == 3
    for _ in range(2):  # loaded, and kept
        prompt = shared.prompt(user("Question 1?"), 24)
        running = [shared.pieces(prompt, sampling, shared.network_for(folder)) for folder in folders]
        turns = list(zip_longest(*running, fillvalue=""))
        assert ["".join(pieces) for pieces in zip(*turns, strict=True)] == expected


def test_the_versions_used_last_are_kept(shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifelearn.chat_models.local.KEPT", 2)
    first, *others = (adapter(shared, tmp_path / str(number), by=0.2) for number in range(3))
    network = shared.network_for(first)
    expected = said(shared, network)
    assert shared.network_for(first) is network
    for other in others:
        shared.network_for(other)
    again = shared.network_for(first)
    assert again is not network
    del network  # of a model of transformers, its adapter leaves with it
    assert said(shared, again) == expected
    full = adapter(shared, tmp_path / "full", method="full")
    assert shared.network_for(full) is shared.network_for(full), "one that is too large for all is still used"


def test_a_damaged_version_beside_others_is_refused(shared: Any, tmp_path: Path) -> None:
    expected = said(shared, shared.network_for(None))
    bad = adapter(shared, tmp_path / "bad", by=0.2)
    truncate(bad / "adapter_model.safetensors")
    with pytest.raises(ChatModelError, match="cannot be loaded"):
        shared.network_for(bad)
    assert said(shared, shared.network_for(None)) == expected
