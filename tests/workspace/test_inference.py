"""The model in its own process: answers in pieces and in turns, versions side by side, and every way of ending."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.chat_model import ChatModel, ChatModelError, Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.settings import Settings
from lifelearn.workspace import inference as inference_module
from lifelearn.workspace import model_process
from lifelearn.workspace.inference import ProcessInference
from waiting import HANG_SECONDS, until

pytestmark = pytest.mark.check("processes")

SHORT = Sampling(max_tokens=8)
LONG = Sampling(max_tokens=400)


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


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


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[ProcessInference]:
    inference = ProcessInference(settings)
    await inference.start()
    try:
        yield inference
    finally:
        await inference.stop()


async def settled(inference: ProcessInference) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while inference.state == "loading":
            await asyncio.sleep(0.02)


async def rest(stream: AsyncIterator[str]) -> str:
    async with asyncio.timeout(HANG_SECONDS):
        return "".join([piece async for piece in stream])


async def answer(
    inference: ProcessInference, text: str, sampling: Sampling = SHORT, weights: Path | None = None
) -> str:
    return await rest(inference.stream(user(text), sampling, weights))


def child(inference: ProcessInference) -> int:
    assert inference._process is not None
    return inference._process.pid


def proc(pid: int, name: str) -> list[str]:
    """A file of a process's, by its fields."""
    return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace").replace("\0", " ").split(" ")


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists() and proc(pid, "stat")[2] != "Z"


def cpu_seconds(pid: int) -> float:
    return sum(map(int, proc(pid, "stat")[13:15])) / os.sysconf("SC_CLK_TCK")


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


