"""The model in its own process: answers in pieces, versions side by side, and every way of ending."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.settings import Settings
from lifelearn.workspace import inference as inference_module
from lifelearn.workspace.inference import ProcessInference
from waiting import HANG_SECONDS, until
from workspace.model_process import LONG, SHORT, alive, answer, child, cpu_seconds, rest, settled, started, user

pytestmark = pytest.mark.check("processes")


@pytest.fixture(scope="module")
def folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger random weights, which talks on."""
    import shutil

    import torch
    from transformers import AutoModelForCausalLM

    found = tmp_path_factory.mktemp("talkative")
    shutil.copytree(tiny_model_folder, found, dirs_exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
        model.model.embed_tokens.weight[1] = 0  # the end of a turn, which is never the likeliest
    model.save_pretrained(found)
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    """The same, in the tests' own process."""
    from lifelearn.chat_models.local import LocalChatModel

    return LocalChatModel.load(str(folder), folder)


@pytest.fixture
def local(folder: Path, tmp_path: Path) -> Settings:
    return Settings(base_model_name=str(folder), cache_dir=tmp_path / "cache")


Shared = tuple[asyncio.Runner, ProcessInference]


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Shared]:
    """A process for all tests that leave it alive, and the loop that it belongs to."""
    inference = ProcessInference(Settings(base_model_name=str(folder), cache_dir=folder))
    with asyncio.Runner() as runner:
        runner.run(inference.start())
        yield runner, inference
        runner.run(inference.stop())


# What it says


def test_it_answers_as_the_model_does(shared: Shared, model: Any) -> None:
    """While it is loading, an answer waits. Nothing of a broken character gets out."""
    runner, inference = shared
    sampling = Sampling(max_tokens=40, temperature=1.0, seed=2)
    found = runner.run(answer(inference, "Wo? 🙂", sampling))
    assert found == "".join(model.stream(user("Wo? 🙂"), sampling))
    assert found
    assert (inference.state, inference.name, inference.problem) == ("ready", model.name, "")


def test_versions_answer_side_by_side(shared: Shared, model: Any, tmp_path: Path) -> None:
    import torch

    from lifelearn.learning.compute.cpu.adapter import Adapter

    runner, inference = shared
    adapter = Adapter(model.decoder, rank=4, alpha=4, seed=1)
    for parameter in adapter.parameters:
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    adapter.refresh()
    version = tmp_path / "version"
    version.mkdir()
    adapter.save(version)
    sampling = Sampling(max_tokens=40)
    prompt = model.prompt(user("Hi"), sampling.max_tokens)
    expected = ["".join(model.pieces(prompt, sampling, model.network_for(folder))) for folder in (None, version)]
    assert expected[0] != expected[1]

    async def scenario() -> None:
        asked = [answer(inference, "Hi", sampling, folder) for folder in (None, version, None, version)]
        assert await asyncio.gather(*asked) == expected * 2
        with pytest.raises(ChatModelError, match="cannot be loaded"):
            await answer(inference, "Hi", sampling, tmp_path / "no version")
        assert await answer(inference, "Hi", sampling) == expected[0]

    runner.run(scenario())


def test_a_message_that_is_too_long_is_a_sentence(shared: Shared) -> None:
    runner, inference = shared
    with pytest.raises(ChatModelError, match="Shorten it"):
        runner.run(answer(inference, "word " * 200_000))
    assert runner.run(answer(inference, "short"))


@pytest.mark.model
def test_the_bundled_model_answers_as_ever(bundled: Any) -> None:
    asked, sampling = "What is the capital of France?", Sampling(max_tokens=24)

    async def scenario() -> str:
        async with started(Settings(cache_dir=Path(bundled.base.name_or_path).parent)) as inference:
            return await answer(inference, asked, sampling)

    assert asyncio.run(scenario()).strip() == bundled.answer([user(asked)], sampling)[0]


# Turns


def test_a_second_answer_does_not_wait_for_a_long_one(shared: Shared) -> None:
    runner, inference = shared

    async def scenario() -> None:
        ended: list[str] = []

        async def ask(name: str, sampling: Sampling) -> None:
            await answer(inference, name, sampling)
            ended.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("long", LONG))
            await asyncio.sleep(0)
            group.create_task(ask("short", SHORT))
        assert ended == ["short", "long"]

    runner.run(scenario())


