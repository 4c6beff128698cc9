"""What tests share: a tiny Qwen2-type model made on the spot, and the bundled model for those marked `model`."""

from __future__ import annotations

import os
import signal
import uuid
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import lifelearn  # noqa: F401  # before torch: see there

# Tests run beside each other, each on a core. Several threads of each would wait for one another, and at it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


# In the background of a shell Ctrl-C is ignored, and processes that tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What this process starts inherits its name, by which it is told from what another run of the suite, or another worker
# of this one, started.
os.environ["LIFELEARN_TEST_RUN"] = str(uuid.uuid4())
# Or a lesson would wait for whatever else the machine does.
os.environ["LL_WORKER_NICE"] = "0"


# Tests that use the real model, and those that start processes or look at all there are: of each kind one after
# another, beside all others.
ONE_AT_A_TIME = {
    "real model": ("test_chat", "test_exporting", "test_faults", "test_learning_for_real", "test_promise"),
    "processes": (
        "test_backup", "test_browser", "test_exactness", "test_experts", "test_hosts", "test_inference",
        "test_inference_backends", "test_inference_turns", "test_jobs", "test_jobs_settlement", "test_kills",
        "test_serve", "test_upgrades", "test_webhooks_connections", "test_webhooks_failing",
        "test_webhooks_processes", "test_webhooks_sending",
    ),
}  # fmt: skip
GROUPS = {stem: group for group, stems in ONE_AT_A_TIME.items() for stem in stems}

pytest.register_assert_rewrite("augment_fakes")  # which asserts for several tests

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# The parts of `make check`, what `make test` leaves out, with the minutes of one core that each is to take at most on
# a quiet machine. That is told at the end and fails nothing: machines differ.
BUDGETS = {
    "PostgreSQL": 7, "browser": 6, "processes": 21, "programs": 3, "real model": 12, "engine": 5, "pages": 4,
    "installing": 2,
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if group := GROUPS.get(item.path.stem):
            item.add_marker(pytest.mark.xdist_group(group))
        if marks := list(item.iter_markers("check")):
            (part,) = marks[-1].args  # the module's before the test's
            assert part in BUDGETS, f"{item.nodeid} is in no part of make check: {part}"
            item.user_properties.append(("part", part))
    items.sort(key=lambda item: item.path.stem not in GROUPS)  # the longest first: none is left alone at the end


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seconds: defaultdict[object, float] = defaultdict(float)
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[dict(report.user_properties).get("part", "")] += report.duration
    if not seconds.keys() & BUDGETS:
        return
    terminalreporter.section("parts of make check")
    for part, budget in BUDGETS.items():
        over = "  OVER ITS BUDGET" if seconds[part] > 60 * budget else ""
        terminalreporter.line(f"{part:12} {seconds[part] / 60:5.1f} of {budget} min{over}")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting, key or hub of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("LL_") and name not in ("LL_EVAL_DATA", "LL_CACHE_DIR", "LL_WORKER_NICE"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kernels, loaded."""
    import torch

    from lifelearn.learning.compute.cpu import kernels
    from lifelearn.learning.sdft.student import has_bfloat16

    if not has_bfloat16("cpu"):
        pytest.skip("this processor computes in float32, without kernels of ours")
    assert kernels.load(tmp_path_factory.mktemp("kernels")) is None
    return kernels.of(torch.empty(1, dtype=torch.bfloat16))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2-type model of some 20,000 random weights, with a byte-level tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny-qwen2")
    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(special + alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|pad|>", additional_special_tokens=special[2:]
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, eos_token_id=1, pad_token_id=0,
        bos_token_id=None,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_model_folder: Path, tmp_path: Path) -> Any:
    from lifelearn.chat_models.local import LocalChatModel

    return LocalChatModel.load(str(tiny_model_folder), tmp_path / "cache")


@pytest.fixture
def talkative(tiny: Any) -> Any:
    """The tiny model, made to answer with more than nothing."""
    return _louder(tiny, 0.15)


@pytest.fixture
def anchored(tiny: Any) -> Any:
    """The tiny model, made to differ between a prompt and the teacher's."""
    return _louder(tiny, 0.5)


def _louder(tiny: Any, by: float) -> Any:
    from lifelearn.chat_models.local import LocalChatModel
    from louder import louder

    louder(tiny.base, by)
    return LocalChatModel(tiny.base, tiny.codec, tiny.name)  # which takes the new weights


@pytest.fixture(scope="session")
def bundled() -> Any:
    """The default model, converted once into the user's cache."""
    from lifelearn.chat_models.local import LocalChatModel
    from lifelearn.settings import load_settings

    return LocalChatModel.load("bundled", load_settings().cache_dir)