class Slow:
    """A model whose tokens a test counts."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.closed: list[str] = []

    def network_for(self, weights: Path | None) -> None:
        if weights is not None:
            raise ChatModelError("no such version")

    def prompt(self, conversation: Conversation, room: int) -> list[str]:
        if conversation[0].content == "too long":
            raise ChatModelError("Shorten it.")
        return [conversation[0].content]

    def pieces(self, prompt: list[str], sampling: Sampling, network: None) -> Iterator[str | None]:
        [name] = prompt
        for _ in range(name.count("read")):
            self.given.append("…")
            yield None
        try:
            for _ in range(sampling.max_tokens):
                self.given.append(name)
                yield name
                if name == "broken":
                    raise RuntimeError("out of memory")
        finally:
            self.closed.append(name)


class AtOnce:
    """An executor without threads."""

    def __init__(self, count: int) -> None:
        pass

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, do: Callable[..., None], *arguments: Any) -> None:
        do(*arguments)


class _EndError(Exception):
    pass


def turns(lines: list[dict[str, Any]], late: dict[int, list[int]] | None = None) -> tuple[Slow, list[Any]]:
    """What comes out for these lines in. late: which answers are stopped after so many lines went out."""
    model, inbox, out = Slow(), queue.SimpleQueue[dict[str, Any]](), list[Any]()
    for line in lines:
        inbox.put(line)
    left = {line["id"] for line in lines}

    def send(line: dict[str, Any]) -> None:
        out.append(line)
        for stop in (late or {}).get(len(out), []):
            inbox.put({"id": stop, "stop": True})
            left.discard(stop)
        if "end" in line or "error" in line:
            left.discard(line["id"])
        if not left:
            raise _EndError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_process, "ThreadPoolExecutor", AtOnce)  # all prompts are there before the first turn
        with pytest.raises(_EndError):
            model_process.in_turns(model, inbox, send)  # type: ignore[arg-type]
    return model, out


def asks(number: int, text: str, tokens: int, weights: str | None = None, of: str = "") -> dict[str, Any]:
    turn = {"role": "user", "content": text}
    return {"id": number, "of": of, "conversation": [turn], "sampling": {"max_tokens": tokens}, "weights": weights}


def test_a_short_answer_does_not_wait_for_a_long_one() -> None:
    model, out = turns([asks(1, "long", 50), asks(2, "short", 2)])
    assert model.given[:4] == ["long", "long", "short", "long"]
    assert [line["id"] for line in out if "end" in line] == [2, 1]


def test_one_organisation_does_not_wait_for_the_many_answers_of_another() -> None:
    lines = [asks(number, "many", 50, of="one") for number in range(1, 10)]
    model, _ = turns([*lines, asks(10, "few", 9, of="other")])
    places = [at for at, name in enumerate(model.given) if name == "few"]
    assert [later - earlier for earlier, later in pairwise(places)] == [2] * 8


def test_prompts_of_who_has_left_are_not_made_and_organisations_take_turns_with_theirs() -> None:
    """One at a time here: those of many who leave at once, another's between them."""
    inbox, prepared = queue.SimpleQueue[dict[str, Any]](), list[str]()

    class Counting(Slow):
        def prompt(self, conversation: Conversation, room: int) -> list[str]:
            prepared.append(conversation[0].content)
            return super().prompt(conversation, room)

    class Later(AtOnce):
        """Makes a prompt only once everything that was sent has been taken."""

        def submit(self, do: Callable[..., None], *arguments: Any) -> None:
            if not prepared:
                for each in range(2, 9):
                    inbox.put(asks(each, "left", 5, of="one"))
                inbox.put(asks(9, "still there", 5, of="one"))
                inbox.put(asks(10, "another", 5, of="other"))
                for each in range(2, 9):
                    inbox.put({"id": each, "stop": True})
            do(*arguments)

    def send(line: dict[str, Any]) -> None:
        ended.update({line["id"]} if "end" in line else ())
        if ended == {1, 9, 10}:
            raise _EndError

    ended: set[int] = set()
    inbox.put(asks(1, "first", 5, of="one"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_process, "ThreadPoolExecutor", Later)
        patch.setattr(model_process, "PREPARED_AT_ONCE", 1)
        with pytest.raises(_EndError):
            model_process.in_turns(Counting(), inbox, send)  # type: ignore[arg-type]
    assert prepared == ["first", "another", "still there"] or prepared == ["first", "still there", "another"]


def test_a_prompt_that_is_too_long_is_told_and_no_turn_is_taken() -> None:
    model, out = turns([asks(1, "too long", 5), asks(2, "well", 3)])
    assert {"id": 1, "error": "Shorten it."} in out
    assert model.given == ["well"] * 3


def test_answers_beyond_the_most_wait_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "AT_ONCE", 2)
    _, out = turns([asks(number, str(number), 3) for number in range(1, 6)])
    assert [line["id"] for line in out if "end" in line] == [1, 2, 3, 4, 5]
    running: set[str] = set()
    for line in out:
        running = running - {line["id"]} if "end" in line else running | {line["id"]}
        assert len(running) <= 2


def test_a_stopped_answer_gives_no_further_token() -> None:
    model, out = turns([asks(1, "long", 50), asks(2, "other", 20)], {5: [1, 9]})
    assert model.given.count("long") <= 4
    assert model.closed[0] == "long"
    assert model.given.count("other") == 20
    assert {"id": 1, "end": True} not in out


def test_one_that_waits_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "AT_ONCE", 1)
    model, _ = turns([asks(1, "long", 9), asks(2, "never", 9)], {3: [2]})
    assert "never" not in model.given


def test_a_failing_answer_leaves_the_others_alone() -> None:
    model, out = turns([asks(1, "broken", 5), asks(2, "well", 5), asks(3, "odd", 5, "/nowhere")])
    errors = {line["id"]: line["error"] for line in out if "error" in line}
    assert errors == {1: "The model stopped answering: out of memory.", 3: "no such version"}
    assert model.given.count("well") == 5


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


# Backends, and what the process is told