def test_closing_a_stream_stops_the_model(shared: Shared) -> None:
    runner, inference = shared

    async def scenario() -> float:
        await settled(inference)
        streams = [inference.stream(user("long"), LONG) for _ in range(10)]
        for stream in streams:
            await anext(stream)
        for stream in streams:
            await stream.aclose()
        await asyncio.sleep(0.2)
        before = cpu_seconds(child(inference))
        await asyncio.sleep(0.5)
        return cpu_seconds(child(inference)) - before

    assert runner.run(scenario()) < 0.2, "it goes on although nobody listens"


# Ends


def test_signals_to_everybody_leave_it_to_the_web_process(shared: Shared) -> None:
    runner, inference = shared

    async def scenario() -> None:
        await settled(inference)
        process = child(inference)
        assert os.getsid(process) != os.getsid(0), "Ctrl-C in a terminal does not reach it"
        os.kill(process, signal.SIGTERM)
        os.kill(process, signal.SIGINT)
        assert await answer(inference, "Hi")
        assert child(inference) == process

    runner.run(scenario())


def test_the_process_is_started_again_when_it_dies(shared: Shared) -> None:
    runner, inference = shared

    async def scenario() -> None:
        await settled(inference)
        stream = inference.stream(user("long"), LONG)
        await anext(stream)
        first = child(inference)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ChatModelError, match=r"ended while it was answering \(SIGKILL.*Try again"):
            await rest(stream)
        assert (inference.state, inference.name) == ("loading", "")
        assert await answer(inference, "Hi")
        assert child(inference) != first

    runner.run(scenario())


def test_a_model_that_cannot_be_loaded_is_a_sentence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(Settings(base_model_name=str(tmp_path), cache_dir=tmp_path)) as inference:
            waiting = asyncio.create_task(answer(inference, "Hi"))
            await settled(inference)
            assert inference.state == "failed"
            assert "config.json is missing" in inference.problem
            with pytest.raises(ChatModelError, match=r"config\.json is missing"):
                await waiting
            with pytest.raises(ChatModelError, match=r"config\.json is missing"):
                await answer(inference, "Hi")

    asyncio.run(scenario())


def test_a_model_that_can_be_had_later_is_found(folder: Path, tmp_path: Path) -> None:
    later = tmp_path / "model"

    async def scenario() -> None:
        async with started(Settings(base_model_name=str(later), cache_dir=tmp_path)) as inference:
            await settled(inference)
            assert inference.state == "failed"
            later.symlink_to(folder)
            async with asyncio.timeout(HANG_SECONDS):
                while inference.problem:
                    await asyncio.sleep(0.05)
            assert inference.problem == ""
            await answer(inference, "Hi")

    asyncio.run(scenario())


def test_a_process_that_dies_while_loading_is_told(local: Settings) -> None:
    async def scenario() -> None:
        async with started(local) as inference:
            async with asyncio.timeout(HANG_SECONDS):
                while inference._process is None:
                    await asyncio.sleep(0.01)
            os.kill(child(inference), signal.SIGKILL)
            await settled(inference)
            assert inference.state == "failed"
            assert "ended while it was loading: SIGKILL" in inference.problem

    asyncio.run(scenario())


def test_one_that_cannot_even_be_started_is_told(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def scenario() -> None:
        async with started(local) as inference:
            await settled(inference)
            assert "cannot be started: No such file" in inference.problem

    asyncio.run(scenario())


def test_stopping_ends_the_process_and_what_it_writes(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_module, "GRACE", HANG_SECONDS)  # it ends by itself, without being killed

    async def scenario() -> None:
        inference = ProcessInference(local)
        await inference.start()
        await settled(inference)
        stream = inference.stream(user("long"), LONG)
        await anext(stream)
        process = child(inference)
        await inference.stop()
        assert not alive(process)
        with pytest.raises(ChatModelError, match="ended while it was answering"):
            await rest(stream)
        with pytest.raises(ChatModelError, match="being stopped"):
            await answer(inference, "Hi")

    asyncio.run(scenario())


PARENT = """
import asyncio, sys
from lifelearn.settings import Settings
from lifelearn.workspace.inference import ProcessInference

async def main():
    inference = ProcessInference(Settings(inference_backend="mock"))
    await inference.start()
    while inference.state != "ready":
        await asyncio.sleep(0.02)
    print(inference._process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_the_web_process_is_killed(number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        assert alive(process)
        parent.send_signal(number)
        parent.wait(HANG_SECONDS)
        until(lambda: not alive(process))
    finally:
        parent.kill()
        parent.wait()
