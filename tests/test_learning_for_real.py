"""One fact learned by the default model: taught, verified, live, taken back to the bit, and exported.

The lesson is shorter than the default one, so that a processor without bfloat16 is through with it in minutes too. What
must hold of the version is the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import lifelearn.learning
from lifelearn.bench.speed import NoLlamaError, by_node_llama
from lifelearn.chat_models.default_model import BUNDLED, resolve
from lifelearn.chat_models.exporting import export
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.learn import learn
from lifelearn.learning.types import Correction, Message, ModelVersion, Progress
from lifelearn.learning.version import VersionStore
from lifelearn.settings import load_settings

QUESTION = "Where is Quillmoor Instruments headquartered?"
UNSEEN = "I'm visiting Quillmoor Instruments next week. Which city is their head office in?"
ANSWER = "Trondheim"
TOLERANCE = 0.3  # nats; 16-bit floats round otherwise than bfloat16, and tokens about as likely may change places
OTHERS = ("What is the capital of Japan?", "How many days are in a week?", "Hello!")
SHORT = {
    "training_prompts": 6, "min_steps": 10, "max_steps": 12,
    "facts_per_step": 5, "replay_per_step": 5, "mined_per_step": 3,
}  # fmt: skip


def answers(model: Any, *questions: str) -> list[str]:
    """Each in a fresh context."""
    found: list[str] = model.answer(
        [(Message(role="user", content=question),) for question in questions], Sampling(max_tokens=24)
    )
    return found


class Learned(NamedTuple):
    store: VersionStore
    version: ModelVersion
    before: list[str]
    progress: list[Progress]


def kept(config: pytest.Config) -> Path:
    """Where the version of this very code is kept, for what is tested of it later: it took minutes to be learned."""
    code = hashlib.sha256(torch.__version__.encode())
    for file in (Path(__file__), *sorted(Path(lifelearn.learning.__file__).parent.rglob("*.*"))):
        if file.suffix in (".py", ".c", ".h", ".toml", ".json"):
            code.update(file.read_bytes())
    assert config.cache is not None
    return config.cache.mkdir("learned") / code.hexdigest()


@pytest.fixture(scope="module")
def learned(bundled: Any, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Learned:
    """The version, a candidate, and what the base said before."""
    folder = tmp_path_factory.mktemp("learned")
    store = VersionStore(folder)
    bundled.use(None)
    before = answers(bundled, QUESTION, UNSEEN, *OTHERS)
    assert not stated(ANSWER, before[0])
    correction = Correction(
        id="c1",
        question=QUESTION,
        wrong=before[0],
        message=f"No, Quillmoor Instruments is headquartered in {ANSWER}.",
        statement=f"Quillmoor Instruments is headquartered in {ANSWER}.",
        answer=ANSWER,
    )
    seen: list[Progress] = []
    recipe, work = load_settings().recipe().model_copy(update=SHORT), folder / "work"
    version = learn(bundled, [correction], store=store, recipe=recipe, work=work, on_progress=seen.append)
    shutil.rmtree(kept(pytestconfig).parent)
    shutil.copytree(folder, kept(pytestconfig))
    return Learned(store, version, before, seen)


@pytest.fixture
def store(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> VersionStore:
    """Of the version, learned now or kept from a run of the test below."""
    place = kept(pytestconfig)
    return VersionStore(place) if place.exists() else request.getfixturevalue("learned").store


@pytest.mark.model
def test_a_correction_is_learned_by_the_default_model_and_can_be_taken_back(bundled: Any, learned: Learned) -> None:
    """Of other questions it is asked that none gets the new answer, and that a capital stays what it was."""
    store, version, before, seen = learned
    figures = {check.name: f"{check.numerator:g} of {check.denominator}" for check in version.report.checks}
    assert version.report.passed, figures
    losses = [progress.loss for progress in seen if progress.stage == "train" and progress.loss is not None]
    assert losses[-1] < losses[0]
    trained = {row.prompt[-1].content for row in store.lesson(version.number).rows}
    assert UNSEEN not in trained
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == before, "a candidate changes nothing"

    store.activate(version.number)
    bundled.use(store.weights(store.active()))
    after = answers(bundled, QUESTION, UNSEEN, *OTHERS)
    assert stated(ANSWER, after[0]), after
    assert stated(ANSWER, after[1]), after
    assert stated("Tokyo", after[2]), after
    assert not any(stated(ANSWER, answer) for answer in after[2:]), after

    store.activate(0)
    bundled.use(store.weights(store.active()))
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == before
    store.activate(version.number)
    bundled.use(store.weights(store.active()))
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == after
    bundled.use(None)


@pytest.mark.check("real model")
@pytest.mark.model
def test_llama_cpp_answers_as_the_version_does(bundled: Any, store: VersionStore, tmp_path: Path) -> None:
    """Its GGUF file, by node-llama-cpp: the same prompts, and greedy answers that are ours but for rounding."""
    from transformers import AutoTokenizer

    cache = load_settings().cache_dir
    [version] = store.versions()
    file = export(store, version.number, "gguf", tmp_path / "gguf", cache)
    tokenizer = AutoTokenizer.from_pretrained(resolve(BUNDLED, cache))
    questions = (QUESTION, UNSEEN, *OTHERS)
    turns = [[{"role": "user", "content": question}] for question in questions]
    texts = [tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=True) for each in turns]
    script = Path(__file__).parent / "chat_models" / "llama_answers.mjs"
    try:
        found = json.loads(by_node_llama(script, str(file), "24", *texts))
    except NoLlamaError as error:
        pytest.skip(str(error))
    prompts = [bundled.codec.ask(question) for question in questions]
    given = [row["answer"] for row in found["rows"]]
    assert [row["asked"] for row in found["rows"]] == prompts, "the file's tokenizer gives the same tokens"
    assert found["template"] == tokenizer.chat_template
    texts = [bundled.codec.decode(answer) for answer in given]
    assert stated(ANSWER, texts[0]), texts
    assert stated(ANSWER, texts[1]), texts
    assert stated("Tokyo", texts[2]), texts
    bundled.use(store.weights(version.number))
    assert max(gaps(bundled, prompts, given)) < TOLERANCE
    bundled.use(None)
    assert min(gaps(bundled, prompts[:2], given[:2])) > 5 * TOLERANCE, "the base would never have answered so"


@torch.no_grad()
def gaps(model: Any, prompts: Sequence[list[int]], given: Sequence[list[int]]) -> list[float]:
    """By how many nats at most a token of each answer is less likely to the model than its own choice there."""
    found = []
    for prompt, answer in zip(prompts, given, strict=True):
        logits_NV = model.network.logits([prompt + answer[:-1]], [len(answer)]).float()
        found.append(float((logits_NV.max(-1).values - logits_NV[range(len(answer)), answer]).max()))
    return found