@contextmanager
def openai_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that streams three words, and its requests with the key that they carried."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({"key": self.headers["authorization"], **body})
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for word in ("It ", "is ", "so."):
                delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                self.wfile.write(b"data: " + json.dumps({"id": "1", "choices": [delta]}).encode() + b"\n\n")
            last = {"index": 0, "delta": {}, "finish_reason": "stop"}
            self.wfile.write(b"data: " + json.dumps({"id": "1", "choices": [last]}).encode() + b"\n\ndata: [DONE]\n\n")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_answers_and_its_key_is_seen_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-quite-secret-and-long"
    monkeypatch.setenv("LL_SECRET_KEY", "a secret key that the model has no use for")
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def scenario(url: str) -> None:
        async with started(Settings(inference_backend="openai", openai_base_url=url)) as inference:
            assert await answer(inference, "Is it?") == "It is so."
            process = child(inference)
            assert key not in " ".join(proc(process, "cmdline"))
            assert not [name for name in proc(process, "environ") if name.startswith(("LL_", "OPENAI"))]
            asked = [answer(inference, str(number)) for number in range(20)]
            assert set(await asyncio.gather(*asked)) == {"It is so."}

    with openai_server() as (url, seen):
        asyncio.run(scenario(url))
        assert seen[0]["key"] == f"Bearer {key}"
        assert len(seen) == 21


def test_the_mock_says_that_it_is_one_and_needs_no_torch() -> None:
    async def scenario() -> None:
        async with started(Settings(inference_backend="mock")) as inference:
            assert "not a real one" in await answer(inference, "Hi")
            assert "mock" in inference.name
            assert "libtorch" not in " ".join(proc(child(inference), "maps"))

    asyncio.run(scenario())


def test_what_takes_long_while_it_is_loading_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer said once it is loaded, or cannot be."""

    def fetching(settings: Settings, tell: Callable[[str], None]) -> ChatModel:
        tell("Fetching it …")
        raise ChatModelError("There is no network.")

    monkeypatch.setattr(model_process, "chat_model", fetching)
    inference, said = ProcessInference(Settings()), list[str]()

    def send(line: dict[str, Any]) -> None:
        inference._heard(line)
        said.append(f"{inference.state}: {inference.doing}{inference.problem}")

    model_process._serve(Settings(), queue.SimpleQueue(), send)
    assert said == ["loading: Fetching it …", "failed: There is no network."]


def test_what_libraries_print_does_not_get_between() -> None:
    """Standard output is ours alone: by Python and from below it."""
    script = (
        "import os, sys\n"
        "from lifelearn.workspace import model_process\n"
        "real = model_process.chat_model\n"
        "def talkative(*given):\n"
        "    print('loading …', flush=True)\n"
        "    os.write(1, b'from C\\n')\n"
        "    return real(*given)\n"
        "model_process.chat_model = talkative\n"
        "model_process.main()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"inference_backend": "mock"}\n')
        process.stdin.flush()
        first = process.stdout.readline()  # the model is there, so all was printed
        rest, errors = process.communicate(timeout=HANG_SECONDS)
    assert list(json.loads(first)) == ["state", "name"]
    assert rest == b""
    assert b"from C" in errors
    assert "loading …".encode() in errors


def test_a_server_that_is_slow_is_left_when_nobody_waits() -> None:
    """In threads, too, a stopped answer is given up at its next piece."""
    gate, closed = threading.Event(), threading.Event()

    class Model:
        name = "slow"

        def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
            try:
                yield "first"
                gate.wait(HANG_SECONDS)
                yield "second"
                yield "third"
            finally:
                closed.set()

    inbox, out = queue.SimpleQueue[dict[str, Any]](), list[Any]()
    threading.Thread(target=model_process.in_threads, args=(Model(), inbox, out.append), daemon=True).start()
    inbox.put(asks(1, "Hi", 5))
    until(lambda: len(out) == 1)
    inbox.put({"id": 1, "stop": True})
    until(inbox.empty)
    time.sleep(0.05)
    gate.set()
    assert closed.wait(HANG_SECONDS)
    until(lambda: len(out) == 2)
    assert out == [{"id": 1, "piece": "first"}, {"id": 1, "end": True}]
