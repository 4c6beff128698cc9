"""Versions on one local model: switched, side by side, and refused where they are damaged."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
from local_fakes import adapter, logits, truncate, user

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import ChatModelError, Sampling

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
