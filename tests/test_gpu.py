"""The whole way as in the paper's set-up: Qwen2.5-7B-Instruct on a CUDA device, demonstrations by gpt-4o-mini.

By hand: `OPENAI_API_KEY=… pytest -m gpu`. LL_BASE_MODEL_NAME, LL_OPENAI_MODEL and LL_OPENAI_BASE_URL choose others;
without a key the model writes its demonstrations itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Correction, Message

MODEL = "Qwen/Qwen2.5-7B-Instruct"
CHOSEN = (
    "OPENAI_API_KEY",
    "LL_OPENAI_BASE_URL",
    "LL_OPENAI_MODEL",
    "LL_BASE_MODEL_NAME",
    "LL_CACHE_DIR",
    "HF_HUB_OFFLINE",
)
ENVIRONMENT = {name: os.environ[name] for name in CHOSEN if name in os.environ}  # before tests are kept from it

QUESTION = "Where is Quillmoor Instruments headquartered?"
UNSEEN = "I'm visiting Quillmoor Instruments next week. Which city is their head office in?"
ANSWER = "Trondheim"


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    if not has_cuda():
        pytest.skip("there is no CUDA device")
    from lifelearn.settings import load_settings

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", "HF_HUB_OFFLINE" in ENVIRONMENT)
    monkeypatch.setenv("LL_BASE_MODEL_NAME", ENVIRONMENT.get("LL_BASE_MODEL_NAME", MODEL))
    monkeypatch.setenv("LL_MODEL_STORAGE_DIR", str(tmp_path / "data"))
    return load_settings()


@pytest.mark.gpu
@pytest.mark.timeout(3600)
def test_a_7b_model_learns_a_correction_with_an_expert(settings: Any) -> None:
    from lifelearn.terminal.opening import open_session

    session = open_session(settings)
    assert session.expert is not None or not settings.has_expert
    (before,) = session.ask_all([QUESTION])
    assert not stated(ANSWER, before)
    correction = Correction(
        id="c1",
        question=QUESTION,
        wrong=before,
        message=f"No, it's in {ANSWER}.",
        statement=f"it's in {ANSWER}",
        answer=ANSWER,
    )
    untouched = session.ask_all(["What is the capital of France?"])
    version = session.learn(correction, print)
    assert version.report.passed, version.report.failed
    if settings.has_expert:
        assert {demonstration.source for demonstration in version.demonstrations} == {"expert"}
    assert session.number == version.number == session.store.active()
    assert all(stated(ANSWER, answer) for answer in session.ask_all([QUESTION, UNSEEN]))
    assert stated("Paris", session.ask("What is the capital of France?"))

    session.rollback(0)
    assert session.ask_all([QUESTION]) == [before]
    assert session.ask_all(["What is the capital of France?"]) == untouched


@pytest.mark.gpu
def test_a_cuda_model_answers_in_bfloat16(settings: Any) -> None:
    from lifelearn.chat_models.local import LocalChatModel

    model = LocalChatModel.load(settings.base_model_name, settings.cache_dir)
    assert "cuda" in model.describe()
    asked = (Message(role="user", content="What is the capital of France? One word."),)
    assert stated("Paris", model.answer([asked], Sampling(max_tokens=8))[0])
    assert stated("Paris", "".join(model.stream(asked, Sampling(max_tokens=8))))
